"""A unit of work: what is measured of one trial."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from em.errors import require
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


@dataclass(kw_only=True)
class Keep:
    """Which states of weights are written beside the records: they save time, and change nothing.

    One of an end has the size of the weights in fp32 (30 GB for a 7B model), one to go on from three times that.
    """

    states: bool = True  # at ends that other trials start from, until the launch needs them no more
    every: int = 20  # steps, after which an unfinished trial is written down, to go on from after a crash; 0: never

    def __post_init__(self) -> None:
        require(self.every >= 0, "keep.every", self.every, "must be 0 (never) or a number of steps")


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
    ends: tuple[int, ...] = ()  # steps at which other trials start from its weights
    keep: Keep = field(default_factory=Keep, compare=False)
    turn: int = field(default=0, compare=False)  # place of its seed among those of its cell: what comes first

    @cached_property
    def id(self) -> str:
        """`<trial id>-<hash of what is measured>`: two lanes given the same work write the same name."""
        return f"{self.trial.id}-{keys_id(tuple(measurement.key for measurement in self.measurements))}"

    @property
    def anew(self) -> "Unit":
        """All that is wanted of the trial, measured from the start."""
        return replace(self, measurements=self.whole or self.measurements, source="", whole=())

    @property
    def round(self) -> int:
        """Seed 0, seeds 1 to 3, 4 to 15, 16 to 63: with four times as many an interval is half as wide."""
        return (self.turn.bit_length() + 1) // 2

    @property
    def last_step(self) -> int:
        return max(measurement.step for measurement in self.measurements)

    @cached_property
    def start(self) -> tuple[str, int] | None:
        """The id of the trial, and its step, whose weights this one starts from; None: the base model's."""
        origin, steps = self.trial.origin
        return (origin.id, steps) if self.trial.before else None

    @property
    def end(self) -> tuple[str, int] | None:
        """Its own weights that others start from, as these name them; of several the last."""
        return (self.trial.id, max(self.ends)) if self.ends else None

    def leads_to(self, start: tuple[str, int]) -> bool:
        """Whether it measures these weights: then what starts from them waits for it."""
        return self.trial.id == start[0] and any(measurement.step == start[1] for measurement in self.measurements)


def united(units: Iterable[Unit]) -> list[Unit]:
    """The units, those of one trial as one, at the place of the first: a trial is trained once."""
    by_trial: dict[str, Unit] = {}
    for unit in units:
        known = by_trial.get(unit.trial.id)
        if known is None:
            by_trial[unit.trial.id] = unit
        else:
            measured = {measurement.key: measurement for measurement in (*known.measurements, *unit.measurements)}
            ends = tuple(sorted({*known.ends, *unit.ends}))
            by_trial[unit.trial.id] = replace(known, measurements=tuple(measured.values()), ends=ends)
    return list(by_trial.values())
