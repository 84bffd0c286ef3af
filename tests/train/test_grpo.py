"""GRPO by its values: what its terms do to a token, and loss and gradients as TRL computes them."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3 import modeling_qwen3

from em.errors import InputError
from em.train.batching import micro_batches
from em.train.grpo import EPSILON, Grpo, Normalisation, Scale
from em.train.objective import Objective
from em.trial.method import Tokens
from em.trial.sample import Sample
from tests.train import trl_reference

GOLDEN = Path(__file__).parents[1] / "golden"
TRL = json.loads((GOLDEN / "trl.json").read_text())


def samples(rewards: Sequence[float], prompts: Sequence[int] | None = None, length: int = 2) -> list[Sample]:
    return [
        Sample(step=1, prompt=prompts[k] if prompts else 0, token_ids=[1] * length, truncated=False, reward=reward)
        for k, reward in enumerate(rewards)
    ]


def tokens(ratio: Sequence[float], advantage: Sequence[float], base: float = 0.0) -> tuple[Tokens, Tensor]:
    """Tokens of weight 1 whose probability was exp(-1), and is that times `ratio` by now."""
    old = torch.full((len(ratio),), -1.0)
    logprob = (old + torch.tensor(ratio).log()).requires_grad_()
    values = torch.ones_like(old), torch.tensor(advantage), old
    return Tokens(torch.ones_like(old), logprob, *values, base_logprob_N=logprob.detach() + base), logprob


def slopes(method: Grpo, of: tuple[Tokens, Tensor]) -> list[float]:
    return torch.autograd.grad(method.terms(of[0]).sum(), of[1])[0].tolist()


def test_advantages_are_of_the_group():
    method, spread = Grpo(), math.sqrt(1 / 3) + EPSILON  # of two of four, unbiased
    mixed = samples([1, 0, 1, 1, 0, 0, 1, 1], prompts=[3, 3, 3, 3, 5, 5, 5, 5])
    three, two = 0.5 + EPSILON, spread
    expected = [0.25 / three, -0.75 / three, 0.25 / three, 0.25 / three, -0.5 / two, -0.5 / two, 0.5 / two, 0.5 / two]
    assert method.advantages(mixed) == pytest.approx(expected)
    among = [mixed[k] for k in (4, 0, 5, 1, 6, 2, 7, 3)]  # in whatever order
    assert method.advantages(among) == pytest.approx([expected[k] for k in (4, 0, 5, 1, 6, 2, 7, 3)])
    assert Grpo(scale=Scale.none).advantages(mixed) == pytest.approx([0.25, -0.75, 0.25, 0.25, -0.5, -0.5, 0.5, 0.5])


@pytest.mark.parametrize("scale", list(Scale))
def test_equal_rewards_give_no_gradient(scale):
    """Also of one sample alone, which has no group to be compared with."""
    method = Grpo(scale=scale)
    equal = [*samples([1, 1, 1, 0, 0], prompts=[0, 0, 0, 1, 1]), *samples([1], prompts=[2])]
    assert method.advantages(equal) == [0.0] * 6
    assert slopes(method, tokens([0.5, 1.0, 2.0], [0.0] * 3)) == [0.0] * 3
    assert method.metrics(equal) == {
        "reward": pytest.approx(4 / 6),
        "reward_std": 0.0,
        "groups_without_signal": 1.0,
        "ungraded": 0.0,
    }


def test_at_ratio_one_it_is_the_policy_gradient():
    """The gradient by a token's log-probability is minus its advantage."""
    assert slopes(Grpo(), tokens([1.0] * 3, [2.0, -0.5, 0.0])) == pytest.approx([-2.0, 0.5, 0.0])


