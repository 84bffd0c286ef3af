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

from analysis import stats
from analysis.seeds import AVERAGE, VALIDATION, Headline, measured, observe, tested
from analysis.tables import Tables
from em.trial.evaluation import Evaluation

OWN = "each at its best temperature"  # the metric beside AVERAGE, which is at the headline's


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
    return Gains(len(gains_B), float(np.mean(gains_B)), low, high, float(np.min(gains_B)), int((gains_B < 0).sum()))


def validated(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those on validation problems."""
    return [item for item in evaluations if item.benchmark.split == VALIDATION]


def compared(
    cells: pl.DataFrame, tables: Tables, evaluations: Sequence[Evaluation], headline: Headline
) -> pl.DataFrame:
    """What is recorded of each wanted trial on test problems, as of `analysis.seeds.observe`: two rows for each.

    AVERAGE is the score at the headline's temperature, OWN that at the best one for all trials of a base model;
    `base_score` is the base model's, at the same and at its own best one, `base_temperature`.  The best one has the
    highest mean on validation problems, of equal ones it is the lowest.
    """
    reported, temperatures = tested(evaluations), sorted({item.temperature for item in evaluations})
    at_all = observe(cells, tables, reported, [headline.step], temperatures)
    chosen = measured(tables.scores, validated(evaluations)).drop_nulls("score")
    of_trials = cells.select("base_id", "trial_id").join(chosen, on="trial_id")
    steps = at_all.select("trial_id", "step").unique()
    own = best_temperatures(of_trials.join(steps, on=["trial_id", "step"], how="semi"))
    of_bases = chosen.filter(pl.col("step") == 0).rename({"trial_id": "base_id"})
    own_base = best_temperatures(of_bases).rename({"temperature": "base_temperature"})
    bases = at_all.select("base_id", "base_score", "base_variance", base_temperature="temperature").unique()
    at_own = (
        at_all.join(own, on=["base_id", "temperature"], how="semi", maintain_order="left")
        .drop("base_score", "base_variance")
        .join(own_base, on="base_id", how="left", maintain_order="left")
        .join(bases, on=["base_id", "base_temperature"], how="left", maintain_order="left")
    )
    headlined = at_all.filter(pl.col("temperature") == headline.temperature)
    headlined = headlined.with_columns(base_temperature=pl.col("temperature"))
    named = [(headlined, AVERAGE), (at_own, OWN)]
    return pl.concat(frame.with_columns(metric=pl.lit(name)).select(headlined.columns) for frame, name in named)


def best_temperatures(measured: pl.DataFrame) -> pl.DataFrame:
    """For each `base_id` the `temperature` with the highest mean score; of equal ones the lowest."""
    means = measured.group_by("base_id", "temperature").agg(pl.col("score").mean().round(12))
    ordered = means.sort("base_id", "score", "temperature", descending=[False, True, False])
    return ordered.unique("base_id", keep="first", maintain_order=True).drop("score")
