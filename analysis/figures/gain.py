"""What EM gains on many base models: a line from each to its EM-trained mean, at one temperature and at the best ones.

B base models.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator

from analysis import gain, style
from analysis.figures import Figure, require_axes
from analysis.summary import summarise
from em.errors import InputError, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

BESIDE = 1.12  # where the interval of the gain stands, EM being at 1
OWN = ("own_temperature", "own_base_temperature", "own_base_score")  # of a base model, the same in all its seeds


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """One axis whose values are base models, measured on validation and on test problems."""
    require_axes(figure, 1)
    (axis,) = figure.axes
    if cells.select(axis, "base_id").unique().height != cells["base_id"].n_unique():
        raise InputError(
            f"figure {figure.name}: {axis} varies more than the base model, of which gain draws a line each"
        )
    chosen, reported = gain.divided(figure.measured)
    remedy = "gain needs benchmarks of both kinds, benchmark=[tiny,validation]"
    require(bool(chosen and reported), f"figure {figure.name}: splits", [len(chosen), len(reported)], remedy)


def scored(figure: Figure, seeds: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """With scores on test problems, and those at the best temperatures: columns as of `analysis.gain.compared`."""
    return gain.compared(seeds, scores, figure.measured, figure.headline)


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """One row per base model: the columns of `analysis.summary.summarise`, of scores at the headline's temperature.

    `base_score`; `own_mean` and `own_base_score` at the best temperatures, these, and `own_gain`.
    """
    own = seeds.group_by(axes, maintain_order=True).agg(
        pl.first("model"), pl.first("base_score"), pl.mean("own_score").alias("own_mean"), pl.first(*OWN)
    )
    own = own.with_columns(own_gain=pl.col("own_mean") - pl.col("own_base_score"))
    return summarise(seeds, axes, rng).join(own, on=list(axes), maintain_order="left")


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """Two panels on one scale, in per cent.  A base model that lacks a score is left out."""
    left, right = page.subplots(1, 2, sharey=True)
    slopes(left, f"at temperature {figure.headline.temperature:g}", numbers, "base_score", "mean")
    slopes(right, "each at its best temperature", numbers, "own_base_score", "own_mean")
    low, high = right.get_ylim()
    right.set_ylim(low, min(high, 101))  # an interval may go on beyond
    left.set_ylabel(f"accuracy on test problems, %\n(EM: mean of {numbers['n'].max()} seeds)")


def slopes(ax: "Axes", name: str, numbers: pl.DataFrame, base: str, trained: str) -> None:
    """A line for each base model, with the names of those that lose; the mean, and beside it the interval of its gain.

    In the title the gain in points, with its interval over base models, and how many lose.
    """
    shown = numbers.drop_nulls([base, trained])
    base_B, trained_B = (100 * shown[column].to_numpy() for column in (base, trained))
    for model, before, after in zip(shown["model"], base_B, trained_B, strict=True):
        loses = after < before
        colour, label = (style.VERMILION, "base model that loses") if loses else (style.SKY, "base model")
        ax.plot([0, 1], [before, after], "o-", color=colour, linewidth=1, markersize=3, zorder=2 + loses, label=label)
        if loses:
            ax.annotate(model, (BESIDE, after), (5, 0), textcoords="offset points", va="center", color=colour)
    gains = gain.over_models(trained_B - base_B)
    start, end = (float(np.mean(scores_B)) for scores_B in (base_B, trained_B))
    error = [[gains.mean - gains.low], [gains.high - gains.mean]]
    ax.plot([0, 1], [start, end], "o-", color=style.BLUE, linewidth=2, markersize=4, zorder=5, label="mean")
    look = {"color": style.BLUE, "markersize": 4, "linewidth": 1.2, "capsize": 3}
    ax.errorbar(BESIDE, end, error, fmt="o", zorder=5, label="95% interval of its gain", **look)
    said = f"{gains.mean:+.1f} points ({gains.low:.1f} to {gains.high:.1f}), {gains.losing} of {gains.models} lose"
    ax.set_title(f"{name}\n{said}", fontsize=8.5)
    ax.set_xticks([0, 1], ["base", "EM"])
    ax.set_xlim(-0.15, 1.5)
