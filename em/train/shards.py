"""A model's parameters spread over the ranks of a group (FSDP2): each holds a share of every one of them.

A rank is a process of torch's default process group.  With one rank nothing here does anything.  With several a
parameter is a DTensor: what takes single numbers of it together, element by element, works as ever, and whatever needs
it whole gathers it.  All ranks do the same in the same order, since each gathering waits for all of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from em.train.batching import MicroBatch, empty, micro_batches
from em.trial.sample import Sample

M = TypeVar("M", bound=nn.Module)


def ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def sharded(root: M, model: PreTrainedModel, device: str) -> M:
    """`root`, which holds the model and in whose forward pass all of it is used, with its parameters sharded.

    One unit for each layer, gathered when its turn comes; the rest, embedding and head among it, is the root's, and is
    whole as long as its forward pass lasts.  Gradients are summed over ranks: the loss is a sum that is normalised by
    the token count of all.
    """
    if ranks() == 1:
        return root
    mesh = init_device_mesh(device, (ranks(),))
    layers = [module for module in model.modules() if type(module).__name__ in (model._no_split_modules or ())]
    for module in (*layers, root):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    return root


@contextmanager
def unsharded(root: nn.Module) -> Iterator[None]:
    """Inside, what is the root's own (`sharded`) is whole outside of its forward pass too."""
    if isinstance(root, FSDPModule):
        root.unshard()
    try:
        yield
    finally:
        if isinstance(root, FSDPModule):
            root.reshard()


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own(tensor: Tensor) -> Tensor:
    """This rank's share."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def as_sharded(value: Tensor, parameter: Tensor) -> Tensor:
    """A tensor of a parameter's shape as the parameter is sharded; anything else is returned as it is."""
    if isinstance(parameter, DTensor) and not isinstance(value, DTensor) and value.shape == parameter.shape:
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return value


def gathered(named: Iterable[tuple[str, Tensor]], offload: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Whole tensors, one after another, at rank 0; the others help to gather them and get none.

    `offload`: those that had to be gathered are in the CPU's memory.
    """
    for name, tensor in named:
        found = whole(tensor)
        if not rank():
            yield name, found.cpu() if offload and found is not tensor else found


class Gathered(Mapping[str, Tensor]):
    """Tensors by name that are whole when they are looked up, and not before."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.named = named

    def __getitem__(self, name: str) -> Tensor:
        return whole(self.named[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.named)

    def __len__(self) -> int:
        return len(self.named)


def dealt(
    prompts: Sequence[list[int]],
    samples: Sequence[Sample],
    given: Mapping[str, Sequence[float]],
    max_tokens: int,
    skipped: int,
) -> list[MicroBatch]:
    """This rank's `micro_batches`, as many as every other's: a pass over one is a pass of all ranks."""
    share = slice(rank(), None, ranks())
    batches = list(micro_batches(prompts, samples, given, max_tokens, skipped, share))
    return batches + [empty(given)] * (highest(len(batches)) - len(batches))


def summed(numbers: Sequence[float]) -> list[float]:
    """Each of the numbers, summed over ranks."""
    return reduced(numbers, dist.ReduceOp.SUM) if ranks() > 1 else list(numbers)


def highest(number: int) -> int:
    """The highest that a rank has."""
    return int(reduced([number], dist.ReduceOp.MAX)[0]) if ranks() > 1 else number


def reduced(numbers: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
    total = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(total, operation)
    return total.tolist()
