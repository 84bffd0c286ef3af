"""Weights are copied into vLLM's tensors where these are all that it computes with, and laid out anew elsewhere."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import linear

from em.model.loading import load
from em.rollout import Request, open_engine
from em.trial.model import Model
from em.trial.rollout import EngineConfig, EngineName

REQUESTS = [
    Request(prompt=list(b"3+8+5+2?"), seed=7, samples=4, max_new_tokens=12),
    Request(prompt=list(range(200)), seed=1, temperature=0.0, max_new_tokens=12),
]


def as_on_a_gpu(layer: Any, remove_weight: bool) -> None:
    """The weights as they are loaded."""
    layer.cpu_linear = linear


def with_something_made_of_them(layer: Any, remove_weight: bool) -> None:
    """The weights as they are loaded, beside what is computed with."""
    made: torch.Tensor = layer.weight.detach().clone()
    layer.cpu_linear = lambda x, weight, bias: linear(x, made, bias)


LAYOUTS = {
    "as on a GPU": as_on_a_gpu,
    "with something made of them": with_something_made_of_them,
    "vLLM's on a CPU": None,
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pushed_weights_are_the_ones_used(
    layout: str,
    tied: bool,
    checkpoint: Callable[..., Any],
    random_model: Callable[..., Any],
    keep: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit for bit those of an engine that knows no other, after other weights and after weights that are not finite."""
    utils = pytest.importorskip("vllm.model_executor.layers.utils", reason="vLLM does not import here")
    if torch.cuda.is_available():
        pytest.skip("of the CPU's layouts")
    if LAYOUTS[layout]:
        monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", LAYOUTS[layout])

    def opened(seed: int) -> Any:
        folder = checkpoint(tied, seed=seed)
        rollout = EngineConfig(engine=EngineName.vllm, max_num_seqs=16)
        engine = keep(open_engine(folder, rollout, Model(path=str(folder))))
        engine.push(load(folder, torch.float32).state_dict())
        return engine

    one, other = opened(0), opened(1)
    assert one.in_place is other.in_place is (layout == "as on a GPU")
    base, trained = (random_model(tied, seed=seed).state_dict() for seed in (0, 1))
    first = one.generate(REQUESTS, logprobs=True)
    one.push(trained)
    assert one.generate(REQUESTS, logprobs=True) == other.generate(REQUESTS, logprobs=True)
    one.push({name: tensor * torch.nan for name, tensor in base.items()})
    one.push(base)
    one.clear_cache()
    assert one.generate(REQUESTS, logprobs=True) == first
