"""What a sweep wants beside what is recorded of it: one row per wanted trial, score and place, also where none is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import polars as pl

from analysis.tables import WORD, Tables
from em.evaluation.graders import GRADERS
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial

AVERAGE = "average"  # the metric that is the mean over benchmarks; the others have a benchmark's name
VALIDATION = "validation"  # split of the benchmarks that serve a choice
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PLACE = ("metric", "step", "temperature")  # of a score, within a trial


class Recorded(Protocol):
    """What is recorded of some trials: `analysis.tables.Tables` is."""

    @property
    def scores(self) -> pl.DataFrame: ...

    @property
    def diverged(self) -> Collection[str]: ...  # ids of trials

    @property
    def failed(self) -> Collection[str]: ...


class Outcome(Enum):
    """What became of a wanted score."""

    scored = "scored"
    diverged = "diverged"  # before the step at which it was to be measured
    failed = "failed"  # every attempt so far raised
    missing = "missing"  # not measured yet, or not on all benchmarks


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
        sampled += f", {first.problems} problems each" if first.problems else ""
        return f"{over},\n{sampled}"


def tested(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those that scores are reported on: all but the ones on validation problems, unless there are no others."""
    return [item for item in evaluations if item.benchmark.split != VALIDATION] or list(evaluations)


def are_of(evaluations: Sequence[Evaluation]) -> pl.Expr:
    """Whether rows of scores are of these evaluations; step 0 is the base model, which is measured in its own way."""
    trained, untrained = ([of.id for of in kind] for kind in (evaluations, [item.of_base for item in evaluations]))
    measured = pl.col("evaluation_id")
    return pl.when(pl.col("step") > 0).then(measured.is_in(trained)).otherwise(measured.is_in(untrained))


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
    frame = frame.with_columns(pl.col("trial_id", "base_id", "start_id", "model", "method").cast(WORD))
    words = [frame[axis] for axis in axes if frame[axis].dtype == pl.String]
    return frame.with_columns(word.cast(pl.Enum(word.drop_nulls().unique(maintain_order=True))) for word in words)


def measured(scores: pl.DataFrame, evaluations: Sequence[Evaluation], metric: str = AVERAGE) -> pl.DataFrame:
    """One row per (trial, step, evaluation temperature): `score` in [0, 1] and its `variance` over answers.

    The metric is one of the benchmarks, or AVERAGE: the unweighted mean over those of these evaluations, null where one
    of them is not recorded, since nothing is averaged over fewer.
    `environment` and `code_version`: where and with what it was measured, several joined by "+"; `attempts`: how many
    different weights it mixes; `ungraded`: answers that could not be graded; `outdated`: measurements whose grades an
    older version of the grader gave.
    """
    own = [item for item in evaluations if metric in (AVERAGE, item.benchmark.name)]
    wanted = pl.DataFrame(
        {
            "evaluation_id": pl.Series([item.id for item in own], dtype=scores.schema["evaluation_id"]),
            "of_base": pl.Series([item.of_base.id for item in own], dtype=scores.schema["evaluation_id"]),
            "at": [item.temperature for item in own],
            "grader": [GRADERS[item.benchmark.grader].version for item in own],
        }
    ).select("evaluation_id", "of_base", "grader", wanted=pl.len().over("at"))
    trained, untrained = pl.col("step") > 0, pl.col("step") == 0
    of = ("trial_id", "step", "temperature", "environment", "code_version", "weights", "ungraded", "grader_version")
    one = {name: pl.first(name) for name in ("environment", "code_version")}
    several = {name: pl.col(name).cast(pl.String).unique().sort().str.join("+").cast(WORD) for name in one}
    mixed = any(scores[name].n_unique() > 1 for name in one)
    kept = scores.select(*of, "evaluation_id", "accuracy", "variance")
    matched = [
        kept.filter(trained).join(wanted.drop("of_base"), on="evaluation_id"),
        kept.filter(untrained).join(wanted.drop("evaluation_id"), left_on="evaluation_id", right_on="of_base"),
    ]
    return (
        pl.concat(matched)
        .group_by("trial_id", "step", "temperature")
        .agg(
            score=pl.when(pl.len() == pl.first("wanted")).then(pl.mean("accuracy")),
            variance=pl.when(pl.col("variance").null_count() == 0).then(pl.sum("variance") / pl.len() ** 2),
            **(several if mixed else one),
            attempts=pl.n_unique("weights"),
            ungraded=pl.sum("ungraded"),
            outdated=(pl.col("grader_version").fill_null(1) != pl.col("grader")).sum(),
        )
    )


