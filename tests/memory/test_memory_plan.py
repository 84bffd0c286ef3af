"""Plans of real shapes on real sizes of GPUs, and what is said where nothing fits."""

import re
from pathlib import Path

import pytest
from transformers import Qwen2Config

from bench.gpu import SIZES
from em.errors import InputError
from em.memory import __main__ as command
from em.memory.device import GIB, Device, named
from em.memory.plan import Plan, Planner, plan_of
from em.trial.model import Model, Precision, States
from em.trial.rollout import EngineConfig, EngineName
from tests.model.architectures import random_model, save

WEIGHTS = {"1.5B": 1_543_714_304, "7B": 7_615_616_512}


def checkpoint(folder: Path, size: str) -> Path:
    config = Qwen2Config(num_hidden_layers=28, max_position_embeddings=4096, **SIZES[size])
    config.save_pretrained(folder / size)
    return folder / size


def a_model(**fields: object) -> Model:
    return Model(path="owner/name", **({"precision": Precision.bf16} | fields))  # type: ignore[arg-type]


def phases(plan: Plan) -> dict[str, dict[str, float]]:
    return {phase.name: {part: held / GIB for part, held in phase.parts.items()} for phase in plan.phases}


@pytest.mark.parametrize("size", SIZES)
def test_weights_are_counted_once(tmp_path, size):
    config = Qwen2Config.from_pretrained(checkpoint(tmp_path, size))
    assert Planner(config, a_model(), None, 1).weights == WEIGHTS[size]


def test_7b_on_80_gb_has_states_in_8_bits_and_the_engine_sleeps(tmp_path):
    plan = plan_of(checkpoint(tmp_path, "7B"), a_model(), EngineConfig(), named("h100"))
    assert (plan.choice.states, plan.choice.asleep) == (States.eight_bit, True)
    held = phases(plan)["train"]
    gib = WEIGHTS["7B"] / GIB
    assert held["weights"] == pytest.approx(2 * gib)
    assert held["states"] == pytest.approx(2 * gib * (1 + 4 / 256), rel=1e-3)
    assert held["gradients"] == pytest.approx(2 * gib)
    assert plan.peak.total <= named("h100").usable
    assert phases(plan)["sample"]["engine"] > 2 * gib + 16 * 4096 * 57_344 / GIB  # weights, and a cache for sixteen


def test_what_is_large_enough_keeps_fp32_and_recomputes_nothing(tmp_path):
    plan = plan_of(checkpoint(tmp_path, "1.5B"), a_model(), EngineConfig(), named("h200"))
    assert (plan.choice.states, plan.choice.recomputed, plan.choice.asleep) == (States.fp32, 0, False)
    assert phases(plan)["update"]["states"] == pytest.approx(8 * WEIGHTS["1.5B"] / GIB)


def test_a_smaller_gpu_recomputes_more(tmp_path):
    folder, model = checkpoint(tmp_path, "1.5B"), a_model(states=States.eight_bit)
    plans = [plan_of(folder, model, EngineConfig(), named(gib)) for gib in ("60", "30", "20")]
    layers = [plan.choice.recomputed for plan in plans]
    assert layers == sorted(layers)
    assert layers[0] < layers[-1]


def test_more_gpus_share_weights_states_and_gradients(tmp_path):
    folder = checkpoint(tmp_path, "7B")
    with pytest.raises(InputError, match=r"does not fit a GPU of 30 GiB: needs .* GiB for .* at the least") as refused:
        plan_of(folder, a_model(), EngineConfig(), named("30"))
    assert "GPUs for each lane (cluster.gpus_per_lane=" in str(refused.value)
    assert "or take a GPU of 44.4 GiB (l40s)" in str(refused.value)
    model = a_model(states=States.eight_bit)
    one, two = (phases(plan_of(folder, model, EngineConfig(), named("h200"), ranks))["update"] for ranks in (1, 2))
    for part in ("weights", "states", "gradients"):
        assert two[part] == pytest.approx(one[part] / 2)


def test_what_the_user_fixed_is_kept_and_named_where_it_does_not_fit(tmp_path):
    folder = checkpoint(tmp_path, "7B")
    plan = plan_of(folder, a_model(states=States.on_cpu, recomputed_layers=28), EngineConfig(), named("h100"))
    assert (plan.choice.states, plan.choice.recomputed) == (States.on_cpu, 28)
    assert plan.on_host == 12 * WEIGHTS["7B"]
    with pytest.raises(InputError, match=r"leave model\.states and model\.recomputed_layers to the plan"):
        plan_of(folder, a_model(states=States.fp32), EngineConfig(), named("h100"))
    with pytest.raises(InputError, match=r"take model\.precision=bf16"):
        plan_of(folder, a_model(precision=Precision.fp32), EngineConfig(), named("h100"))


def test_an_engine_that_cannot_sleep_stays_awake(tmp_path):
    engine = EngineConfig(engine=EngineName.transformers)
    assert not plan_of(checkpoint(tmp_path, "1.5B"), a_model(), engine, named("h100")).choice.asleep


def test_on_a_cpu_nothing_is_chosen_and_what_does_not_fit_is_refused(tmp_path):
    folder = save(random_model("Qwen3ForCausalLM"), tmp_path)
    plans = [plan_of(folder, Model(path="x"), EngineConfig(), Device("it", gib * GIB, False)) for gib in (4, 400)]
    assert plans[0].choice == plans[1].choice
    assert plans[0].choice.states is States.fp32
    with pytest.raises(InputError, match=r"^model=x: does not fit it: needs .* take a smaller model$"):
        plan_of(folder, Model(path="x"), EngineConfig(), Device("it", GIB // 100, False))


def test_gpus_by_name_or_size():
    assert named("H100") == named("h100")
    assert named("48").total == 48 * GIB
    for wrong, said in (
        ("h10", "unknown gpu 'h10'"),
        ("0", "gpu=0: must be a number of GiB"),
        ("inf", "gpu=inf: must"),
    ):
        with pytest.raises(InputError, match=said):
            named(wrong)


def test_the_command_prints_the_plan(tmp_path, monkeypatch, capsys):
    folder = save(random_model("Qwen3ForCausalLM"), tmp_path)
    command.main(["model=checkpoint", f"model.path={folder}", "gpu=h100", "gpus=2", "prompts=tiny"])
    printed = capsys.readouterr().out
    assert re.search(r"activations +│ +- │ +\d+\.\d\d │ +- │", printed)
    assert "each of 2 times a GPU of 79.2 GiB (h100)" in " ".join(printed.split())
    assert "Plan: states fp32, no layer recomputed, micro-batches of 16,384 tokens." in printed
    with pytest.raises(InputError, match="gpus=0: must be a whole number"):
        command.main(["model=tiny", "gpus=0"])
