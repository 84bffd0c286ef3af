"""Stop where samples have become nearly certain: the paper's decline sets in when entropy is all but gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from em.errors import require_positive
from em.trial.stabiliser import Stabiliser

if TYPE_CHECKING:
    from em.store.record import StepMetrics


@dataclass(kw_only=True)
class EntropyStop(Stabiliser):
    """The first step whose samples have less entropy than the floor is the last one that changes the weights."""

    floor: float = 0.02  # nats a token, at temperature 1

    name = "entropy_stop"

    def __post_init__(self) -> None:
        require_positive("stabilisers.entropy_stop", floor=self.floor)

    def ends(self, metrics: StepMetrics) -> bool:
        return metrics.entropy < self.floor
