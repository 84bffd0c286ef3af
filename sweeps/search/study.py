"""A search as an algorithm: which points are asked, how many seeds of each are wanted, what the sampler is told.

It knows no store and no trial.  What it decides follows from the results of points alone: point k is asked when all
points but the last `ahead` before it are over, and knows the results of these and no others, in their order.  So a
study is the same whatever runs it, and however often that was killed.

S seeds of a point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import WilcoxonPruner
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.search import OBJECTIVES, on_front, untroubled
from em.errors import InputError, first_line
from sweeps.search.config import SearchConfig
from sweeps.search.space import Space, sampler_of, written

DIRECTIONS = {True: StudyDirection.MAXIMIZE, False: StudyDirection.MINIMIZE}  # by Objective.larger


@dataclass(frozen=True)
class Asked:
    """A point as a sampler chose it, and what samplers note down for later."""

    values: dict[str, Any]  # by field or group
    of_trial: dict[str, Any] = field(default_factory=dict)
    of_study: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """What is recorded of a point's seeds by now."""

    scores_S: NDArray  # nan: none, or none yet
    seconds_S: NDArray  # of a lane
    is_over_S: NDArray  # recorded or given up
    diverged: int = 0  # seeds


@dataclass(frozen=True)
class Point:
    asked: Asked
    wanted: int  # seeds, from the first on
    results: Results
    is_over: bool  # all that is wanted of it is there
    is_pruned: bool = False  # its other seeds are left out
    is_warm: bool = False  # recorded before the search began

    @property
    def values(self) -> dict[str, Any]:
        return self.asked.values

    @cached_property
    def scores(self) -> NDArray:
        """Of the seeds that are wanted and have one."""
        scores_S = self.results.scores_S[: self.wanted]
        return scores_S[np.isfinite(scores_S)]

    def objective(self, name: str) -> float:
        """nan where no seed has a score."""
        known_S = np.isfinite(self.results.scores_S[: self.wanted])
        seconds_S = self.results.seconds_S[: self.wanted][known_S]
        return OBJECTIVES[name].of(self.scores, seconds_S) if known_S.any() else float("nan")


