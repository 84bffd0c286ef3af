"""What a search is told: which sampler, how many points, what counts as good."""

import math
from dataclasses import dataclass, field
from typing import Any

from analysis.search import OBJECTIVES, Goal
from em.errors import require, require_known, require_positive


@dataclass(kw_only=True)
class Bounds:
    """What a point has to reach, by objective: at least, where more is better, else at most."""

    mean: float | None = None
    median: float | None = None
    worst: float | None = None
    spread: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, bound in self.given.items():
            most = 1.0 if OBJECTIVES[name].is_share else math.inf
            remedy = "must be a share, from 0 to 1" if OBJECTIVES[name].is_share else "must be 0 or greater, and finite"
            require(0 <= bound <= most and math.isfinite(bound), f"search.constraints.{name}", bound, remedy)

    @property
    def given(self) -> dict[str, float]:
        return {name: bound for name, bound in vars(self).items() if bound is not None}


@dataclass(kw_only=True)
class SearchConfig:
    """`search=tpe`: instead of every combination of the axes' values, points that a sampler of Optuna's chooses.

    A point is tried with the sweep's seeds, one trial each.  Point k is chosen by the results of all points but the
    last `ahead` before it, so that a search is the same on one lane and on a thousand.
    """

    sampler: str = ""  # a class of optuna.samplers; empty: every combination
    options: dict[str, Any] = field(default_factory=dict)  # its arguments
    seed: int = 0  # of the sampler
    points: int = 40
    ahead: int = 8  # points that are tried at once
    objectives: list[str] = field(default_factory=lambda: ["mean"])  # of a point's seeds: names of analysis.search
    constraints: Bounds = field(default_factory=Bounds)
    prune: float = 0.15  # p of Wilcoxon's test below which the other seeds of a point are left out; 0: none are
    warm: bool = True  # whether what is recorded of the space when the search begins is told to the sampler
    storage: str = ""  # URL of a database that shows the study; empty: a journal file in the store's studies/

    def __post_init__(self) -> None:
        require_positive("search", points=self.points, ahead=self.ahead)
        require(self.seed >= 0, "search.seed", self.seed, "must be 0 or greater")
        require(0 <= self.prune < 1, "search.prune", self.prune, "must be 0 (never) or a probability below 1")
        require(bool(self.objectives), "search.objectives", [], f"name at least one of {', '.join(OBJECTIVES)}")
        for name in self.objectives:
            require_known("objective of a search", name, OBJECTIVES)
        once = len(set(self.objectives)) == len(self.objectives)
        require(once, "search.objectives", self.objectives, "name each once")

    @property
    def is_on(self) -> bool:
        return bool(self.sampler)

    @property
    def goal(self) -> Goal:
        return Goal(self.objectives, self.constraints.given)

    @property
    def prunes(self) -> bool:
        """Only the middle of the scores can be told by comparing seed by seed."""
        return self.prune > 0 and self.objectives in (["mean"], ["median"])
