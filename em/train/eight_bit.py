"""AdamW with states in 8 bits and weights in bf16 that are rounded stochastically: torchao's, with named randomness."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torchao.optim import AdamW8bit

SEED = 0x8B17  # of the bits by which weights are rounded; update k has the stream SEED + k


class EightBit(AdamW8bit):
    """Every trial draws the same bits for the same update, wherever and after whatever it is trained."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__(weights, bf16_stochastic_round=True)

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32)  # a number would be compiled in
        first = next(weight for weight in group["params"] if weight.grad is not None)
        updates = int(self.state[first].get("step", 0))
        on_gpu = first.is_cuda
        # On a CPU torch would need a C++ compiler to fuse the update.
        with (
            torch.compiler.set_stance("default" if on_gpu else "force_eager"),
            torch.random.fork_rng(devices=[first.device] if on_gpu else []),
        ):
            torch.manual_seed(SEED + updates)
            return super().step(closure)

    def empty(self, weight: Tensor, name: str) -> Tensor:
        """A moment of that name before the first update."""
        return self._new_buffer(weight, name == "exp_avg")
