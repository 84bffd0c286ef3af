"""How far seeds lie apart on each benchmark: by chance of the sampled answers, and because models differ."""

import polars as pl

from analysis.components import components
from analysis.table import CELL

POOLED = "all cells"
COLUMNS = {
    "model": pl.String,  # what cells start from; POOLED: the mean over cells
    "method": pl.String,
    "metric": pl.String,
    "cells": pl.Int64,  # that it is of
    "n": pl.Int64,  # models
    "total": pl.Float64,  # variance of the scores, as shares
    "evaluation": pl.Float64,  # of it by chance of the answers
    "seeds": pl.Float64,  # the rest, at least 0
    "share": pl.Float64,  # of seeds in the total; 0 where that is 0
    "low": pl.Float64,  # 95% interval of seeds
    "high": pl.Float64,
}


def spread(seeds: pl.DataFrame) -> pl.DataFrame:
    """One row per trained cell and metric, and before them one per metric, pooled; the columns of COLUMNS.

    `seeds` as of `analysis.table.observed`.  Pooled are the mean variances over cells that have two seeds or more with
    a score and its noise; seeds is what evaluation leaves of the total there, so that no cell's is cut off at 0.
    """
    made = []
    trained = seeds.filter(pl.col("last_step") > 0)
    for key, cell in trained.group_by(*CELL, "metric", maintain_order=True):
        *_, model, method, metric = key
        scored = cell.drop_nulls(["score", "variance"])
        if len(scored) > 1:
            of_cell = components(scored["score"].to_numpy(), scored["variance"].to_numpy())._asdict()
            own = {"model": model, "method": method, "metric": metric, "cells": 1, "n": len(scored)}
            made.append(own | of_cell)
    cells = pl.DataFrame(made, COLUMNS).fill_nan(None)
    total, evaluation = pl.mean("total"), pl.mean("evaluation")
    left = (total - evaluation).clip(0)
    pooled = cells.group_by("metric", maintain_order=True).agg(
        model=pl.lit(POOLED),
        method=pl.lit(""),
        cells=pl.sum("cells"),
        n=pl.sum("n"),
        total=total,
        evaluation=evaluation,
        seeds=left,
        share=pl.when(total > 0).then(left / total).otherwise(0.0),
        low=pl.lit(None, pl.Float64),
        high=pl.lit(None, pl.Float64),
    )
    return pl.concat([pooled.select(list(COLUMNS)), cells])
