"""Score against one axis, every seed shown: Figure 3 (training temperature) and Figure 6 (learning rate)."""

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from analysis import stats, style
from analysis.load import Outcome

LABELS = {"rollout.temperature": "training temperature", "optimizer.lr": "learning rate"}
LOGARITHMIC = {"optimizer.lr"}
LOST = [outcome.value for outcome in Outcome if outcome is not Outcome.scored]
GOLDEN = (math.sqrt(5) - 1) / 2
JITTER = 0.3  # width of a cell's cloud of points, as a share of the least distance of two cells


def table(seeds: pl.DataFrame, axis: str, base: float | None, rng: Generator) -> pl.DataFrame:
    """One row per value on the axis; scores in [0, 1], null where too few seeds have one.

    n (seeds with a score), mean, iqm, low and high (95% bootstrap interval of the mean over seeds), std, worst, best,
    gain (mean minus base), the seeds without a score (diverged, failed, missing), and how many environments are mixed.
    Every cell is resampled from the same seed: its interval does not depend on which other cells there are.
    """
    resampling = int(rng.integers(2**63))
    rows = []
    for value in seeds[axis].unique().sort():
        cell = seeds.filter(pl.col(axis) == value)
        scored = cell.filter(pl.col("outcome") == Outcome.scored.value)
        scores_S = scored["score"].to_numpy()
        low, high = stats.interval(default_rng(resampling), scores_S)
        rows.append(
            {
                axis: value,
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
    floats = dict.fromkeys(("mean", "iqm", "low", "high", "std", "worst", "best", "gain"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=floats).fill_nan(None)


def draw(ax: Axes, axis: str, table: pl.DataFrame, seeds: pl.DataFrame, base: float | None) -> None:
    """Mean line, interval band, interquartile mean, every seed as a point, the base model as a line; in per cent."""
    if axis in LOGARITHMIC:
        ax.set_xscale("log")
    x = table[axis].to_numpy().astype(float)
    mean, iqm, low, high = (100 * table[name].to_numpy() for name in ("mean", "iqm", "low", "high"))
    if base is not None:
        ax.axhline(100 * base, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2.5)), zorder=1)
        ax.annotate(
            f"base\n{100 * base:.1f}",
            (1, 100 * base),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    ax.fill_between(x, low, high, color=style.BLUE, alpha=0.16, linewidth=0, zorder=2, label="95% interval")
    scored = seeds.filter(pl.col("outcome") == Outcome.scored.value)
    at = jittered(scored, axis, x)
    ax.scatter(at, 100 * scored["score"].to_numpy(), 11, style.SKY, alpha=0.75, linewidth=0, zorder=3, label="seed")
    ax.errorbar(
        x, mean, [mean - low, high - mean], color=style.BLUE, linewidth=1.5, elinewidth=1, zorder=4, label="mean"
    )
    ax.scatter(
        x, iqm, 24, style.ORANGE, "D", edgecolor="white", linewidth=0.7, zorder=5, label="interquartile mean"
    )
    lost = seeds.filter(pl.col("outcome") == Outcome.diverged.value)
    if len(lost):
        at = jittered(lost, axis, x)
        floor = ax.get_xaxis_transform()
        ax.scatter(
            at, [0.02] * len(at), 12, style.VERMILION, "x", linewidth=0.9, transform=floor, zorder=3, label="diverged"
        )
    ax.set_xlabel(LABELS.get(axis, axis))
    ax.xaxis.set_major_locator(FixedLocator(list(x)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    count(ax, table, x)


def count(ax: Axes, table: pl.DataFrame, x: NDArray) -> None:
    """Above the axes, a row of each cell's seeds, and a row for each way in which seeds were lost."""
    rows = [name for name in reversed(LOST) if table[name].sum()] + ["n"]
    for height, name in enumerate(rows):
        colour = style.GREY if name == "n" else style.VERMILION
        over = {"textcoords": "offset points", "fontsize": 7.5, "color": colour, "va": "bottom"}
        heading = "seeds" if name == "n" else name
        ax.annotate(heading, (0, 1), xycoords="axes fraction", xytext=(-6, 3 + 10 * height), ha="right", **over)
        for value, number in zip(x, table[name], strict=True):
            where = ("data", "axes fraction")
            ax.annotate(f"{number}", (value, 1), xycoords=where, xytext=(0, 3 + 10 * height), ha="center", **over)


def jittered(seeds: pl.DataFrame, axis: str, x: NDArray) -> NDArray:
    """Where the seeds' points stand: beside their cell, each seed at its own place, the same in every cell."""
    logarithmic = axis in LOGARITHMIC
    scale, back = (np.log, np.exp) if logarithmic else (np.array, np.array)
    distance = np.diff(scale(x)).min() if len(x) > 1 else 1.0
    offset = (seeds["seed"].to_numpy() * GOLDEN) % 1 - 0.5
    return back(scale(seeds[axis].to_numpy().astype(float)) + JITTER * distance * offset)
