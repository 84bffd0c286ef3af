"""From records to tidy frames: `records` reads the store, everything after it maps frames to frames.

A trial may have several records.  Their measurements are united; one that was made twice counts once, and is taken from
the weights that most of its step was measured with, so that a score mixes attempts only where nothing else is recorded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import polars as pl

from em.errors import InputError
from em.evaluation.graders import GRADERS
from em.store import Store
from em.store.record import Status
from em.trial.evaluation import Evaluation
from em.trial.identity import content_id
from em.trial.trial import Trial

KEPT = ("trial_id", "unit_id", "status", "started", "environment", "code_version")  # beside each measurement
MEASURED = (
    "step",
    "evaluation_id",
    "benchmark",
    "temperature",
    "problems",
    "samples",
    "accuracy",
    "ungraded",
    "grader_version",
)
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Headline:
    """The one number of a trial that figures show: its mean accuracy over benchmarks, at one temperature, after a step.

    The base model is scored by the same evaluations, after step 0.
    """

    step: int | None  # None: the last that is wanted of each trial
    evaluations: Sequence[Evaluation]

    @property
    def after(self) -> str:
        """`after step 10`"""
        return "after its last step" if self.step is None else f"after step {self.step}"

    @property
    def temperature(self) -> float:
        return self.evaluations[0].temperature

    @property
    def label(self) -> str:
        """`mean of six benchmarks, avg@8 at temperature 1`, in two lines."""
        first, number = self.evaluations[0], len(self.evaluations)
        over = first.benchmark.name
        if number > 1:
            over = f"mean of {NUMBERS[number] if number < len(NUMBERS) else number} benchmarks"
        sampled = f"avg@{first.samples} at temperature {first.temperature:g}" if first.temperature else "greedy"
        return f"{over},\n{sampled}"


def cells(trials: Sequence[Trial], axes: Mapping[str, Sequence[object]], last: Sequence[int] = ()) -> pl.DataFrame:
    """What a sweep wants, one row per trial: trial_id, base_id, model, seed, and its value on every axis.

    `method` is that of its last phase, `start_id` and `start_step` whose weights that starts from, `last_step` the last
    one that it is measured after.

    Values that are words are sorted as the sweep names them.
    """
    of_trials = {
        "trial_id": [trial.id for trial in trials],
        "base_id": [trial.base.id for trial in trials],
        "model": [trial.model.label for trial in trials],
        "seed": [trial.seed for trial in trials],
        "method": [trial.phase.objective.name if trial.phase else "" for trial in trials],
        "start_id": [trial.origin[0].id for trial in trials],
        "start_step": [trial.origin[1] for trial in trials],
        "last_step": last or [0] * len(trials),
    }
    frame = pl.DataFrame(of_trials | dict(axes))
    words = [frame[axis] for axis in axes if frame[axis].dtype == pl.String]
    return frame.with_columns(word.cast(pl.Enum(word.drop_nulls().unique(maintain_order=True))) for word in words)


def records(store: Store, trial_ids: Collection[str]) -> pl.DataFrame:
    """The records of these trials, one row each, without answers and rollouts.

    `environment` is a short id of the provenance's environment.  Raises InputError where there is none, or a damaged
    one.
    """
    recorded, damaged = store.records()
    if damaged:
        raise InputError(f"record {damaged[0]}: damaged; the next launch of the sweep sets it aside and makes it again")
    frame = of_trials(recorded, trial_ids)
    if frame.is_empty():
        raise InputError(f"store={store.root}: holds no record of these {len(trial_ids)} trials; run the sweep first")
    short_ids = {text: content_id(text)[:8] for text in frame["environment"].unique()}
    return frame.with_columns(pl.col("environment").replace_strict(short_ids, return_dtype=pl.String))


def of_trials(recorded: pl.DataFrame, trial_ids: Collection[str]) -> pl.DataFrame:
    """The rows of a store's records (`Store.records`) that are of these trials, their provenance unfolded."""
    return recorded.filter(pl.col("trial_id").is_in(list(trial_ids))).drop("attempt").unnest("provenance")


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
        .select("trial_id", *MEASURED, "status", "environment", "code_version", "weights", "unit_id")
    )


def _unfolded(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """A row per entry of a column of lists of structs, their fields as columns."""
    return frame.filter(pl.col(column).list.len() > 0).explode(column).unnest(column)


def headlines(scores: pl.DataFrame, evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """One row per (trial, step, evaluation temperature): `score`, the unweighted mean over the benchmarks.

    `score` is null where one of the wanted evaluations is not recorded: nothing is averaged over fewer.
    `environment` and `code_version`: where and with what it was measured, several joined by "+"; `attempts`: how many
    different weights it mixes; `ungraded`: answers that could not be graded; `outdated`: measurements whose grades an
    older version of the grader gave.
    """
    wanted = pl.DataFrame(
        {
            "evaluation_id": [item.id for item in evaluations],
            "at": [item.temperature for item in evaluations],
            "grader": [GRADERS[item.benchmark.grader].version for item in evaluations],
        }
    ).select("evaluation_id", "grader", wanted=pl.len().over("at"))
    return (
        scores.join(wanted, on="evaluation_id")
        .group_by("trial_id", "step", "temperature", maintain_order=True)
        .agg(
            score=pl.when(pl.len() == pl.first("wanted")).then(pl.mean("accuracy")),
            environment=pl.col("environment").unique().sort().str.join("+"),
            code_version=pl.col("code_version").unique().sort().str.join("+"),
            attempts=pl.n_unique("weights"),
            ungraded=pl.sum("ungraded"),
            outdated=(pl.col("grader_version").fill_null(1) != pl.col("grader")).sum(),
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
    cells: pl.DataFrame, scores: pl.DataFrame, headline: Headline, diverged: Collection[str], failed: Collection[str]
) -> pl.DataFrame:
    """One row per wanted trial, whether it has a score or not.

    Beside `cells`: score, environment, code_version, attempts, ungraded, outdated, base_score (of the model it started
    from) and outcome.
    `scores` are made by `scores`; `diverged` and `failed` are trial ids.
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
    measured = headlines(scores, headline.evaluations)
    untrained = measured.filter(pl.col("step") == 0).select(base_id="trial_id", base_score="score")
    return (
        with_step(cells, headline)
        .join(measured.drop("temperature"), on=["trial_id", "step"], how="left", validate="1:1", maintain_order="left")
        .drop("step")
        .join(untrained, on="base_id", how="left", validate="m:1", maintain_order="left")
        .with_columns(outcome=outcome)
    )


def with_step(cells: pl.DataFrame, headline: Headline) -> pl.DataFrame:
    """With `step`, after which a trial is scored."""
    step = pl.col("last_step") if headline.step is None else pl.lit(headline.step)
    return cells.with_columns(step=step.cast(pl.Int64))


def base_score(seeds: pl.DataFrame) -> float | None:
    """The untrained model's score; None where there are several models, or it is not measured."""
    return seeds["base_score"][0] if seeds["base_id"].n_unique() == 1 else None


def diverged(records: pl.DataFrame) -> set[str]:
    return set(records.filter(pl.col("status") == Status.diverged)["trial_id"])


def failed(store: Store) -> set[str]:
    """Trials with a failed attempt, from the names of the files alone."""
    return {unit.partition("-")[0] for unit in store.failed_attempts()}
