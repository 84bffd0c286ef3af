"""What EM gains on many base models: a line from each to its EM-trained mean, at one temperature and at the best ones.

B base models.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
from numpy.random import Generator

from analysis import gain, style
from analysis.figures import Figure, require_axes
from analysis.summary import summarise
from em.errors import InputError, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

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
    """Two panels with one scale; in per cent.  Base models without both scores are left out, and counted."""
    left, right = page.subplots(1, 2, sharey=True)
    seeds_of = numbers["n"].max()
    slopes(left, numbers, "base_score", "mean")
    slopes(right, numbers, "own_base_score", "own_mean")
    left.set_title(f"at temperature {figure.headline.temperature:g}")
    right.set_title("each at its own best temperature")
    left.set_ylabel(f"accuracy on test problems, %\n(base models; mean of {seeds_of} EM seeds)")


def slopes(ax: "Axes", numbers: pl.DataFrame, base: str, trained: str) -> None:
    """A line for each base model, losers named, and the mean of all with its interval and numbers."""
    shown = numbers.drop_nulls([base, trained])
    base_B, trained_B = (100 * shown[name].to_numpy() for name in (base, trained))
    for model, before, after in zip(shown["model"], base_B, trained_B, strict=True):
        loses = after < before
        colour, name = (style.VERMILION, "base model that loses") if loses else (style.SKY, "base model")
        ax.plot([0, 1], [before, after], "o-", color=colour, linewidth=1, markersize=3, zorder=2 + loses, label=name)
        if loses:
            ax.annotate(model, (1, after), (5, 0), textcoords="offset points", va="center", color=colour, fontsize=7.5)
    said = gain.over_models(trained_B - base_B)
    start, end = base_B.mean(), trained_B.mean()
    error = [[said.mean - said.low], [said.high - said.mean]]
    ax.plot([0, 1], [start, end], color=style.INK, linewidth=2, zorder=5, label="mean")
    ax.errorbar(
        1, end, error, fmt="o", color=style.INK, markersize=4, capsize=3, zorder=5, label="95% interval of its gain"
    )
    text = f"{said.mean:+.1f} points ({said.low:.1f} to {said.high:.1f})\n{said.losing} of {said.models} lose"
    ax.text(0.5, 0.02, text, transform=ax.transAxes, ha="center", va="bottom", fontsize=8)
    ax.set_xticks([0, 1], ["base", "EM"])
    ax.set_xlim(-0.25, 1.35)
    ax.margins(y=0.12)
