"""What EM gains over the base model it started from, each at the evaluation temperature that suits it best.

The temperature is chosen on validation problems and the gain is measured on test problems: one that is chosen on the
problems it is reported on comes out too good.  S seeds, P problems.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from analysis import stats
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation

ANSWERS = ("step", "evaluation_id", "benchmark", "temperature", "problems", "samples", "correct")


class Gain(NamedTuple):
    """Accuracies in [0, 1], on test problems."""

    temperature: float  # of EM's answers
    base_temperature: float
    em: float  # mean over seeds
    base: float
    low: float  # 95% interval of em - base, over seeds and problems
    high: float
    seeds: int

    @property
    def gain(self) -> float:
        return self.em - self.base


def problem_scores(
    store: Store, trial_ids: Sequence[str], evaluations: Sequence[Evaluation], step: int
) -> pl.DataFrame:
    """One row per (trial, benchmark, temperature): `accuracy`, a list with an entry per problem.

    Raises InputError where one of the evaluations is not recorded for one of the trials.
    """
    columns = ["trial_id", *(f"evaluations.list.element.{name}" for name in ANSWERS)]
    wanted = {evaluation.id for evaluation in evaluations}
    accuracies = {}
    for record in store.leaves(store.units_of(trial_ids), columns):
        for result in record["evaluations"]:
            if result["step"] == step and result["evaluation_id"] in wanted:
                correct_PK = np.array(result["correct"], float).reshape(result["problems"], result["samples"])
                accuracies[record["trial_id"], result["benchmark"], result["temperature"]] = correct_PK.mean(1).tolist()
    if len(accuracies) < len(trial_ids) * len(wanted):
        complete = f"{len(accuracies)} of {len(trial_ids) * len(wanted)} measurements"
        raise InputError(f"store={store.root}: holds {complete} after step {step}; run the sweep to its end first")
    rows = [(*key, accuracy) for key, accuracy in accuracies.items()]
    return pl.DataFrame(rows, schema=["trial_id", "benchmark", "temperature", "accuracy"], orient="row")


def mean_scores(scores: pl.DataFrame) -> dict[float, float]:
    """Evaluation temperature -> mean over benchmarks of the mean over trials and problems."""
    by_benchmark = scores.group_by("temperature", "benchmark").agg(pl.col("accuracy").list.mean().mean())
    means = by_benchmark.group_by("temperature").agg(pl.col("accuracy").mean()).sort("temperature")
    return dict(means.select("temperature", "accuracy").iter_rows())


def best_temperature(scores: pl.DataFrame) -> float:
    """The evaluation temperature with the highest mean score; of equal ones the lowest."""
    means = mean_scores(scores)
    return max(means, key=lambda temperature: (means[temperature], -temperature))


def difference(em: pl.DataFrame, base: pl.DataFrame, rng: Generator) -> tuple[float, float]:
    """The 95% interval of the mean over benchmarks of EM minus base, paired problem by problem; one temperature each.

    Seeds and, within each benchmark, problems are resampled: other seeds and other problems would have served as well.
    """
    benchmarks = sorted(em["benchmark"].unique())
    return stats.crossed_interval(rng, *(problem_matrix(em, name) - problem_matrix(base, name) for name in benchmarks))


def problem_matrix(scores: pl.DataFrame, benchmark: str) -> NDArray:
    """Accuracy of each trial on each problem of a benchmark, [S, P], trials in the order of their ids."""
    rows = scores.filter(pl.col("benchmark") == benchmark).sort("trial_id")
    return np.array(rows["accuracy"].to_list())


def gain(em: pl.DataFrame, base: pl.DataFrame, validation: Sequence[str], test: Sequence[str], rng: Generator) -> Gain:
    """EM against base on the test benchmarks, each at its best temperature on the validation benchmarks."""
    for_choice, for_report = pl.col("benchmark").is_in(list(validation)), pl.col("benchmark").is_in(list(test))
    chosen, base_chosen = best_temperature(em.filter(for_choice)), best_temperature(base.filter(for_choice))
    em_test = em.filter(for_report, pl.col("temperature") == chosen)
    base_test = base.filter(for_report, pl.col("temperature") == base_chosen)
    return Gain(
        chosen,
        base_chosen,
        mean_scores(em_test)[chosen],
        mean_scores(base_test)[base_chosen],
        *difference(em_test, base_test, rng),
        seeds=em_test["trial_id"].n_unique(),
    )
