"""A unit of work: what is measured of one trial."""

from dataclasses import dataclass
from functools import cache, cached_property

from em.trial.evaluation import Evaluation
from em.trial.identity import content_id
from em.trial.trial import Trial


@dataclass(frozen=True)
class Measurement:
    """A cell of a figure: an evaluation of a trial after so many optimiser steps."""

    step: int
    evaluation: Evaluation

    @property
    def key(self) -> tuple[int, str]:
        return self.step, self.evaluation.id


@cache
def keys_id(keys: tuple[tuple[int, str], ...]) -> str:
    """The id of a set of measurements: thousands of units of a sweep measure the same."""
    return content_id(sorted(keys))


@dataclass(frozen=True)
class Unit:
    """A unit of work: a trial and the measurements of it that are missing.  It ends in one record.

    Where another record holds the rest of what is wanted, the trial is followed along that record's tokens.  Only if
    these lead to other weights than they did (another GPU), the `whole` is measured anew: attempts are never mixed.
    """

    trial: Trial
    measurements: tuple[Measurement, ...]
    source: str = ""  # id of the recorded unit whose tokens are replayed; empty: the trial is sampled from the start
    whole: tuple[Measurement, ...] = ()  # all that is wanted of the trial, where `source` is set

    @cached_property
    def id(self) -> str:
        """`<trial id>-<hash of what is measured>`: two lanes given the same work write the same name."""
        return f"{self.trial.id}-{keys_id(tuple(measurement.key for measurement in self.measurements))}"

    @property
    def anew(self) -> "Unit":
        """All that is wanted of the trial, measured from the start."""
        return Unit(self.trial, self.whole or self.measurements)

    @property
    def last_step(self) -> int:
        return max(measurement.step for measurement in self.measurements)
