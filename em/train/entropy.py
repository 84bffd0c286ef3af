"""Entropy minimisation (paper, eq. 2 and 3): the mean token entropy of the model's own samples.

The paper's published code divides logits by 0.5, drops the first token's distribution and averages the means of
micro-batches, whose samples count alike however long they are: `phase=reference_code` does all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from em.errors import require, require_positive
from em.trial.identity import added
from em.trial.method import Method, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from em.trial.sample import Sample


@dataclass(kw_only=True)
class EntropyMinimisation(Method):
    """Every counted token of a step has the same weight, unless `mean_over` says otherwise."""

    loss_temperature: float = 1.0  # logits are divided by it before the softmax (published code: 0.5)
    first_token: bool = True  # count the distribution of the first generated token (published code: no)
    mean_over: int = added(default=0)  # samples: the mean of the means of so many each (published code: 2); 0: of all

    name = "em"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("objective", loss_temperature=self.loss_temperature)
        require(self.mean_over >= 0, "objective.mean_over", self.mean_over, "must be 0 or a number of samples")

    @property
    def temperature(self) -> float:
        return self.loss_temperature

    @property
    def skipped(self) -> int:
        return int(not self.first_token)

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        size = self.mean_over or max(1, len(samples))
        parts = [samples[first : first + size] for first in range(0, len(samples), size)]
        return [
            1 / max(1, self.counted(part)) / len(parts)  # none: every answer is one uncounted token
            for part in parts
            for _ in part
        ]

    def terms(self, tokens: Tokens) -> Tensor:
        return tokens.weight_N * tokens.entropy_N
