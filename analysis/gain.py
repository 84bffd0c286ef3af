"""What EM gains over the base models that it started from, at one temperature, and each at the one that suits it best.

The best evaluation temperature is chosen on validation problems and the gain is measured on test problems: one that is
chosen on the problems it is reported on comes out too good.  B base models: they are the unit, since another base model
is what a reader would try.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import load, stats
from analysis.load import Headline
from em.trial.evaluation import Evaluation

VALIDATION = "validation"  # split of the benchmarks that serve a choice


class Gains(NamedTuple):
    """Over base models, in the unit of the gains."""

    models: int
    mean: float
    low: float  # 95% interval of the mean, Student's t
    high: float
    worst: float
    losing: int

    def __str__(self) -> str:
        """Of gains in points."""
        return (
            f"{self.mean:+.1f} points (95% interval over {self.models} base models {self.low:.1f} to {self.high:.1f}), "
            f"the worst {self.worst:+.1f}, {self.losing} of {self.models} lose"
        )


def over_models(gains_B: NDArray) -> Gains:
    low, high = stats.student_interval(gains_B)
    return Gains(len(gains_B), stats.mean(gains_B), low, high, float(np.min(gains_B)), int((gains_B < 0).sum()))


def divided(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
    """Those on validation problems, and the others."""
    chosen = [item for item in evaluations if item.benchmark.split == VALIDATION]
    return chosen, [item for item in evaluations if item.benchmark.split != VALIDATION]


def compared(
    seeds: pl.DataFrame, scores: pl.DataFrame, evaluations: Sequence[Evaluation], headline: Headline
) -> pl.DataFrame:
    """`seeds` (of `analysis.load.seeds`) with scores on test problems alone, null where one is not measured.

    `score` and `base_score` at the headline's temperature; `own_score` and `own_base_score` each at its own best one,
    `own_temperature` and `own_base_temperature`: with the highest mean on validation problems, of EM's trials on a base
    model and of that model; of equal ones the lowest.
    """
    base_of = seeds.select("trial_id", "base_id")

    def trained_and_bases(of: Sequence[Evaluation]) -> tuple[pl.DataFrame, pl.DataFrame]:
        measured = load.headlines(scores, of).drop_nulls("score").select("trial_id", "step", "temperature", "score")
        trained = measured.filter(pl.col("step") == headline.step).join(base_of, on="trial_id").drop("step")
        bases = measured.filter(pl.col("step") == 0).drop("step").rename({"trial_id": "base_id"})
        return trained, bases.filter(pl.col("base_id").is_in(base_of["base_id"].to_list()))

    (trained_chosen, bases_chosen), (trained, bases) = map(trained_and_bases, divided(evaluations))
    at = pl.col("temperature") == headline.temperature
    own = best_temperatures(trained_chosen).rename({"temperature": "own_temperature"})
    own_base = best_temperatures(bases_chosen).rename({"temperature": "own_base_temperature"})
    columns = [
        (trained.filter(at).select("trial_id", "score"), ["trial_id"]),
        (bases.filter(at).select("base_id", base_score="score"), ["base_id"]),
        (own, ["base_id"]),
        (own_base, ["base_id"]),
        (
            trained.select("trial_id", own_temperature="temperature", own_score="score"),
            ["trial_id", "own_temperature"],
        ),
        (
            bases.select("base_id", own_base_temperature="temperature", own_base_score="score"),
            ["base_id", "own_base_temperature"],
        ),
    ]
    seeds = seeds.drop("score", "base_score")
    for frame, keys in columns:
        seeds = seeds.join(frame, on=keys, how="left", maintain_order="left")
    return seeds


def best_temperatures(measured: pl.DataFrame) -> pl.DataFrame:
    """For each `base_id` the `temperature` with the highest mean score; of equal ones the lowest."""
    means = measured.group_by("base_id", "temperature").agg(pl.col("score").mean().round(12))
    ordered = means.sort("base_id", "score", "temperature", descending=[False, True, False])
    return ordered.unique("base_id", keep="first", maintain_order=True).drop("score")
