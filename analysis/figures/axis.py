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
LEGEND = ("seed", "mean", "95% interval", "interquartile mean", "diverged")
SCORES: tuple[str, ...] = ("mean", "iqm", "low", "high", "std", "worst", "best", "gain")
LOST = [outcome.value for outcome in Outcome if outcome is not Outcome.scored]
GOLDEN = (math.sqrt(5) - 1) / 2
JITTER = 0.4  # width of a cell's cloud of points, in cells


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
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(SCORES, pl.Float64)).fill_nan(None)


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
    # its edge shows the interval of a cell that has no neighbour with one
    ax.fill_between(x, low, high, color=style.BLUE, alpha=0.17, linewidth=0.8, zorder=2, label="95% interval")
    scored = seeds.filter(pl.col("outcome") == Outcome.scored.value)
    at = jittered(scored, axis, x)
    ax.scatter(at, 100 * scored["score"].to_numpy(), 11, style.SKY, alpha=0.8, linewidth=0, zorder=3, label="seed")
    ax.plot(x, mean, "o-", color=style.BLUE, linewidth=1.5, markersize=4, zorder=4, label="mean")
    ax.scatter(x, iqm, 90, style.ORANGE, marker="_", linewidth=1.8, zorder=5, label="interquartile mean")
    lost = seeds.filter(pl.col("outcome") == Outcome.diverged.value)
    if len(lost):
        at = jittered(lost, axis, x)
        floor = ax.get_xaxis_transform()
        ax.scatter(
            at, [0.02] * len(at), 12, style.VERMILION, marker="x", linewidth=0.9, transform=floor, label="diverged"
        )
    ax.set_xlim(*moved(x[[0, -1]], np.array([-0.5, 0.5]), axis, x))  # cells without a score have their place
    ax.margins(y=0.07)
    ax.set_xlabel(LABELS.get(axis, axis))
    ax.xaxis.set_major_locator(FixedLocator(list(x)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: number(axis, value))
    count(ax, table, x)


def count(ax: Axes, table: pl.DataFrame, x: NDArray) -> None:
    """Above the axes, a row of each cell's seeds, and a row for each way in which seeds were lost."""
    rows = [name for name in reversed(LOST) if table[name].sum()] + ["n"]
    for height, name in enumerate(rows):
        over = {"textcoords": "offset points", "fontsize": 7.5, "va": "bottom"}
        colour = style.VERMILION if name in ("diverged", "failed") else style.GREY
        heading = "seeds" if name == "n" else name
        left = (-6, 4 + 10 * height)
        ax.annotate(heading, (0, 1), xycoords="axes fraction", xytext=left, ha="right", color=colour, **over)
        for value, counted in zip(x, table[name], strict=True):
            where, text = (("data", "axes fraction"), f"{counted}" if counted or name == "n" else "·")
            above = (0, 4 + 10 * height)
            ax.annotate(text, (value, 1), xycoords=where, xytext=above, ha="center", color=colour, **over)


def number(axis: str, value: float) -> str:
    """A value on the axis as people write it: 0.5, 2e-5."""
    if axis not in LOGARITHMIC:
        return f"{value:g}"
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def jittered(seeds: pl.DataFrame, axis: str, x: NDArray) -> NDArray:
    """Where the seeds' points stand: beside their cell, each seed at its own place, the same in every cell."""
    offset = (seeds["seed"].to_numpy() * GOLDEN) % 1 - 0.5
    return moved(seeds[axis].to_numpy().astype(float), JITTER * offset, axis, x)


def moved(values: NDArray, cells: NDArray | float, axis: str, x: NDArray) -> NDArray:
    """Values on the axis, moved by so many cells: one is the least distance of two of the cells at `x`."""
    scale, back = (np.log, np.exp) if axis in LOGARITHMIC else (np.array, np.array)
    cell = np.diff(scale(x)).min() if len(x) > 1 else 1.0
    return back(scale(values) + cell * cells)
