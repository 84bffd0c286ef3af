"""What a store holds, as tidy tables: `analysis.load("results").scores`.

A trial may have several records.  Their measurements are united; one that was made twice counts once, and is taken from
the weights that most of its step was measured with, so that a score mixes attempts only where nothing else is recorded.
"""

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from em.errors import InputError
from em.store import Store
from em.store.record import Status, StepMetrics
from em.store.schema import schema_of
from em.trial.identity import content_id
from em.trial.trial import Trial
from em.trial.written import plain, trial_from

# Ids and other words are categories: 2.7 million scores fit into some hundred megabytes.
WORD = pl.Categorical()
TRIALS = {
    "trial_id": WORD,
    "base_id": WORD,  # the trial that is the untrained model
    "model": pl.String(),
    "method": pl.String(),  # of the last phase; "" of an untrained model
    "before": pl.String(),  # the phases before: "grpo x 20"
    "seed": pl.Int64(),
    "status": WORD,  # done, diverged
    "steps": pl.Int64(),  # that are recorded of the last phase
    "started": pl.String(),  # of its first record, UTC, ISO 8601
    "seconds": pl.Float64(),  # of a lane, all its records together
    "node": pl.String(),  # the last one
    "environment": WORD,  # short ids; several joined by "+"
    "code_version": WORD,  # the same
}
SCORES = {
    "trial_id": WORD,
    "step": pl.Int64(),  # of the last phase, after which it was measured; 0: before the first
    "evaluation_id": WORD,
    "benchmark": WORD,
    "temperature": pl.Float64(),  # that answers were sampled at; 0: greedy
    "problems": pl.Int32(),
    "samples": pl.Int32(),  # answers to each problem
    "accuracy": pl.Float64(),  # share of correct answers, in [0, 1]; those that could not be graded count as wrong
    "variance": pl.Float64(),  # of the accuracy over draws of the answers; null: one answer to each problem
    "ungraded": pl.Int32(),  # answers
    "grader_version": pl.Int32(),  # null: the first
    "environment": WORD,
    "code_version": WORD,
    "weights": pl.UInt64(),  # short digest of what was measured; null where the trial has one record
    "unit_id": WORD,  # the record that it is from
}
STEPS = {"trial_id": WORD, **schema_of(StepMetrics)}
ATTEMPTS = {"trial_id": WORD, "unit_id": WORD, "attempts": pl.Int64()}


DIVERGED = {True: Status.diverged.value, False: Status.done.value}


class Tables:
    """What is recorded of some trials: `trials`, `scores`, `steps`, `attempts`."""

    def __init__(self, store: Store, records: pl.DataFrame, failed: Mapping[str, int]) -> None:
        """`records` as of `of_trials`; `failed` is the number of failed attempts, by unit id."""
        self.store = store
        short = {text: content_id(text)[:8] for text in records["environment"].unique()}
        environment = pl.col("environment").replace_strict(short, return_dtype=pl.String)
        records = records.with_columns(environment).sort("trial_id", "unit_id")
        self.scores = scores_of(records)  # one row per (trial, step, evaluation): the columns of SCORES
        self.records = records.drop("evaluations", "digests")
        self.diverged = set(self.records.filter(pl.col("status") == Status.diverged)["trial_id"])
        self.failed = set(map(trial_of, failed))  # with a failed attempt
        self.failed_attempts = failed

    @cached_property
    def trials(self) -> pl.DataFrame:
        """One row per recorded trial: the columns of TRIALS, then its config by dotted path (`optimizer.lr`)."""
        versions = [pl.col(name).unique().sort().str.join("+") for name in ("environment", "code_version")]
        of_trials = self.records.group_by("trial_id", maintain_order=True).agg(
            pl.first("trial"),
            status=pl.col("status").eq(Status.diverged).any().replace_strict(DIVERGED, return_dtype=pl.String),
            steps=pl.col("steps").list.len().max().cast(pl.Int64),
            started=pl.min("started"),
            seconds=pl.sum("seconds"),
            node=pl.col("node").sort_by("started").last(),
            **dict(zip(("environment", "code_version"), versions, strict=True)),
        )
        table = pl.concat([of_trials.drop("trial"), _configs(of_trials["trial"])], how="horizontal")
        return table.select(*(pl.col(name).cast(kind) for name, kind in TRIALS.items()), pl.exclude(TRIALS))

    @cached_property
    def steps(self) -> pl.DataFrame:
        """One row per (trial, optimiser step): the columns of STEPS; of a trial with several records its longest."""
        return _unfolded(self.longest.select("trial_id", "steps"), "steps").select(list(STEPS)).cast({"trial_id": WORD})

    @cached_property
    def longest(self) -> pl.DataFrame:
        """Of each trial with steps the record that has most, the earliest of several."""
        with_steps = self.records.filter(pl.col("steps").list.len() > 0)
        ordered = with_steps.sort(pl.col("steps").list.len(), "started", "unit_id", descending=[True, False, False])
        return ordered.unique("trial_id", keep="first", maintain_order=True).sort("trial_id")

    def prompt_lengths(self, trial_ids: Collection[str]) -> pl.DataFrame:
        """One row per (trial, optimiser step) of these trials: `prompt length`, the mean over its samples, in tokens.

        Read from the records themselves, which takes a second for some hundred.
        """
        longest = self.longest.filter(pl.col("trial_id").is_in(list(trial_ids)))
        leaves = ["prompts", *(f"rollouts.list.element.{name}" for name in ("step", "prompt"))]
        rows = []
        for trial, record in zip(longest["trial_id"], self.store.leaves(longest["unit_id"], leaves), strict=True):
            lengths = [len(prompt) for prompt in record["prompts"]]
            rows += [(trial, sample["step"], lengths[sample["prompt"]]) for sample in record["rollouts"]]
        samples = pl.DataFrame(rows, {"trial_id": WORD, "step": pl.Int64, "length": pl.Float64}, orient="row")
        means = samples.group_by("trial_id", "step", maintain_order=True).agg(pl.mean("length"))
        return means.rename({"length": "prompt length"})

    @cached_property
    def attempts(self) -> pl.DataFrame:
        """One row per unit of work with failed attempts: the columns of ATTEMPTS."""
        rows = [(trial_of(unit), unit, number) for unit, number in sorted(self.failed_attempts.items())]
        return pl.DataFrame(rows, ATTEMPTS, orient="row")