class Study:
    """`keep(k, asked)` writes point k down and returns what stands: that, or what was asked before."""

    def __init__(
        self,
        search: SearchConfig,
        space: Space,
        keep: Callable[[int, Asked], Asked],
        asked: Sequence[Asked] = (),
        warm: Sequence[Point] = (),
    ) -> None:
        """`asked`: the first points, as they were kept; `warm`: what the sampler is told before it is asked."""
        sampler_of(search, 0)  # a mistake is said before anything is trained
        self.search, self.space, self.keep = search, space, keep
        self.asked, self.warm = list(asked), list(warm)
        self.over: dict[int, Point] = {}
        self.by_number: list[Point] = []  # the points of the last look

    def look(self, results: Callable[[Asked], Results]) -> list[Point]:
        """All points that are asked by now, in their order."""
        points: list[Point] = []
        for number in range(self.search.points):
            told = points[: max(0, number - self.search.ahead + 1)]
            if not all(point.is_over for point in told[-1:]):
                break
            if number == len(self.asked):
                self.asked.append(self.keep(number, self.ask(number, told, points[len(told) :])))
            asked = self.asked[number]
            point = self.over.get(number) or self.follow(asked, results(asked), self.best([*self.warm, *told]))
            if point.is_over:
                self.over[number] = point
            points.append(point)
        self.by_number = points
        return points

    def ask(self, number: int, told: Sequence[Point], running: Sequence[Point]) -> Asked:
        """The sampler's choice of point `number`."""
        storage = InMemoryStorage()
        study = self.optuna_study(storage, sampler_of(self.search, number))
        id_ = storage.get_study_id_from_name(study.study_name)
        study.add_trials(map(self.trial_of, [*self.warm, *told]))
        study.add_trials([self.running(point.asked) for point in running])
        for name, value in (self.asked[-1].of_study if self.asked else {}).items():
            storage.set_study_system_attr(id_, name, value)
        with untroubled():
            try:
                trial = study.ask(self.space)
            except Exception as error:  # what it cannot do, and which options it cannot take, shows when it is asked
                said = f"{first_line(error)}; see search.options={self.search.options}"
                raise InputError(f"search.sampler={self.search.sampler}: {said}") from None
        own = study.get_trials(deepcopy=False)[trial.number].system_attrs
        return Asked(written(self.space, trial.params), dict(own), dict(storage.get_study_system_attrs(id_)))

    def optuna_study(self, storage: Any = None, sampler: Any = None, name: str | None = None) -> optuna.Study:
        """A study with the search's objectives, empty unless the storage holds it."""
        directions = [DIRECTIONS[OBJECTIVES[name].larger] for name in self.search.objectives]
        return optuna.create_study(
            storage=storage or InMemoryStorage(),
            sampler=sampler,
            study_name=name,
            directions=directions,
            load_if_exists=True,
        )

    def trials(self) -> list[FrozenTrial]:
        """The study as Optuna has it: what was told first, then the points of the last look."""
        points = [*self.warm, *self.by_number]
        return [self.trial_of(point) if point.is_over else self.running(point.asked) for point in points]

    def running(self, asked: Asked) -> FrozenTrial:
        own: dict[str, Any] = {"params": asked.values, "distributions": self.space}
        own["system_attrs"] = dict(asked.of_trial)  # Optuna writes into it
        return create_trial(state=TrialState.RUNNING, **own)

    def trial_of(self, point: Point) -> FrozenTrial:
        """A point that is over; failed, where an objective or a constraint is not known of it."""
        values = [point.objective(name) for name in self.search.objectives]
        said = {"seeds": len(point.scores), "pruned": point.is_pruned, "warm": point.is_warm}
        own: dict[str, Any] = {
            "params": point.values,
            "distributions": self.space,
            "system_attrs": dict(point.asked.of_trial),
            "user_attrs": said,
        }
        lacks = self.search.goal.lacks(point.objective, point.results.diverged)
        if not np.isfinite([*values, *lacks.values()]).all():
            return create_trial(state=TrialState.FAIL, **own)
        if len(values) == 1:
            own["intermediate_values"] = by_seed(point.results.scores_S[: point.wanted])
        return create_trial(values=values, constraints=lacks, **own)

    def is_good(self, point: Point) -> bool:
        """Whether a point has the scores of all its seeds and meets the constraints."""
        whole = point.is_over and not point.is_pruned and 0 < len(point.scores) == len(point.results.scores_S)
        return whole and self.search.goal.is_met(point.objective, point.results.diverged)

    def is_lost(self, point: Point) -> bool:
        """Whether all of its seeds diverged."""
        return point.is_over and self.search.goal.is_lost(point.objective, point.results.diverged)

    def best(self, points: Sequence[Point]) -> Point | None:
        """The best by the first objective of those that have all their seeds and meet the constraints; the first of
        equals."""
        good = [point for point in points if self.is_good(point)]
        return max(good, key=lambda point: self.search.goal.rank(point.objective), default=None)

    def front(self, points: Sequence[Point]) -> list[Point]:
        """Those of the good ones that no other is as good as in every objective and better in one (Pareto)."""
        good, names = [point for point in points if self.is_good(point)], self.search.objectives
        values = [[point.objective(name) for name in names] for point in good]
        return [point for point, is_on in zip(good, on_front(values, names), strict=True) if is_on]

    def follow(self, asked: Asked, results: Results, rival: Point | None) -> Point:
        """How many seeds of a point are wanted: all, unless it is worse than its rival by those that are there."""
        seeds = len(results.scores_S)
        point = Point(asked, seeds, results, bool(results.is_over_S.all()))
        if rival is None or not self.search.prunes:
            return point
        for wanted in range(min(self.first, seeds), seeds):
            if not results.is_over_S[:wanted].all():
                return replace(point, wanted=wanted, is_over=False)
            if self.is_worse(results.scores_S[:wanted], rival.results.scores_S):
                return replace(point, wanted=wanted, is_over=True, is_pruned=True)
        return point

    @cached_property
    def first(self) -> int:
        """Seeds with which Wilcoxon's test can say anything at all: if all agree, p is 2^-n."""
        return int(np.floor(np.log2(1 / self.search.prune))) + 1

    def is_worse(self, scores_S: NDArray, rival_S: NDArray) -> bool:
        """Whether Wilcoxon's test says so of the seeds that both have."""
        known_S = np.isfinite(scores_S) & np.isfinite(rival_S[: len(scores_S)])
        study = self.optuna_study()
        study.add_trial(create_trial(value=float(np.nanmean(rival_S)), intermediate_values=by_seed(rival_S)))
        own = by_seed(np.where(known_S, scores_S, np.nan))
        study.add_trial(create_trial(state=TrialState.RUNNING, intermediate_values=own))
        with untroubled():
            pruner = WilcoxonPruner(p_threshold=self.search.prune, n_startup_steps=self.first)
        return pruner.prune(study, study.get_trials(deepcopy=False)[-1])


def by_seed(scores_S: NDArray) -> dict[int, float]:
    return {int(seed): float(scores_S[seed]) for seed in np.flatnonzero(np.isfinite(scores_S))}
