"""Averaging of weights over the last steps (Polyak and Juditsky, 1992; Izmailov et al., 2018): what is measured.

A plain mean for the first `steps` steps, then an exponential one of that horizon: avg += (weights - avg) / steps.  One
copy of the weights, however many steps.  Sampling and training go on from the weights themselves.
"""

from dataclasses import dataclass

from em.errors import require
from em.trial.stabiliser import Stabiliser


@dataclass(kw_only=True)
class Averaging(Stabiliser):
    steps: int = 5

    name = "averaging"

    def __post_init__(self) -> None:
        require(self.steps > 1, "stabilisers.averaging.steps", self.steps, "must be 2 or more; without it, 1 is used")

    @property
    def averaged(self) -> int:
        return self.steps
