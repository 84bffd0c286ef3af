"""Score against two axes: each cell coloured by its mean, with the numbers of its seeds written in it.

X columns, Y rows, C what the colours have to cover.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import ArrayLike

from analysis import style
from analysis.figures import Figure, require_axes
from analysis.load import base_score
from analysis.summary import LOST, summarise
from em.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

COLOURS = "viridis"  # even steps to the eye, also to a colour-blind one
CELL_INCHES = 0.6
MARGIN_INCHES = 1.6  # for all that is around the cells
ON_HATCHES = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
ROOM = 64  # characters below the columns; names that need more are slanted
KEY = "n: trials with a score;  w: width of the 95% interval of their mean, in points"


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Two axes, of numbers or words."""
    require_axes(figure, 2)
    for axis in figure.axes:
        if cells[axis].dtype.is_nested():
            raise InputError(f"{axis}={cells[axis][0].to_list()}: a heat map needs numbers or words on its axes")


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """One row per cell, columns as of `analysis.summary.summarise`, and `width` of the interval: high minus low."""
    return summarise(seeds, axes, rng).with_columns(width=pl.col("high") - pl.col("low"))


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """The first axis from left to right, the second upwards; in per cent.  Cells without a score are hatched."""
    x_axis, y_axis = figure.axes
    columns, rows = (numbers[axis].unique().sort().to_list() for axis in figure.axes)
    mean_YX = np.full([len(rows), len(columns)], np.nan)
    for row in numbers.drop_nulls("mean").iter_rows(named=True):
        mean_YX[rows.index(row[y_axis]), columns.index(row[x_axis])] = 100 * row["mean"]

    base = base_score(seeds)
    scale_C = np.append(mean_YX, [] if base is None else 100 * base)
    low, high = np.nanmin(scale_C), np.nanmax(scale_C)

    width = max(style.WIDTH_INCHES, MARGIN_INCHES + CELL_INCHES * len(columns))
    page.set_size_inches(width, MARGIN_INCHES + CELL_INCHES * len(rows))
    ax = page.subplots()
    ax.patch.set(edgecolor=style.PALE, hatch="////", linewidth=0)
    mesh = ax.pcolormesh(mean_YX, cmap=COLOURS, vmin=low, vmax=max(high, low + 1), edgecolors="white", linewidth=1.2)
    for row in numbers.iter_rows(named=True):
        place = columns.index(row[x_axis]) + 0.5, rows.index(row[y_axis]) + 0.5
        write(ax, place, row, ink(mesh.to_rgba(100 * row["mean"])) if row["n"] else "black")
    name_axes(ax, figure, columns, rows)
    ax.plot([], [], " ", label=KEY)
    bar = page.colorbar(mesh, ax=ax, label=f"accuracy, %\n({figure.headline.label})", aspect=25, pad=0.03)
    bar.outline.set_visible(False)
    if base is not None:
        mark(bar.ax, 100 * base)


def name_axes(ax: "Axes", figure: Figure, columns: Sequence[object], rows: Sequence[object]) -> None:
    """A name below each column and beside each row, instead of scales."""
    x_axis, y_axis = figure.axes
    names = [style.written(x_axis, value) for value in columns]
    slanted = max(map(len, names)) * len(names) > ROOM
    turned = {"rotation": 30, "ha": "right"} if slanted else {}
    ax.set_xticks(np.arange(len(columns)) + 0.5, names, rotation_mode="anchor", **turned)
    ax.set_yticks(np.arange(len(rows)) + 0.5, [style.written(y_axis, value) for value in rows])
    ax.set_xlabel(style.label(x_axis))
    ax.set_ylabel(style.label(y_axis))
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def mark(bar: "Axes", base: float) -> None:
    """Where the base model is on the colour bar."""
    beside = bar.get_yaxis_transform()
    bar.plot(-0.25, base, ">", color=style.INK, markersize=4, clip_on=False, transform=beside)
    bar.text(-0.75, base, f"base\n{base:.1f}", ha="right", va="center", fontsize=7, transform=beside)


def write(ax: "Axes", place: tuple[float, float], row: Mapping[str, Any], colour: str) -> None:
    """A cell's numbers: its mean in large, below it what it is the mean of."""
    width = [] if row["width"] is None else [f"w {100 * row['width']:.1f}"]
    lines = [f"n {row['n']}", *width, *(f"{row[name]} {name}" for name in LOST if row[name])]
    look = {"color": colour, "ha": "center", "linespacing": 1.15}
    if not row["n"]:
        ax.text(*place, "\n".join(lines), va="center", fontsize=6.2, bbox=ON_HATCHES, **look)
        return
    top, points = 4.5 * len(lines), {"textcoords": "offset points"}
    ax.annotate(f"{100 * row['mean']:.1f}", place, (0, top), va="center", fontsize=9, **points, **look)
    ax.annotate("\n".join(lines), place, (0, top - 6), va="top", fontsize=6.2, **points, **look)


def ink(colour: ArrayLike) -> str:
    """Black or white, whichever stands out more on an RGB colour: at least 4.5 to 1 (WCAG 2.1, relative luminance)."""
    rgb = np.asarray(colour)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "white"
