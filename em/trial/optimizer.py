"""How weights are updated."""

import math
from dataclasses import dataclass

from em.errors import require, require_positive
from em.trial.identity import added


@dataclass(kw_only=True)
class Optimizer:
    """AdamW at a constant rate."""

    lr: float = 2e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    max_grad_norm: float = 1.0  # the whole gradient's L2 norm is clipped to it
    accumulate: int = added(default=1)  # the mean gradient of so many steps makes one update (published code: yes)

    def __post_init__(self) -> None:
        require_positive("optimizer", lr=self.lr, eps=self.eps, max_grad_norm=self.max_grad_norm)
        require_positive("optimizer", accumulate=self.accumulate)
        require(0 <= self.weight_decay < math.inf, "optimizer.weight_decay", self.weight_decay, "must be 0 or greater")
        for name, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            require(0 <= value < 1, f"optimizer.{name}", value, "must be in [0, 1)")
