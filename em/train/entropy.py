"""Entropy minimisation (paper, eq. 2 and 3): the mean token entropy of the model's own samples.

Departs from the paper's published code, which divides logits by 0.5, drops the first token's distribution and averages
the means of micro-batches: `objective=reference_code` has the first two, and a step is one mean over all its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from em.errors import require_positive
from em.trial.method import Method, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from em.trial.sample import Sample


@dataclass(kw_only=True)
class EntropyMinimisation(Method):
    """Every counted token of a step has the same weight."""

    loss_temperature: float = 1.0  # logits are divided by it before the softmax (published code: 0.5)
    first_token: bool = True  # count the distribution of the first generated token (published code: no)

    name = "em"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("objective", loss_temperature=self.loss_temperature)

    @property
    def temperature(self) -> float:
        return self.loss_temperature

    @property
    def skipped(self) -> int:
        return int(not self.first_token)

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        return [1 / max(1, self.counted(samples))] * len(samples)  # none: every answer is one uncounted token

    def terms(self, tokens: Tokens) -> Tensor:
        return tokens.weight_N * tokens.entropy_N
