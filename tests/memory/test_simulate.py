"""What is simulated is what torch allocates, of every architecture, type of weights and number of recomputed layers."""

import pytest
import torch

from bench.loss import peak_bytes
from em.memory.recompute import layers_of, recompute
from em.memory.simulate import Shape, held
from em.model.loading import attention
from em.train.objective import Objective
from em.trial.method import default_method
from tests.model.architectures import OWN, random_model

SHAPE = Shape(sequences=16, length=200, counted=60)
HELD = [  # types of weights and of autocast, and recomputed layers, of two
    (torch.float32, None, 0),
    (torch.bfloat16, torch.bfloat16, 2),
    (torch.float32, torch.bfloat16, 1),
]
CASES = [(architecture, HELD[number % 3]) for number, architecture in enumerate(OWN)]
CASES += [("Qwen3ForCausalLM", held) for held in HELD]


def allocated(model: torch.nn.Module, autocast: torch.dtype | None) -> int:
    """The most that torch holds beside weights and gradients in a step's second pass."""
    objective, batch = Objective(model), SHAPE.batch()  # type: ignore[arg-type]

    def one() -> tuple[()]:
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            loss, _ = objective(default_method(), batch)
        loss.backward()
        return ()

    one()
    return peak_bytes(one)[1]


@pytest.mark.parametrize(("architecture", "how"), CASES)
def test_a_pass_holds_what_was_simulated(architecture, how):
    dtype, autocast, recomputed = how
    model = random_model(architecture).to(dtype).eval()
    model.set_attn_implementation(attention(model.config) or "sdpa")
    expected = held(model.config, dtype, autocast, default_method(), SHAPE, recomputed)
    recompute(model, recomputed)
    assert expected == pytest.approx(allocated(model, autocast), rel=0.1)


def test_recomputing_holds_less_and_computes_the_same():
    expected = [
        held(random_model("Qwen3ForCausalLM").config, torch.float32, None, default_method(), SHAPE, layers)
        for layers in (0, 1, 2)
    ]
    assert expected[0] > 1.2 * expected[1] > 1.4 * expected[2]
    gradients = []
    for layers in (0, 1, 2):
        model = random_model("Qwen3ForCausalLM")
        assert len(layers_of(model)) == 2
        recompute(model, layers)
        loss, _ = Objective(model)(default_method(), SHAPE.batch())
        loss.backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for plain, one, both in zip(*gradients, strict=True):
        assert torch.equal(plain, one)
        assert torch.equal(plain, both)