def load(store: Store | Path | str, trial_ids: Collection[str] | None = None) -> Tables:
    """The tables of a store, of all its trials or of these.

    Raises InputError where nothing is recorded of them, or where a record is damaged.
    """
    store = store if isinstance(store, Store) else Store(store)
    records = whole(store)
    attempts = store.failed_attempts()
    wanted = {*records["trial_id"], *map(trial_of, attempts)} if trial_ids is None else set(trial_ids)
    tables = among(store, records, attempts, wanted)
    if tables.records.is_empty():
        of = "" if trial_ids is None else f" of these {len(wanted)} trials"
        raise InputError(f"store={store.address}: holds no record{of}; run the sweep first")
    return tables


def whole(store: Store) -> pl.DataFrame:
    """A store's records (`Store.records`); raises InputError where one is damaged."""
    records, damaged = store.records()
    if damaged:
        raise InputError(f"record {damaged[0]}: damaged; the next launch of the sweep sets it aside and makes it again")
    return records


def among(store: Store, records: pl.DataFrame, attempts: Mapping[str, int], trial_ids: Collection[str]) -> Tables:
    """The tables of these trials, from what a store has of all: `Store.records`, `Store.failed_attempts`."""
    failed = {unit: number for unit, number in attempts.items() if trial_of(unit) in trial_ids}
    return Tables(store, of_trials(records, trial_ids), failed)


def trial_of(unit_id: str) -> str:
    return unit_id.partition("-")[0]


def of_trials(records: pl.DataFrame, trial_ids: Collection[str]) -> pl.DataFrame:
    """The rows of a store's records (`Store.records`) that are of these trials, their provenance unfolded."""
    return records.filter(pl.col("trial_id").is_in(list(trial_ids))).drop("attempt").unnest("provenance")


def _unfolded(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """A row per entry of a column of lists of structs, their fields as columns."""
    return frame.filter(pl.col(column).list.len() > 0).explode(column).unnest(column)


def _configs(written: pl.Series) -> pl.DataFrame:
    """Of each trial, from its config as recorded, what TRIALS has of it and its scalar fields by dotted path."""
    places, cells, seeds = dict[str, int](), list[int](), list[int]()
    for text in written:
        config = json.loads(text)
        seeds.append(config.pop("seed"))
        cells.append(places.setdefault(json.dumps(config), len(places)))
    columns = pl.DataFrame([_columns(trial_from(json.loads(cell))) for cell in places], infer_schema_length=None)
    return columns[cells].with_columns(seed=pl.Series(seeds, dtype=pl.Int64))


def _columns(trial: Trial) -> dict[str, Any]:
    config = plain(trial)
    before = " + ".join(f"{earlier.phase.objective.name} x {earlier.steps}" for earlier in trial.before)
    named = {
        "base_id": trial.base.id,
        "model": trial.model.label,
        "method": trial.phase.objective.name if trial.phase else "",
        "before": before,
    }
    fields = {name: value for name, value in _flat(config) if name not in ("seed", "before")}
    return named | (
        fields if trial.phase else {name: value for name, value in fields.items() if name.startswith("model.")}
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The fields of nested mappings by dotted path; a list as JSON."""
    fields = []
    for name, value in config.items():
        if isinstance(value, dict):
            fields += _flat(value, f"{prefix}{name}.")
        else:
            fields.append((f"{prefix}{name}", json.dumps(value) if isinstance(value, list) else value))
    return fields


def scores_of(records: pl.DataFrame) -> pl.DataFrame:
    """The columns of SCORES, of records as of `of_trials`: trial by trial, and of each as it was measured."""
    several = pl.col("trial_id").is_duplicated()
    digests = _unfolded(records.filter(several).select("unit_id", "digests"), "digests")
    weights = digests.select("unit_id", "step", weights=pl.col("sha256").hash()).cast({"unit_id": WORD})
    words = [pl.col(name).cast(WORD) for name in ("trial_id", "unit_id", "environment", "code_version")]
    kept = records.select(*words, "started", "evaluations", several=several)
    united = (
        _measured(kept.filter("several"))
        .drop("weights")
        .join(weights, on=["unit_id", "step"], how="left")
        .with_columns(together=pl.len().over("trial_id", "step", "weights"))
        .sort("together", "started", "unit_id", descending=[True, False, False])
        .unique(["trial_id", "step", "evaluation_id"], keep="first", maintain_order=True)
        .sort("trial_id", "step", "temperature", "benchmark")
    )
    return pl.concat([_measured(kept.filter(~pl.col("several"))).select(list(SCORES)), united.select(list(SCORES))])


def _measured(records: pl.DataFrame) -> pl.DataFrame:
    flat = _unfolded(records, "evaluations")
    columns = {"ungraded": pl.sum_horizontal("timeouts", "grader_failures"), "weights": pl.lit(None)}
    return flat.select(**{name: columns.get(name, pl.col(name)) for name in (*SCORES, "started")}).cast(SCORES)  # type: ignore[arg-type]
