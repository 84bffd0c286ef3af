"""What W&B shows of records: one long frame of values, and their statistics over seeds.  Frames to frames.

Names are words without dots, which W&B would take for nesting: `loss`, `score`, `accuracy_sum`, `score_t0_6`.  `score`
is the mean over the benchmarks; what is measured at another temperature than the first carries that temperature.
"""

import re
from collections.abc import Sequence

import polars as pl

from analysis.seeds import measured
from em.trial.evaluation import Evaluation

STATISTICS = ("mean", "std", "q10", "q90", "n")
History = list[dict[str, float]]  # a row for each optimiser step, which is its `_step`


def word(text: str) -> str:
    """`text` as a name that W&B does not read a structure into."""
    return re.sub(r"\W", "_", text)


def values(records: pl.DataFrame, scores: pl.DataFrame, evaluations: Sequence[Evaluation]) -> pl.DataFrame:
    """One row per (trial_id, step, name): `value`.  Metrics of step s are of the step itself, scores of after it.

    `scores` are of these evaluations (`analysis.tables.SCORES`).  A trial's metrics are those of its longest record.
    """
    recorded = longest(records)
    steps = recorded.select("trial_id", "steps").explode("steps").unnest("steps")
    own = recorded.select("trial_id", "metrics").explode("metrics").drop_nulls().unnest("metrics")
    metrics = steps.unpivot(index=["trial_id", "step"], variable_name="name").cast({"value": pl.Float64})
    place = ("trial_id", "step", "temperature")
    headlines = measured(scores, evaluations)
    named = pl.concat(
        [
            scores.select(*place, name="accuracy_" + pl.col("benchmark"), value="accuracy"),
            headlines.select(*place, name=pl.lit("score"), value="score"),
        ]
    )
    suffixes = {item.temperature: f"_t{item.temperature:g}" for item in evaluations} | {evaluations[0].temperature: ""}
    suffix = pl.col("temperature").replace_strict(suffixes, default="", return_dtype=pl.String)
    name = (pl.col("name") + suffix).str.replace_all(r"\W", "_")
    named = named.select("trial_id", "step", name, "value")
    of_method = own.select("trial_id", "step", pl.col("name").str.replace_all(r"\W", "_"), "value")
    return pl.concat([metrics, of_method, named]).drop_nulls("value").sort("trial_id", "step", maintain_order=True)


def longest(records: pl.DataFrame) -> pl.DataFrame:
    """The record of each trial that has most steps, the earliest of several."""
    return (
        records.filter(pl.col("steps").list.len() > 0)
        .sort(pl.col("steps").list.len(), "started", "unit_id", descending=[True, False, False])
        .unique("trial_id", keep="first", maintain_order=True)
    )


def over_seeds(column: str) -> dict[str, pl.Expr]:
    """STATISTICS of a column, nulls left out; `std` is the sample's, null for one seed."""
    value = pl.col(column)
    quantiles = {"q10": value.quantile(0.1, "linear"), "q90": value.quantile(0.9, "linear")}
    return {"mean": value.mean(), "std": value.std(), **quantiles, "n": value.count()}


def statistics(values: pl.DataFrame) -> pl.DataFrame:
    """From one row per (key, trial_id, step, name) to one per (key, step, `name/statistic`): STATISTICS of `value`.

    What is not finite, in the last step of a trial that diverged, is left out: `n` says of how many they are.
    """
    finite = values.filter(pl.col("value").is_finite())
    wide = finite.group_by("key", "step", "name", maintain_order=True).agg(**over_seeds("value"))
    long = wide.unpivot(STATISTICS, index=["key", "step", "name"]).drop_nulls("value")
    return long.select("key", "step", "value", name=pl.format("{}/{}", "name", "variable"))


def histories(values: pl.DataFrame) -> dict[str, History]:
    """The history of every key that has values, from one row per (key, step, name)."""
    by_key: dict[str, History] = {}
    rows = values.group_by("key", "step").agg("name", "value").sort("key", "step")
    for key, step, names, numbers in rows.iter_rows():
        row: dict[str, float] = dict(zip(names, numbers, strict=True))
        by_key.setdefault(key, []).append({"_step": step} | row)
    return by_key