def observe(
    cells: pl.DataFrame,
    recorded: Recorded,
    evaluations: Sequence[Evaluation],
    steps: Sequence[int | None] = (None,),
    temperatures: Sequence[float] = (),
    metric: str = AVERAGE,
) -> pl.DataFrame:
    """One row per (wanted trial, step, evaluation temperature), whether there is a score or not.

    Beside `cells`: metric, step, temperature, the columns of `measured`, `base_score` and `base_variance` of the model
    that it started from, and `outcome`.  A step of None is the last that is wanted of each trial, others are left out
    where they lie beyond it; at step 0 a trial has the score of what its last phase starts from.  Without
    `temperatures` it is the first evaluation's.
    """
    at = pl.DataFrame({"temperature": temperatures or [evaluations[0].temperature]}, {"temperature": pl.Float64})
    wanted = (
        cells.join(pl.DataFrame({"step": steps}, {"step": pl.Int64}), how="cross")
        .with_columns(step=pl.coalesce("step", pl.col("last_step").cast(pl.Int64)))
        .filter(pl.col("step") <= pl.col("last_step"))
        .join(at, how="cross")
    )
    first = pl.col("step") == 0
    own = wanted.with_columns(
        metric=pl.lit(metric),
        at_id=pl.when(first).then("start_id").otherwise("trial_id"),
        at_step=pl.when(first).then(pl.col("start_step").cast(pl.Int64)).otherwise("step"),
    )
    own_steps = [0, *own["at_step"].unique()]
    found = measured(recorded.scores.filter(pl.col("step").is_in(own_steps)), evaluations, metric)
    found = found.rename({"trial_id": "at_id", "step": "at_step"}).cast({"at_id": WORD})
    base = found.filter(pl.col("at_step") == 0).select(
        "temperature", base_id="at_id", base_score="score", base_variance="variance"
    )
    return (
        own.join(found, on=["at_id", "at_step", "temperature"], how="left", validate="m:1", maintain_order="left")
        .join(base, on=["base_id", "temperature"], how="left", validate="m:1", maintain_order="left")
        .drop("at_id", "at_step")
        .with_columns(outcome=outcome(recorded))
    )


def outcome(recorded: Recorded) -> pl.Expr:
    """What became of each wanted `score` of a `trial_id`."""
    of_trial = {Outcome.diverged: recorded.diverged, Outcome.failed: recorded.failed}
    found = pl.when(pl.col("score").is_not_null()).then(pl.lit(Outcome.scored.value))
    for value, trials in of_trial.items():
        found = found.when(pl.col("trial_id").is_in(list(trials))).then(pl.lit(value.value))
    return found.otherwise(pl.lit(Outcome.missing.value)).cast(pl.Enum([item.value for item in Outcome]))


def words_of(kind: pl.DataType) -> list[str]:
    """Those that an Enum has, in its order."""
    assert isinstance(kind, pl.Enum)
    return kind.categories.to_list()


def seeds(cells: pl.DataFrame, recorded: Recorded, headline: Headline) -> pl.DataFrame:
    """One row per wanted trial, with its headline score, whether it has one or not: columns as of `observe`."""
    return observe(cells, recorded, headline.evaluations, [headline.step])


def judged(cells: pl.DataFrame, tables: Tables, headline: Headline, metric: str = AVERAGE) -> pl.DataFrame:
    """That, as what decides by scores takes it, and lane `seconds`.  A diverged trial has no model to speak of: its
    score is 0."""
    took = tables.records.group_by("trial_id").agg(pl.sum("seconds")).cast({"trial_id": WORD})
    made = observe(cells, tables, headline.evaluations, [headline.step], metric=metric)
    score = pl.when(pl.col("outcome") == Outcome.diverged.value).then(0.0).otherwise("score")
    return made.with_columns(score=score).join(took, on="trial_id", how="left", maintain_order="left")


def base_score(seeds: pl.DataFrame) -> float | None:
    """The untrained model's score; None where there are several, of models or temperatures, or it is not measured."""
    return seeds["base_score"][0] if seeds.select("base_id", "temperature").unique().height == 1 else None
