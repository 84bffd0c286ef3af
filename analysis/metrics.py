"""What is recorded of training, step by step, beside the scores: loss, lengths."""

from collections.abc import Sequence

import polars as pl

from analysis.seeds import outcome
from analysis.tables import Tables

PROMPT = "prompt length"
COLUMNS = {"loss": "loss", "output length": "mean_length", PROMPT: PROMPT}
UNITS = {"loss": "nats", "output length": "tokens", PROMPT: "tokens"}


def joined(scores: pl.DataFrame, cells: pl.DataFrame, tables: Tables, names: Sequence[str], last: int) -> pl.DataFrame:
    """The scores (of `analysis.seeds.observe`), and below them these metrics of every step of training."""
    return pl.concat([scores, observe(cells, tables, names, last)], how="diagonal")


def observe(cells: pl.DataFrame, tables: Tables, names: Sequence[str], last: int) -> pl.DataFrame:
    """One row per (wanted trial, metric, step up to the last that is wanted), whether it was trained so far or not."""
    known = tables.steps
    if PROMPT in names:
        known = known.join(tables.prompt_lengths(cells["trial_id"]), on=["trial_id", "step"], how="left")
    columns = {name: pl.col(COLUMNS[name]).cast(pl.Float64) for name in names}
    measured = known.select("trial_id", "step", **columns).unpivot(
        names, index=["trial_id", "step"], variable_name="metric", value_name="score"
    )
    steps = pl.DataFrame({"step": range(1, last + 1)}, {"step": pl.Int64})
    wanted = cells.join(steps, how="cross").filter(pl.col("step") <= pl.col("last_step"))
    wanted = wanted.join(pl.DataFrame({"metric": names}), how="cross")
    found = wanted.join(measured, on=["trial_id", "step", "metric"], how="left", maintain_order="left")
    finite = pl.when(pl.col("score").is_finite()).then("score")
    found = found.with_columns(score=finite, temperature=pl.lit(None, pl.Float64))
    return found.with_columns(outcome=outcome(tables))
