"""From records to tidy frames: `records` reads the store, everything after it maps frames to frames.

A trial may have several records.  Their measurements are united; one that was made twice counts once, and is taken from
the weights that most of its step was measured with, so that a score mixes attempts only where nothing else is recorded.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

import polars as pl

from em.errors import InputError
from em.store import Store
from em.store.record import Status
from em.trial.evaluation import Evaluation
from em.trial.identity import content_id
from em.trial.trial import Trial

KEPT = ("trial_id", "unit_id", "status", "started", "environment")  # of a record, beside each of its measurements
MEASURED = ("step", "evaluation_id", "benchmark", "temperature", "problems", "samples", "accuracy", "ungraded")


def cells(trials: Sequence[Trial], axes: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """What a sweep wants, one row per trial: trial_id, base_id, model, seed, and its value on every axis."""
    of_trials = {
        "trial_id": [trial.id for trial in trials],
        "base_id": [trial.base.id for trial in trials],
        "model": [trial.model.label for trial in trials],
        "seed": [trial.seed for trial in trials],
    }
    return pl.DataFrame(of_trials | dict(axes))


def check(name: str, axis: str, cells: pl.DataFrame, evaluations: Sequence[Evaluation]) -> None:
    """Raise InputError unless the sweep fits a figure against one axis."""
    if cells.is_empty():
        raise InputError(f"sweep {name}: has no trials")
    if not cells[axis].dtype.is_numeric():
        raise InputError(f"{axis}={cells[axis][0]}: a figure against an axis needs numbers on it")
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"sweep {name}: has several base models, a figure against {axis} shows one")
    if cells.select(axis, "seed").is_duplicated().any():
        raise InputError(f"sweep {name}: varies more than {axis} and the seed; draw one value of the rest at a time")
    temperatures = {evaluation.temperature for evaluation in evaluations}
    if len(temperatures) != 1:
        raise InputError(f"eval.temperatures={sorted(temperatures)}: a score is of one temperature, choose one")


def records(store: Store, trial_ids: Collection[str]) -> pl.DataFrame:
    """The records of these trials, one row each, without answers and rollouts.

    `environment` is a short id of the provenance's environment.  Raises InputError where there is none, or a damaged
    one.
    """
    table, damaged = store.table()
    if damaged:
        raise InputError(f"{damaged[0]}: damaged; the next launch of the sweep sets it aside and makes it again")
    frame = table.filter(pl.col("trial_id").is_in(list(trial_ids)))
    if frame.is_empty():
        raise InputError(f"store={store.root}: holds no record of these {len(trial_ids)} trials; run the sweep first")
    frame = frame.drop("attempt").unnest("provenance")
    short_ids = {text: content_id(text)[:8] for text in frame["environment"].unique()}
    return frame.with_columns(pl.col("environment").replace_strict(short_ids, return_dtype=pl.String))


def scores(records: pl.DataFrame) -> pl.DataFrame:
    """One row per (trial, step, evaluation temperature, benchmark), sorted so: what was measured, with status.

    `accuracy` is in [0, 1]; answers that could not be graded count as wrong, and are `ungraded`.
    `weights` is the digest of the weights that were measured.
    """
    digests = _unfolded(records.select("unit_id", "digests"), "digests").rename({"sha256": "weights"})
    return (
        _unfolded(records.select(*KEPT, "evaluations"), "evaluations")
        .join(digests, on=["unit_id", "step"], how="left")
        .with_columns(
            measured_together=pl.len().over("trial_id", "step", "weights"),
            ungraded=pl.sum_horizontal("timeouts", "grader_failures"),
        )
        .sort("measured_together", "started", "unit_id", descending=[True, False, False])
        .unique(["trial_id", "step", "evaluation_id"], keep="first", maintain_order=True)
        .sort("trial_id", "step", "temperature", "benchmark", "evaluation_id")
        .select("trial_id", *MEASURED, "status", "environment", "weights", "unit_id")
    )


def _unfolded(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """A row per entry of a column of lists of structs, their fields as columns."""
    return frame.filter(pl.col(column).list.len() > 0).explode(column).unnest(column)


def headlines(scores: pl.DataFrame, evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """One row per (trial, step, evaluation temperature): `score`, the unweighted mean over the benchmarks.

    `score` is null where one of the wanted evaluations is not recorded: nothing is averaged over fewer.
    `environment`: where it was measured, several ids joined by "+"; `attempts`: how many different weights it mixes;
    `ungraded`: answers that could not be graded.
    """
    wanted = pl.DataFrame(
        {"evaluation_id": [item.id for item in evaluations], "at": [item.temperature for item in evaluations]}
    ).select("evaluation_id", wanted=pl.len().over("at"))
    return (
        scores.join(wanted, on="evaluation_id")
        .group_by("trial_id", "step", "temperature", maintain_order=True)
        .agg(
            score=pl.when(pl.len() == pl.first("wanted")).then(pl.mean("accuracy")),
            environment=pl.col("environment").unique().sort().str.join("+"),
            attempts=pl.n_unique("weights"),
            ungraded=pl.sum("ungraded"),
        )
        .sort("trial_id", "step", "temperature")
    )


class Outcome(Enum):
    """What became of a wanted seed."""

    scored = "scored"
    diverged = "diverged"  # before the step at which it was to be measured
    failed = "failed"  # every attempt so far raised
    missing = "missing"  # not measured yet, or not on all benchmarks


def seeds(
    cells: pl.DataFrame, headlines: pl.DataFrame, diverged: Collection[str], failed: Collection[str]
) -> pl.DataFrame:
    """One row per wanted trial, whether it has a score or not.

    Beside `cells`: score, outcome, environment, attempts, ungraded.  `headlines` are of one step and temperature,
    `diverged` and `failed` are trial ids.
    """
    outcome = (
        pl.when(pl.col("score").is_not_null())
        .then(pl.lit(Outcome.scored.value))
        .when(pl.col("trial_id").is_in(list(diverged)))
        .then(pl.lit(Outcome.diverged.value))
        .when(pl.col("trial_id").is_in(list(failed)))
        .then(pl.lit(Outcome.failed.value))
        .otherwise(pl.lit(Outcome.missing.value))
    )
    found = headlines.select("trial_id", "score", "environment", "attempts", "ungraded")
    return cells.join(found, on="trial_id", how="left", validate="1:1", maintain_order="left").with_columns(
        outcome=outcome
    )


def diverged(records: pl.DataFrame) -> set[str]:
    return set(records.filter(pl.col("status") == Status.diverged)["trial_id"])


def failed(store: Store) -> set[str]:
    """Trials with a failed attempt, from the names of the files alone."""
    return {unit.partition("-")[0] for unit in store.failed_attempts()}
