"""What the seeds of a cell come to: one row for each combination of values on the axes."""

import math
from collections.abc import Sequence

import polars as pl
from numpy.random import Generator, default_rng

from analysis import stats
from analysis.load import Outcome

SCORES: tuple[str, ...] = ("mean", "iqm", "low", "high", "std", "worst", "best", "gain")
LOST = [outcome.value for outcome in Outcome if outcome is not Outcome.scored]


def summarise(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """One row per cell, in the order of the seeds; scores in [0, 1], null where too few seeds have one.

    n (seeds with a score), mean, iqm, low and high (95% bootstrap interval of the mean over seeds), std, worst, best,
    gain (mean minus the base model's), the seeds without a score (diverged, failed, missing), and how many environments
    are mixed.  Every cell is resampled from the same seed: its interval does not depend on which other cells there are.
    """
    resampling = int(rng.integers(2**63))
    rows = []
    for cell in seeds.partition_by(axes, maintain_order=True) if axes else [seeds]:
        scored = cell.filter(pl.col("outcome") == Outcome.scored.value)
        scores_S = scored["score"].to_numpy()
        low, high = stats.interval(default_rng(resampling), scores_S)
        base = cell["base_score"][0]
        rows.append(
            {
                **{axis: cell[axis][0] for axis in axes},
                "n": len(scores_S),
                "mean": stats.mean(scores_S),
                "iqm": stats.interquartile_mean(scores_S),
                "low": low,
                "high": high,
                "std": stats.deviation(scores_S),
                "worst": scored["score"].min(),
                "best": scored["score"].max(),
                "gain": stats.mean(scores_S) - (math.nan if base is None else base),
                **{outcome: cell["outcome"].eq(outcome).sum() for outcome in LOST},
                "environments": scored["environment"].str.split("+").explode().n_unique(),
            }
        )
    schema = {axis: seeds.schema[axis] for axis in axes} | dict.fromkeys(SCORES, pl.Float64)
    return pl.DataFrame(rows, schema_overrides=schema).fill_nan(None)
