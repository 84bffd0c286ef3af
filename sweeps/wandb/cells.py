"""What W&B shows of records: long frames of values, and their statistics over seeds.  Frames to frames.

Names are words without dots, which W&B would take for nesting: `loss`, `score`, `accuracy_sum`, `score_t0_6`.  `score`
is the mean over the benchmarks; what is measured at another temperature than the first carries that temperature.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import polars as pl

from analysis import load
from em.trial.evaluation import Evaluation

STATISTICS = ("mean", "std", "q10", "q90", "n")
History = list[dict[str, Any]]  # a row for each optimiser step, which is its `_step`


def word(text: str) -> str:
    """`text` as a name that W&B does not read a structure into."""
    return re.sub(r"\W", "_", text)


def values(records: pl.DataFrame, scores: pl.DataFrame, evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """One row per (trial_id, step, name): `value`.  Metrics of step s are of the step itself, scores of after it.

    `scores` are of these evaluations, as of `analysis.load.scores`.  A trial's metrics are those of its longest record.
    """
    headlines = load.headlines(scores, evaluations).drop_nulls("score")
    return pl.concat(
        [
            metrics(records),
            named(scores, "accuracy_" + pl.col("benchmark"), "accuracy", evaluations),
            named(headlines, pl.lit("score"), "score", evaluations),
        ]
    ).sort("trial_id", "step", maintain_order=True)


def longest(records: pl.DataFrame) -> pl.DataFrame:
    """The record of each trial that has most steps, the earliest of several."""
    return (
        records.filter(pl.col("steps").list.len() > 0)
        .sort(pl.col("steps").list.len(), "started", "unit_id", descending=[True, False, False])
        .unique("trial_id", keep="first", maintain_order=True)
    )


def metrics(records: pl.DataFrame) -> pl.DataFrame:
    steps = longest(records).select("trial_id", "steps").explode("steps").unnest("steps")
    return (
        steps.unpivot(index=["trial_id", "step"], variable_name="name", value_name="value")
        .select("trial_id", "step", "name", pl.col("value").cast(pl.Float64))
        .drop_nulls("value")
    )


def named(frame: pl.DataFrame, name: pl.Expr, value: str, evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """A frame of measurements as values, each named by what it is and, unless it is the first, by its temperature."""
    first = evaluations[0].temperature
    suffixes = {item.temperature: f"_t{word(f'{item.temperature:g}')}" for item in evaluations} | {first: ""}
    suffix = pl.col("temperature").replace_strict(suffixes, default="", return_dtype=pl.String)
    return frame.select(
        "trial_id", "step", name=(name + suffix).str.replace_all(r"\W", "_"), value=pl.col(value).cast(pl.Float64)
    )


def statistics(values: pl.DataFrame) -> pl.DataFrame:
    """One row per (cell, step, name): STATISTICS over its trials; `std` is the sample's, null for one trial.

    What is not finite, in the last step of a trial that diverged, is left out: `n` says of how many they are.
    """
    finite = values.filter(pl.col("value").is_finite())
    found = finite.group_by("cell", "step", "name", maintain_order=True).agg(**over_seeds("value"))
    return found.sort("cell", "step", maintain_order=True)


def over_seeds(column: str) -> dict[str, pl.Expr]:
    """STATISTICS of a column, nulls left out."""
    value = pl.col(column)
    quantiles = {"q10": value.quantile(0.1, "linear"), "q90": value.quantile(0.9, "linear")}
    return {"mean": value.mean(), "std": value.std(), **quantiles, "n": value.count()}


def history_of_cell(found: pl.DataFrame) -> History:
    """`loss/mean`, `loss/std`, ... of each step, from the `statistics` of one cell."""
    return [
        {"_step": step}
        | {f"{row['name']}/{key}": row[key] for row in rows for key in STATISTICS if row[key] is not None}
        for step, rows in groupby(found.iter_rows(named=True), key=lambda row: row["step"])
    ]


def histories(values: pl.DataFrame) -> Iterator[tuple[str, History]]:
    """The history of each trial that has values, from frames as `values` makes them."""
    for trial, rows in groupby(values.iter_rows(), key=lambda row: row[0]):
        steps = groupby(rows, key=lambda row: row[1])
        yield trial, [{"_step": step} | {name: value for *_, name, value in items} for step, items in steps]


def columns(histories: Iterable[History]) -> set[str]:
    return {name for history in histories for row in history for name in row}
