"""What one forward and backward pass holds, found by running it on tensors without data.

The trainer's own objective runs on fake tensors, which have shapes and types and no memory, while we count the bytes of
all that are alive.  So what is counted is what runs, whatever the architecture: nothing here knows what a layer keeps.
B sequences, T positions.
"""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, PretrainedConfig, masking_utils

from em.memory.recompute import recompute
from em.model.head import Head
from em.model.loading import attention
from em.train import objective
from em.train.batching import MicroBatch
from em.trial.method import Method


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are made inside, as long as they live, and remembers the most."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.bytes, self.peak = 0, 0
        self.counted = {storage_of(tensor) for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype is torch.float32:
            # On a CPU it takes fp32 too, but says nothing of its shapes then.
            made = func(*(arg.bfloat16() for arg in args[:2]), *args[2:], **(kwargs or {})).float()
        else:
            made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and (key := storage_of(tensor)) not in self.counted:
                storage = tensor.untyped_storage()
                self.counted.add(key)
                self.bytes += storage.nbytes()
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(storage, self.freed, key, storage.nbytes())
        return made

    def freed(self, key: int, size: int) -> None:
        self.counted.discard(key)
        self.bytes -= size


@contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def loss_by(fused: bool) -> AbstractContextManager[None]:
    def chunks_for(hidden_NH: Tensor, vocabulary: int) -> tuple[type[FusedChunk], int]:
        return FusedChunk, max(1, objective.FUSED_BYTES // (hidden_NH.element_size() * vocabulary))

    return replaced(objective, "chunks_for", chunks_for if fused else objective.chunks_for)


class FusedChunk:
    """What that of em.train.fused holds."""

    def __init__(self, hidden_NH: Tensor, head: Head, target_N: Tensor, temperature: float) -> None:
        self.logits_NV = hidden_NH @ head.weight_VH.T
        self.entropy_N, self.logprob_N = self.own = hidden_NH.new_zeros(2, len(target_N), dtype=torch.float32).unbind()

    def slope(self, by_entropy_N: Tensor, by_logprob_N: Tensor | None) -> Tensor:
        return self.logits_NV


def one_text_a_row() -> AbstractContextManager[None]:
    """transformers looks for rows of several texts by the values of positions, and without values makes a mask."""
    return replaced(masking_utils, "find_packed_sequence_indices", lambda *_, **__: None)


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@dataclass(frozen=True)
class Shape:
    """A micro-batch: B sequences of T tokens, `counted` of which count in each."""

    sequences: int
    length: int
    counted: int

    def batch(self) -> MicroBatch:
        places = torch.arange(self.sequences * self.length).view(self.sequences, self.length)
        predicts_N = places[:, -1 - self.counted : -1].flatten()
        known = {name: torch.ones(len(predicts_N)) for name in ("weight", "advantage")}
        return MicroBatch(torch.zeros(self.sequences, self.length, dtype=torch.long), predicts_N, known)


def held(
    config: PretrainedConfig,
    dtype: torch.dtype,
    autocast: torch.dtype | None,
    method: Method,
    shape: Shape,
    recomputed: int,
    fused: bool = False,
) -> int:
    """The most bytes beside weights and gradients, with activations of so many layers recomputed in the backward pass.

    The gradients are there from the start, as in all forward and backward passes of a step but its first.
    `fused`: with the loss as a GPU computes it.
    """
    with FakeTensorMode(), one_text_a_row(), loss_by(fused):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention(config)).eval()
        recompute(model, recomputed)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        known = [tensor for weight in model.parameters() for tensor in (weight, weight.grad) if tensor is not None]
        loss_of, batch = objective.Objective(model), shape.batch()
        with Alive(known) as alive:
            with torch.autocast("cpu", autocast, enabled=autocast is not None):
                loss, _ = loss_of(method, batch)
            loss.backward()
    return alive.peak
