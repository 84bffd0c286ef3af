"""No gradient from tokens that are nearly certain: only where the model still decides something is it pushed.

The paper's loss is a mean over all tokens, and it still is: those below the floor count in its denominator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from em.errors import require_positive
from em.trial.method import Tokens
from em.trial.stabiliser import Stabiliser

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class TokenFloor(Stabiliser):
    floor: float = 0.05  # nats, at the method's temperature

    name = "token_floor"

    def __post_init__(self) -> None:
        require_positive("stabilisers.token_floor", floor=self.floor)

    def terms(self, tokens: Tokens, terms_N: Tensor) -> Tensor:
        return terms_N * (tokens.entropy_N.detach() >= self.floor)

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        return {"tokens_below_floor": (tokens.entropy_N < self.floor).to(tokens.entropy_N.dtype)}
