"""Weights again from records: the same bits, a checkpoint that loads, and no folder where they are not the trial's."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from em.cli.inputs import resolve_benchmark, resolve_model
from em.errors import InputError
from em.rebuild.__main__ import as_words, main
from em.rebuild.best import best
from em.store import Store, schema
from em.store.record import Record, Status
from em.train import weights
from em.train.stabilisers.averaging import Averaging
from em.train.stabilisers.entropy_stop import EntropyStop
from em.train.trainer import Trainer
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, EngineName, Rollout
from em.trial.sample import Sample
from em.trial.trial import Earlier, Trial
from em.trial.unit import Measurement, Unit
from tests.model.hub import Hub, serving
from tests.trials import one_phase, phase_of, run

SUM = resolve_benchmark(Benchmark(name="sum", suite="sum", limit=2, max_new_tokens=4, grader="tiny"))
EVALUATION = Evaluation(benchmark=SUM, temperature=1.0, top_p=1.0, samples=2, seed=0)
GREEDY = dataclasses.replace(EVALUATION, temperature=0.0, samples=1)


def unit(trial: Trial, *steps: int) -> Unit:
    return Unit(trial, tuple(Measurement(step, of) for step in steps for of in (EVALUATION, GREEDY)))


@pytest.fixture(scope="module")
def trials(checkpoint: Callable[..., Path]) -> dict[str, Trial]:
    """One phase; the weights of its last three steps averaged; another phase from the end of that; one that a
    stabiliser ends after its first step."""
    model = resolve_model(Model(path=str(checkpoint(tied=True))))
    engine = EngineConfig(engine=EngineName.transformers, max_num_seqs=64)
    rest = {"optimizer": Optimizer(lr=1e-3), "rollout": Rollout(samples=4, temperature=1.0, max_new_tokens=6)}
    plain = one_phase(model, Prompts(texts=["3+8+5+2?"]), engine, **rest)
    averaged = dataclasses.replace(phase_of(plain), stabilisers={"averaging": Averaging(steps=3)})
    ended = dataclasses.replace(phase_of(plain), stabilisers={"entropy_stop": EntropyStop(floor=99.0)})
    before = (Earlier(phase=averaged, steps=3, seed=1),)
    return {
        "plain": plain,
        "averaged": dataclasses.replace(plain, phase=averaged, seed=1),
        "after": dataclasses.replace(plain, before=before, seed=2),
        "ended": dataclasses.replace(plain, phase=ended, seed=3),
    }


@pytest.fixture(scope="module")
def records(trials: dict[str, Trial], keep: Callable[[Trainer], Trainer]) -> dict[str, Record]:
    trainer = keep(Trainer(trials["plain"].model, trials["plain"].engine))
    made = {
        "base": run(trainer, unit(trials["plain"].base, 0)),
        "plain": run(trainer, unit(trials["plain"], 2, 5)),
        "averaged": run(trainer, unit(trials["averaged"], 3)),
        "ended": run(trainer, unit(trials["ended"], 3)),
    }
    done = trainer.run(unit(trials["after"], 2), lambda step: None, {trials["averaged"].id: made["averaged"]})
    return made | {"after": Record.of(done.unit, made["plain"].provenance, **vars(done.trajectory))}


@pytest.fixture
def store(records: dict[str, Record], tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    for record in records.values():
        store.commit(record)
    return store


def rebuilt(store: Store, trial: Trial, step: int, *words: str) -> Path:
    out = store.root.parent / f"rebuilt-{step}"
    main([trial.id, f"step={step}", f"out={out}", f"store={store.root}", *words])
    return out


def digest_of(folder: Path) -> str:
    return weights.digest(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


@pytest.mark.parametrize(("name", "step"), [("plain", 2), ("plain", 5), ("averaged", 3), ("after", 2), ("ended", 3)])
def test_the_checkpoint_has_the_weights_that_were_measured(
    name: str, step: int, store: Store, trials: dict[str, Trial], records: dict[str, Record]
) -> None:
    recorded = {digest.step: digest.sha256 for digest in records[name].digests}
    folder = rebuilt(store, trials[name], step)
    assert digest_of(folder) == recorded[step]
    assert "bit for bit" in (folder / "README.md").read_text()
    same = AutoTokenizer.from_pretrained(folder)("3+8?")["input_ids"]
    assert same == AutoTokenizer.from_pretrained(trials[name].model.path)("3+8?")["input_ids"]


def test_every_so_many_steps_in_one_pass(
    store: Store, trials: dict[str, Trial], keep: Callable[[Trainer], Trainer]
) -> None:
    """Of averaged weights too, rounded copies of which must not be what training goes on from."""
    fresh = keep(Trainer(trials["averaged"].model, trials["averaged"].engine))
    expected = {digest.step: digest.sha256 for digest in run(fresh, unit(trials["averaged"], 1, 2, 3)).digests}
    whole, half = store.root.parent / "whole", store.root.parent / "half"
    for out, dtype in (whole, "fp32"), (half, "bf16"):
        main([trials["averaged"].id, "every=1", f"out={out}", f"store={store.root}", f"dtype={dtype}"])
        assert sorted(path.name for path in out.iterdir()) == ["step-1", "step-2", "step-3"]
    for step in (1, 2, 3):
        folder = whole / f"step-{step}"
        assert digest_of(folder) == expected[step]
        text = (folder / "README.md").read_text()
        assert f"step={step} out=FOLDER" in text
        assert expected[step] in text
        exact, rounded = (
            AutoModelForCausalLM.from_pretrained(of / f"step-{step}", dtype="auto").state_dict() for of in (whole, half)
        )
        assert all(torch.equal(tensor, exact[name].bfloat16()) for name, tensor in rounded.items())


def test_the_best_of_each_base_model(
    store: Store, trials: dict[str, Trial], records: dict[str, Record], checkpoint: Callable[..., Path]
) -> None:
    """By the mean over what most trials of the base model were measured by.

    One that lacks some of it is no candidate, nor is one without a digest.
    """
    accuracies = {
        13: (1.0, 1.0),
        3: (0.5, 0.5),
        4: (0.9, 0.3),
        5: (0.1, 0.2),
        6: (0.4, None),
    }  # by seed: sampled, greedy
    elsewhere = resolve_model(Model(path=str(checkpoint(tied=True, seed=1))))
    made = dict[str, tuple[float | None, ...]]()
    whole = records["plain"]
    for model in (trials["plain"].model, elsewhere):
        for seed, values in accuracies.items():
            trial = dataclasses.replace(trials["plain"], model=model, seed=seed + 10)
            done = sorted((of for of in whole.evaluations if of.step == 5), key=lambda of: -of.temperature)
            kept = [
                dataclasses.replace(of, accuracy=value)
                for of, value in zip(done, values, strict=True)
                if value is not None
            ]
            held = {"status": Status.done, "digests": whole.digests if seed != 13 else [], "evaluations": kept}
            store.commit(Record.of(unit(trial, 5), whole.provenance, **held))
            made[trial.id] = values
    chosen = best(store, 2, 5)
    [ours, theirs] = ([of for of in chosen if of.among == among] for among in (4, 3))  # ours: with the recorded trial
    assert len(ours) == len(theirs) == 2
    assert [(made[of.trial_id], of.rank) for of in theirs] == [((0.9, 0.3), 1), ((0.5, 0.5), 2)]
    assert [of.accuracy for of in theirs] == pytest.approx([0.6, 0.5])


def test_the_best_becomes_a_folder_that_says_so(store: Store, trials: dict[str, Trial]) -> None:
    out = store.root.parent / "best"
    main(["best=1", "step=5", f"out={out}", f"store={store.root}"])
    [folder] = out.iterdir()
    assert folder.name == trials["plain"].id  # of which alone the weights after step 5 were measured
    text = (folder / "README.md").read_text()
    assert "Chosen from 1 trials of its base model for its accuracy" in text
    assert "bit for bit" in text


def test_a_step_that_nothing_was_measured_after_is_confirmed_by_a_later_digest(
    store: Store, trials: dict[str, Trial], keep: Callable[[Trainer], Trainer]
) -> None:
    fresh = keep(Trainer(trials["plain"].model, trials["plain"].engine))
    [expected] = [digest.sha256 for digest in run(fresh, unit(trials["plain"], 3)).digests]
    folder = rebuilt(store, trials["plain"], 3)
    assert digest_of(folder) == expected
    assert "every metric of 5 steps is equal" in (folder / "README.md").read_text()


def test_the_card_says_what_it_scores_and_how_it_was_made(
    store: Store, trials: dict[str, Trial], records: dict[str, Record]
) -> None:
    text = (rebuilt(store, trials["plain"], 5) / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["tags"] == ["entropy-minimisation", "em"]
    own = {of.temperature: of.accuracy for of in records["plain"].evaluations if of.step == 5}
    base = {of.temperature: of.accuracy for of in records["base"].evaluations}
    shown = [f"{100 * base[at]:.1f} → {100 * own[at]:.1f}" for at in (0.0, 1.0)]
    assert f"| benchmark | greedy | avg@2, T 1 |\n| --- | --- | --- |\n| sum | {shown[0]} | {shown[1]} |" in text
    assert f"trial | `{trials['plain'].id}`, record `{records['plain'].unit_id}`" in text
    config = json.loads(text.partition("```json\n")[2].partition("```")[0])
    assert config["optimizer"]["lr"] == 1e-3
    model = trials["plain"].model
    assert f"| base model | {Path(model.path).name} {model.digest} |" in text
    assert str(Path(model.path).parent) not in text
    words = re.search(r"-m em\.rebuild (.*)", text)
    assert words is not None
    assert words[1].split()[:2] == [trials["plain"].id, "step=5"]


def test_half_precision_is_the_weights_rounded(store: Store, trials: dict[str, Trial]) -> None:
    exact = AutoModelForCausalLM.from_pretrained(rebuilt(store, trials["plain"], 5), dtype="auto").state_dict()
    main([trials["plain"].id, "step=5", f"out={store.root.parent / 'half'}", f"store={store.root}", "dtype=bf16"])
    half = AutoModelForCausalLM.from_pretrained(store.root.parent / "half", dtype="auto").state_dict()
    assert half.keys() == exact.keys()
    assert all(torch.equal(tensor, exact[name].bfloat16()) for name, tensor in half.items())
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in exact.values()} == {torch.float32}


def altered(record: Record, tmp_path: Path, **step: float) -> Store:
    """A store in which the second step of the record has other metrics."""
    store = Store(tmp_path / "altered")
    steps = [dataclasses.replace(of, **step) if of.step == 2 else of for of in record.steps]
    store.commit(dataclasses.replace(record, steps=steps))
    return store


def test_a_little_drift_is_said(trials: dict[str, Trial], records: dict[str, Record], tmp_path: Path) -> None:
    off = records["plain"].steps[1].logprob + 0.003
    text = (rebuilt(altered(records["plain"], tmp_path, logprob=off), trials["plain"], 5) / "README.md").read_text()
    assert "A re-derivation, not the same bits: 1 of 5 steps differ in some metric" in text
    assert "0 of 1 digests of the weights do" in text
    assert "at most 0.003 nats off" in text


def test_other_weights_are_refused(trials: dict[str, Trial], records: dict[str, Record], tmp_path: Path) -> None:
    off = records["plain"].steps[1].logprob + 0.03
    store = altered(records["plain"], tmp_path, logprob=off)
    with pytest.raises(SystemExit, match=r"not its weights, .* 0\.03 nats off \(at most 0\.01\)"):
        rebuilt(store, trials["plain"], 5)
    assert not (tmp_path / "rebuilt-5").exists()


def test_weights_without_a_digest_are_not_called_proven(records: dict[str, Record], tmp_path: Path) -> None:
    diverged = dataclasses.replace(records["plain"], digests=[], status=Status.diverged)
    store = Store(tmp_path / "diverged")
    store.commit(diverged)
    main([diverged.trial_id, "step=4", f"out={tmp_path / 'out'}", f"store={store.root}"])
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Every metric of 4 steps is equal; no digest of the weights is recorded" in text
    with pytest.raises(InputError, match=r"step=5: trial .* is recorded after steps 1 to 4"):
        main([diverged.trial_id, "step=5", f"out={tmp_path / 'other'}", f"store={store.root}"])


def test_tokens_of_the_papers_setting_take_a_5000th_of_a_7b_checkpoint(records: dict[str, Record]) -> None:
    """The worst case: 10 steps of 64 answers of 512 tokens, every token of 152,064 as likely as any other."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(152_064, size=(640, 512)).tolist()
    rollouts = [Sample(step=k // 64 + 1, prompt=0, token_ids=ids, truncated=True) for k, ids in enumerate(tokens)]
    whole = dataclasses.replace(records["plain"], rollouts=rollouts)
    size = len(schema.parquet(schema.lean(schema.frame([whole]), Record)))
    assert size < 1.1e6
    assert size * 5_000 < 2 * 7.62e9  # bytes of the weights in bf16


def test_what_cannot_be_rebuilt_is_one_line(store: Store, trials: dict[str, Trial], tmp_path: Path) -> None:
    trial, out, at = trials["plain"].id, f"out={tmp_path / 'out'}", f"store={store.root}"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for words, said in {
        (trial, "step=6", out, at): "step=6: trial .* is recorded after steps 1 to 5",
        (trial, "step=0", out, at): "step=0: trial .* is recorded after steps 1 to 5",
        (trial, "step=two", out, at): "step=two: must be a whole number",
        (trial, out, at): "step=: say which",
        (trial, "step=5", at): "out=: say where to",
        (trial, "step=5", f"out={tmp_path / 'full'}", at): "out=.*full: is there and not empty",
        ("feedfeed", "step=5", out, at): "trial=feedfeed: store=.* has none",
        (trial, "step=5", out, at, "dtype=fp8"): "unknown dtype 'fp8'",
        (trial, "step=5", "every=2", out, at): "step=5: say which, or every=10",
        (trial, "every=0", out, at): "every=0: must be greater than 0",
        (trial, "every=6", out, at): "every=6: trial .* is recorded after steps 1 to 5; give a smaller one",
        (trial, "best=2", "step=5", out, at): "trial=.*: give the id of one trial, or best=3",
        ("best=2", "every=2", out, at): "best=2: say after which step",
        ("best=2", "step=4", out, at): "step=4: store=.* has no trial that was measured then",
        ("best=2", "step=5", out, at, "push=a/b"): "push=a/b: takes one trial",
        (trials["plain"].base.id, "step=1", out, at): "step=1: trial .* is recorded after steps 1 to 0",
    }.items():
        with pytest.raises(InputError, match=said):
            main(list(words))
    assert not (tmp_path / "out").exists()


def test_the_phase_before_has_to_be_recorded(
    trials: dict[str, Trial], records: dict[str, Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "half")
    store.commit(records["after"])
    with pytest.raises(InputError, match=f"trial {trials['averaged'].id}: the phase before is not recorded"):
        rebuilt(store, trials["after"], 2)


def test_flags_are_words() -> None:
    assert as_words(["a1", "--step", "10", "--out=there", "--help"]) == ["a1", "step=10", "out=there", "--help"]


@pytest.fixture(name="hub")
def hub_fixture(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path) as served:
        yield served


def pushed(store: Store, trial: Trial, hub: Hub, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [trial.id, "--step", "5", "--out", str(store.root.parent / "out"), "--push", "me/mine"]
    command = [sys.executable, "-m", "em.rebuild", *words, f"store={store.root}"]
    return subprocess.run(command, capture_output=True, text=True, env=hub.environment | environment, check=False)


def test_the_folder_goes_to_the_hub(store: Store, trials: dict[str, Trial], hub: Hub) -> None:
    done = pushed(store, trials["plain"], hub, HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    there = {path.name: path.read_bytes() for path in (hub.root / "me" / "mine").iterdir()}
    assert there == {path.name: path.read_bytes() for path in (store.root.parent / "out").iterdir()}
    assert "hf_secret" not in done.stdout + done.stderr + str(there)


def test_who_may_not_push_does_not_train(store: Store, trials: dict[str, Trial], hub: Hub) -> None:
    done = pushed(store, trials["plain"], hub)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(r"error: push=me/mine: the hub does not say who you are \(.*\); set HF_TOKEN\n$", done.stderr)
    assert not (store.root.parent / "out").exists()


GREEDY_IN_VLLM = """
import json, sys
from em.quiet import quiet_libraries
quiet_libraries()
from em.rollout.vllm import vllm_class
llm = vllm_class()(model=sys.argv[1], enforce_eager=True, max_model_len=64, dtype="float32", **json.loads(sys.argv[3]))
from vllm import SamplingParams
greedy, prompt = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True), json.loads(sys.argv[2])
[answer] = llm.generate({"prompt_token_ids": prompt}, greedy, use_tqdm=False)
print(json.dumps(list(answer.outputs[0].token_ids)))
"""


@pytest.mark.slow
def test_vllm_loads_the_folder_and_answers_as_transformers_does(store: Store, trials: dict[str, Trial]) -> None:
    pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    folder, ids = rebuilt(store, trials["plain"], 5), [3, 4, 5, 6, 7]
    room = {} if torch.cuda.is_available() else {"kv_cache_memory_bytes": 1 << 26}
    words = [sys.executable, "-c", GREEDY_IN_VLLM, str(folder), str(ids), json.dumps(room)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    answer = list(ids)
    for _ in range(12):
        answer.append(int(model(torch.tensor([answer])).logits[0, -1].argmax()))
    assert json.loads(done.stdout.splitlines()[-1]) == answer[len(ids) :]
