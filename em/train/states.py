"""AdamW, by what holds its states and the weights that they are of."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from em.train.shards import as_sharded
from em.trial.model import States


def adamw_of(model: nn.Module, states: States) -> torch.optim.Optimizer:
    if states is States.eight_bit:
        from em.train.eight_bit import EightBit  # its library takes a while to import

        return EightBit(model.parameters())
    if states is States.on_cpu:
        return OnCpu(model.parameters())
    return torch.optim.AdamW(model.parameters(), fused=True)


class OnCpu(torch.optim.Optimizer):
    """AdamW in fp32 in the memory of the host; weights elsewhere are rounded copies of those that it updates."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__(weights, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not (state := self.state[weight]):
                    state["weight"] = weight.detach().to("cpu", torch.float32, copy=True)
                    state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(state["weight"]) for _ in range(2))
                    state["step"] = torch.zeros(())
                adamw(
                    [state["weight"]],
                    [weight.grad.to("cpu", torch.float32)],
                    [state["exp_avg"]],
                    [state["exp_avg_sq"]],
                    [],
                    [state["step"]],
                    fused=True,
                    amsgrad=False,
                    beta1=group["betas"][0],
                    beta2=group["betas"][1],
                    lr=group["lr"],
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    maximize=False,
                )
                weight.copy_(state["weight"])


def remembered(optimizer: torch.optim.Optimizer, weight: Tensor) -> dict[str, Tensor]:
    """What an optimiser remembers of a weight, as plain tensors: of one in 8 bits its codes and its scales."""
    plain = dict[str, Tensor]()
    for name, value in optimizer.state.get(weight, {}).items():
        if hasattr(value, "__tensor_flatten__") and not isinstance(value, DTensor):
            plain |= {f"{name}.{part}": getattr(value, part) for part in value.__tensor_flatten__()[0]}
        else:
            plain[name] = value
    return plain


def remind(optimizer: torch.optim.Optimizer, weight: Tensor, plain: Mapping[str, Tensor]) -> None:
    """Let an optimiser that has not begun remember this of a weight."""
    device = torch.device("cpu") if isinstance(optimizer, OnCpu) else weight.device
    state = optimizer.state[weight]
    for name, value in plain.items():
        whole, _, part = name.partition(".")
        if part:
            state.setdefault(whole, optimizer.empty(weight, whole))  # type: ignore[attr-defined]
            getattr(state[whole], part).copy_(value)
        else:
            state[name] = as_sharded(value, weight).to(device)
