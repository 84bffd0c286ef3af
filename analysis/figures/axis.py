"""Score against one axis, every seed shown: Figure 3 (training temperature) and Figure 6 (learning rate)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from analysis import style
from analysis.figures import Figure, require_axes
from analysis.load import Outcome, base_score
from analysis.summary import LOST, summarise
from em.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

GOLDEN = (math.sqrt(5) - 1) / 2
JITTER = 0.4  # width of a cell's cloud of points, in cells


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """One axis of numbers, one base model."""
    require_axes(figure, 1)
    (axis,) = figure.axes
    if not cells[axis].dtype.is_numeric():
        raise InputError(f"{axis}={cells[axis][0]}: a figure against an axis needs numbers on it")
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, a figure against {axis} shows one")


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """One row per value on the axis, columns as of `analysis.summary.summarise`."""
    return summarise(seeds, axes, rng)


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """Mean line, interval band, interquartile mean, every seed as a point, the base model as a line; in per cent."""
    from matplotlib.ticker import FixedLocator, NullLocator

    (axis,), ax = figure.axes, page.subplots()
    if axis in style.LOGARITHMIC:
        ax.set_xscale("log")
    x = numbers[axis].to_numpy().astype(float)
    mean, iqm, low, high = (100 * numbers[name].to_numpy() for name in ("mean", "iqm", "low", "high"))
    if (base := base_score(seeds)) is not None:
        ax.axhline(100 * base, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2.5)), zorder=1)
        ax.annotate(
            f"base\n{100 * base:.1f}",
            (1, 100 * base),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    scored = seeds.filter(pl.col("outcome") == Outcome.scored.value)
    at = jittered(scored, axis, x)
    ax.scatter(at, 100 * scored["score"].to_numpy(), 11, style.SKY, alpha=0.8, linewidth=0, zorder=3, label="seed")
    ax.plot(x, mean, "o-", color=style.BLUE, linewidth=1.5, markersize=4, zorder=4, label="mean")
    # its edge shows the interval of a cell that has no neighbour with one
    ax.fill_between(x, low, high, color=style.BLUE, alpha=0.17, linewidth=0.8, zorder=2, label="95% interval")
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
    ax.set_xlabel(style.label(axis))
    ax.set_ylabel(f"accuracy, %\n({figure.headline.label})")
    ax.xaxis.set_major_locator(FixedLocator(list(x)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: style.written(axis, value))
    count(ax, numbers, x)


def count(ax: "Axes", numbers: pl.DataFrame, x: NDArray) -> None:
    """Above the axes, a row of each cell's seeds, and a row for each way in which seeds were lost."""
    rows = [name for name in reversed(LOST) if numbers[name].sum()] + ["n"]
    for height, name in enumerate(rows):
        over = {"textcoords": "offset points", "fontsize": 7.5, "va": "bottom"}
        colour = style.VERMILION if name in ("diverged", "failed") else style.GREY
        heading = "seeds" if name == "n" else name
        left = (-6, 4 + 10 * height)
        ax.annotate(heading, (0, 1), xycoords="axes fraction", xytext=left, ha="right", color=colour, **over)
        for value, counted in zip(x, numbers[name], strict=True):
            where, text = (("data", "axes fraction"), f"{counted}" if counted or name == "n" else "·")
            above = (0, 4 + 10 * height)
            ax.annotate(text, (value, 1), xycoords=where, xytext=above, ha="center", color=colour, **over)


def jittered(seeds: pl.DataFrame, axis: str, x: NDArray) -> NDArray:
    """Where the seeds' points stand: beside their cell, each seed at its own place, the same in every cell."""
    offset = (seeds["seed"].to_numpy() * GOLDEN) % 1 - 0.5
    return moved(seeds[axis].to_numpy().astype(float), JITTER * offset, axis, x)


def moved(values: NDArray, cells: NDArray | float, axis: str, x: NDArray) -> NDArray:
    """Values on the axis, moved by so many cells: one is the least distance of two of the cells at `x`."""
    scale, back = (np.log, np.exp) if axis in style.LOGARITHMIC else (np.array, np.array)
    cell = np.diff(scale(x)).min() if len(x) > 1 else 1.0
    return back(scale(values) + cell * cells)
