"""What a search goes by: objectives of a point, from the scores of its seeds, and how much each axis matters.

S seeds.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import style

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

POINT = "point"  # column of `analysis.seeds.cells`: the place of a cell among a search's points
FEWEST = 8  # points that importances are reckoned from
DIVERGED = "diverged"  # constraint that no seed has


@dataclass(frozen=True)
class Objective:
    label: str
    column: str  # of `analysis.summary.summarise`, or one that a figure adds
    is_share: bool  # in [0, 1]
    larger: bool  # is better
    sees_divergence: bool  # a seed that diverged makes it bad
    of: Callable[[NDArray, NDArray], float]  # scores_S and seconds_S of the seeds that are recorded

    def lacks(self, value: float, bound: float) -> float:
        """How far a value is from what is asked for; 0 or less where it reaches that."""
        return bound - value if self.larger else value - bound

    def written(self, value: float) -> str:
        return f"{100 * value:.1f}%" if self.is_share else f"{value:.3g}"


def _spread(scores_S: NDArray, _: NDArray) -> float:
    """nan where there is nothing to differ from."""
    return float(np.std(scores_S, ddof=1)) if len(scores_S) > 1 else float("nan")


OBJECTIVES = {
    "mean": Objective("mean accuracy", "mean", True, True, True, lambda scores_S, _: float(np.mean(scores_S))),
    "median": Objective("median accuracy", "median", True, True, True, lambda scores_S, _: float(np.median(scores_S))),
    "worst": Objective(
        "accuracy of the worst seed", "worst", True, True, True, lambda scores_S, _: float(np.min(scores_S))
    ),
    "spread": Objective("standard deviation over seeds", "std", True, False, False, _spread),
    "seconds": Objective(
        "lane seconds a trial", "seconds", False, False, False, lambda _, seconds_S: float(seconds_S.mean())
    ),
}


@dataclass(frozen=True)
class Goal:
    """What a search is after.

    A point is given as a function, the value of an objective by its name, and the number of its seeds that diverged.
    These count as scores of 0; where an objective does not see that, there are to be none.
    """

    objectives: Sequence[str]  # names of OBJECTIVES; the first decides which point is called best
    bounds: Mapping[str, float]  # that a point has to meet, by objective

    @property
    def constraints(self) -> list[str]:
        blind = any(not OBJECTIVES[name].sees_divergence for name in self.objectives)
        return [*self.bounds, *([DIVERGED] if blind else [])]

    def lacks(self, of: Callable[[str], float], diverged: int) -> dict[str, float]:
        """By constraint, how far a point is from it; 0 or less where it holds."""
        return {
            name: float(diverged) if name == DIVERGED else OBJECTIVES[name].lacks(of(name), self.bounds[name])
            for name in self.constraints
        }

    def is_met(self, of: Callable[[str], float], diverged: int) -> bool:
        return not self.is_lost(of, diverged) and all(lack <= 0 for lack in self.lacks(of, diverged).values())

    def is_lost(self, of: Callable[[str], float], diverged: int) -> bool:
        """Whether all seeds diverged; those that did not know nothing either."""
        return diverged > 0 and of("mean") == 0

    def rank(self, of: Callable[[str], float]) -> float:
        """By the first objective; the larger the better."""
        first = self.objectives[0]
        return of(first) if OBJECTIVES[first].larger else -of(first)


@contextmanager
def untroubled() -> Iterator[None]:
    """Some of what we use is experimental to Optuna, which it says whenever it is used."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def on_front(values_NO: Sequence[Sequence[float]], objectives: Sequence[str]) -> list[bool]:
    """Of each of N points, whether no other is as good in every objective and better in one (Pareto); none with nan."""
    import optuna

    directions: list[Any] = ["maximize" if OBJECTIVES[name].larger else "minimize" for name in objectives]
    study = optuna.create_study(directions=directions)
    known = [place for place, values in enumerate(values_NO) if np.isfinite(values).all()]
    study.add_trials([optuna.trial.create_trial(values=list(values_NO[place])) for place in known])
    front = {known[trial.number] for trial in study.best_trials}
    return [place in front for place in range(len(values_NO))]


def importances(points: pl.DataFrame, axes: Sequence[str], objective: str = "mean") -> dict[str, float]:
    """Of each axis the share of the objective's variation that it explains where points are good, by PED-ANOVA
    (Watanabe et al., 2023): of all together 1.  Empty for fewer than FEWEST points, or where none differ.

    `points`: a row each, with its values on the axes and the objective's column.
    """
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    of = OBJECTIVES[objective]
    known = points.filter(pl.col(of.column).is_finite())
    varied = [axis for axis in axes if known[axis].n_unique() > 1]
    if len(known) < FEWEST or not varied or known[of.column].n_unique() == 1:
        return {}
    space: dict[str, BaseDistribution] = {axis: _distribution(axis, known[axis]) for axis in varied}
    study = optuna.create_study(direction="maximize" if of.larger else "minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=row[of.column], params={axis: row[axis] for axis in varied}, distributions=space
            )
            for row in known.iter_rows(named=True)
        ]
    )
    with untroubled():
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {axis: float(found[axis]) for axis in varied}


def _distribution(axis: str, values: pl.Series) -> "BaseDistribution":
    from optuna import distributions as of

    if not values.dtype.is_numeric():
        return of.CategoricalDistribution(values.unique(maintain_order=True).to_list())
    low, high = values.min(), values.max()
    log = is_logarithmic(axis, values)
    kind = of.IntDistribution if values.dtype.is_integer() else of.FloatDistribution
    return kind(low, high, log=log)  # type: ignore[arg-type]


def is_logarithmic(axis: str, values: pl.Series) -> bool:
    """Whether the numbers of an axis are told apart by their ratios."""
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    return low > 0 and (axis in style.LOGARITHMIC or high / low > 16)