def test_clipping_stops_the_gradient_on_the_right_side_only():
    """A good token that became likelier, or a bad one that became less likely, by more than the clip allows."""
    ratios = [0.5, 0.75, 1.25, 1.5] * 2
    advantages = [1.0] * 4 + [-1.0] * 4
    method = Grpo(clip_low=0.2, clip_high=0.3)
    of = tokens(ratios, advantages)
    assert slopes(method, of) == pytest.approx([-0.5, -0.75, -1.25, 0.0, 0.0, 0.0, 1.25, 1.5])
    assert method.terms(of[0]).tolist() == pytest.approx([-0.5, -0.75, -1.25, -1.3, 0.8, 0.8, 1.25, 1.5])
    assert method.observed(of[0])["clipped"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_the_penalty_is_the_divergence_and_so_is_its_gradient():
    """By enumeration of a small distribution: expectations over its own samples."""
    logp = torch.tensor([0.5, 0.3, 0.2]).log()
    base = torch.tensor([0.2, 0.2, 0.6]).log()
    logits = logp.clone().requires_grad_()
    new = logits.log_softmax(0)
    divergence = (new.exp() * (new - base)).sum()
    [expected] = torch.autograd.grad(divergence, logits, retain_graph=True)
    of = Tokens(new, new, logp.exp(), torch.zeros(3), new.detach(), base_logprob_N=base)  # weight: its probability
    terms = Grpo(kl_coefficient=1.0).terms(of)
    assert terms.sum().item() == pytest.approx(divergence.item(), rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(terms.sum(), logits, retain_graph=True)[0], expected)
    plain = Grpo(kl_coefficient=1.0, kl_correction=False).terms(of)
    reverse = new.exp().detach() - base.exp()  # of KL(p_base || p), by the logits
    torch.testing.assert_close(torch.autograd.grad(plain.sum(), logits)[0], reverse)


def test_normalisations():
    mixed = [*samples([1], length=1), *samples([0], length=3)]
    assert Grpo().weights(mixed) == [1 / 2, 1 / 6]
    assert Grpo(normalisation=Normalisation.token).weights(mixed) == [1 / 4, 1 / 4]
    assert Grpo(normalisation=Normalisation.constant, max_tokens=8).weights(mixed) == [1 / 16, 1 / 16]


@pytest.mark.parametrize(
    ("field", "value"),
    [("clip_low", 0.0), ("clip_low", 1.0), ("clip_high", 0.0), ("kl_coefficient", -0.1), ("iterations", 0)],
)
def test_bad_values(field, value):
    with pytest.raises(InputError, match=rf"objective.{field}={value}: must be"):
        Grpo(**{field: value})


LOSS_TYPES = {
    "grpo": Normalisation.sequence,
    "bnpo": Normalisation.token,
    "dapo": Normalisation.token,
    "dr_grpo": Normalisation.constant,
}


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers has Qwen3's norms and rotary angles in float32, whatever the model."""
    monkeypatch.setattr(modeling_qwen3.Qwen3RMSNorm, "forward", trl_reference.rms_norm)
    monkeypatch.setattr(modeling_qwen3.Qwen3RotaryEmbedding, "forward", trl_reference.rotary)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("max_tokens", [16_384, 12])
@pytest.mark.parametrize("name", TRL["cases"])
def test_loss_and_every_gradient_are_those_of_trl(name, max_tokens):
    """In float64, to 1e-6 relative; packed as one batch, and as many."""
    case, inputs, tensors = TRL["cases"][name], TRL["inputs"], load_file(GOLDEN / "trl.safetensors")
    settings = case["settings"]
    model = Qwen3ForCausalLM(Qwen3Config(**inputs["config"])).double()
    model.load_state_dict({key: tensors[f"model/{key}"] for key in model.state_dict()})
    method = Grpo(
        normalisation=LOSS_TYPES[settings["loss_type"]],
        scale=Scale(settings["scale_rewards"]),
        clip_low=settings["epsilon"],
        clip_high=settings["epsilon_high"] or settings["epsilon"],
        kl_coefficient=settings["beta"],
        kl_correction=settings.get("use_bias_correction_kl", True),
        max_tokens=settings["max_completion_length"],
        logit_temperature=settings["temperature"],
    )
    answers = inputs["answers"]
    sampled = [
        Sample(step=1, prompt=k // 4, token_ids=answer, truncated=False, reward=inputs["rewards"][case["rewards"]][k])
        for k, answer in enumerate(answers)
    ]
    advantages = method.advantages(sampled)
    assert advantages == pytest.approx(case["advantages"], rel=1e-9, abs=1e-12)
    given = {"weight": method.weights(sampled), "advantage": advantages}
    loss, observed, loss_of = 0.0, {"clipped": 0.0, "kl": 0.0}, Objective(cast(PreTrainedModel, model))
    order = iter(sorted(range(12), key=lambda k: -len(inputs["prompts"][k // 4]) - len(answers[k])))
    for batch in micro_batches(inputs["prompts"], sampled, given, max_tokens):
        members = [next(order) for _ in range(len(batch.input_BT))]
        for known in ("old_logprobs", "base_logprobs"):
            values = case[known] or (case["logprobs"] if known == "base_logprobs" else None)
            if values:
                flat = torch.tensor([value for k in members for value in values[k]], dtype=torch.float64)
                batch.given[known.removesuffix("s")] = flat
        part, seen = loss_of(method, batch)
        part.backward()
        loss += part.item()
        observed = {key: observed[key] + float(seen.observed[key]) / sum(map(len, answers)) for key in observed}
    assert loss == pytest.approx(case["loss"], rel=1e-6, abs=1e-8)
    assert observed["clipped"] == pytest.approx(case["clip_ratio"]["region"], rel=1e-6)
    assert settings["beta"] == 0 or observed["kl"] == pytest.approx(case["kl"], rel=1e-6)
    gradients: dict[str, Any] = {key: parameter.grad for key, parameter in model.named_parameters()}
    for key, gradient in gradients.items():
        expected = tensors[f"gradient/{name}/{key}"]
        assert float((gradient - expected).norm() / expected.norm()) < 1e-6, key


@pytest.mark.slow
def test_trl_itself_still_gives_the_recorded_values(tmp_path):
    subprocess.run([sys.executable, trl_reference.__file__, tmp_path], check=True, timeout=300)
    now = json.loads((tmp_path / "trl.json").read_text())["cases"]
    assert now.keys() == TRL["cases"].keys()
    for name, case in TRL["cases"].items():
        assert now[name]["loss"] == pytest.approx(case["loss"], rel=1e-9, abs=1e-12)
        assert now[name]["advantages"] == pytest.approx(case["advantages"], rel=1e-9, abs=1e-12)
