"""What the seeds of a cell come to: one row for each cell, metric and place.

C cells, K strata (what a figure pools: prompts, say), S seeds.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from analysis import comparison, stats
from analysis.seeds import PLACE, Outcome

LOST = [outcome.value for outcome in Outcome if outcome is not Outcome.scored]
POINTS = ("mean", "low", "high", "iqm", "iqm_low", "iqm_high", "median", "q1", "q3", "worst", "best", "std")


def summarise(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator, pool: Sequence[str] = ()) -> pl.DataFrame:
    """One row per combination of axes and PLACE, in the order of the seeds; scores in [0, 1], null where too few
    seeds have one.

    n (seeds with a score) and those without (diverged, failed, missing).
    mean with its 95% interval over seeds (low, high), iqm with its own, median, quartiles, worst, best, std.
    evaluation_std: how far the scores of one model would lie apart, by chance of the answers alone.
    base (score of the model that they started from), gain (mean minus base), and p: that of no gain, corrected by Holm
    for all cells of the metric.
    environments: how many are mixed.

    Where a figure pools other fields, each combination of their values is a stratum: the mean is that of the strata's
    means, its interval that over seeds, and strata counts those that have a score.  A cell's numbers do not depend on
    which other cells there are, p apart.
    """
    keys = [*axes, *PLACE]
    cells = seeds.group_by(keys, maintain_order=True).agg(
        n=pl.col("score").count(),
        **{outcome: (pl.col("outcome") == outcome).sum() for outcome in LOST},
        median=pl.median("score"),
        q1=pl.col("score").quantile(0.25, "linear"),
        q3=pl.col("score").quantile(0.75, "linear"),
        worst=pl.min("score"),
        best=pl.max("score"),
        evaluation_std=pl.mean("variance").sqrt(),
        base=pl.first("base_score"),
        base_variance=pl.first("base_variance"),
        environments=pl.col("environment").drop_nulls().unique().cast(pl.String).str.split("+").explode().n_unique(),
    )
    scores_CKS = matrix(seeds, keys, pool)
    pooled_CS = scores_CKS.reshape(len(cells), -1)
    mean_C = stats.mean(scores_CKS)
    low_C, high_C = stats.interval(rng, scores_CKS)
    iqm_low_C, iqm_high_C = stats.trimmed_interval(pooled_CS)
    base_C, variance_C = cells["base"].to_numpy(), cells["base_variance"].fill_null(0.0).to_numpy()
    columns = {
        "mean": mean_C,
        "low": low_C,
        "high": high_C,
        "iqm": stats.interquartile_mean(pooled_CS),
        "iqm_low": iqm_low_C,
        "iqm_high": iqm_high_C,
        "std": stats.deviation(pooled_CS),
        "gain": mean_C - base_C,
        "p": comparison.no_gain(scores_CKS, base_C, variance_C),
    }
    strata = [pl.Series("strata", np.isfinite(scores_CKS).any(axis=2).sum(axis=1))] if pool else []
    numbers = cells.drop("base_variance").with_columns(
        *(pl.Series(name, of_C) for name, of_C in columns.items()), *strata
    )
    holm = pl.col("p").map_batches(lambda p: pl.Series(comparison.holm(p.to_numpy())), return_dtype=pl.Float64)
    numbers = numbers.with_columns(p=holm.over("metric"))
    order = [*keys, "n", *LOST, *POINTS, "evaluation_std", "base", "gain", "p", *(["strata"] if pool else [])]
    return numbers.select(*order, "environments").fill_nan(None)


def matrix(seeds: pl.DataFrame, keys: Sequence[str], pool: Sequence[str] = ()) -> NDArray:
    """scores_CKS of the seeds, their cells in the order that they first appear in; nan where there is no score."""
    stratum = pl.struct(pool).rank("dense") - 1 if pool else pl.lit(0)
    first = pl.col("row").min().over(keys)  # of each cell
    placed = seeds.with_row_index("row").select("score", cell=first.rank("dense") - 1, stratum=stratum)
    placed = placed.with_columns(seed=pl.int_range(pl.len()).over("cell", "stratum"))
    cell_N, stratum_N, seed_N = (placed[name].cast(pl.Int64).to_numpy() for name in ("cell", "stratum", "seed"))
    scores_CKS = np.full([int(of_N.max()) + 1 for of_N in (cell_N, stratum_N, seed_N)], np.nan)
    scores_CKS[cell_N, stratum_N, seed_N] = placed["score"].to_numpy()
    return scores_CKS
