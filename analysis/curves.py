"""Scores along something that is measured of every trial, a curve for each cell: steps, evaluation temperatures.

A seed's scores are columns `<prefix><place>`, such as `step_5`; of a cell's mean and interval `step_5_mean`,
`step_5_low` and `step_5_high`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator, default_rng

from analysis import stats, style
from analysis.figures import Figure
from analysis.load import Outcome
from analysis.summary import summarise
from em.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Raise InputError unless there are as many colours as cells."""
    shown = cells.select(figure.axes).unique().height if figure.axes else 1
    remedy = "a figure of curves has one for each; name fewer values"
    require(shown <= len(style.COLOURS), f"figure {figure.name}: cells", shown, remedy)


def with_scores(seeds: pl.DataFrame, measured: pl.DataFrame, along: str, prefix: str) -> pl.DataFrame:
    """The seeds with a column for each place: `measured` has trial_id, score, and the place in column `along`."""
    own = measured.join(seeds.select("trial_id"), on="trial_id")
    for place in sorted(own[along].unique()):
        column = own.filter(pl.col(along) == place).select("trial_id", pl.col("score").alias(f"{prefix}{place:g}"))
        seeds = seeds.join(column, on="trial_id", how="left", maintain_order="left")
    return seeds


def places(frame: pl.DataFrame, prefix: str) -> Mapping[float, str]:
    """The columns of a frame by place, in the order of the places."""
    found = {name: name.removeprefix(prefix) for name in frame.columns if name.startswith(prefix)}
    numbers = {float(of): name for name, of in found.items() if of.replace(".", "", 1).isdigit()}
    return dict(sorted(numbers.items()))


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator, prefix: str) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`; and at each place mean and interval."""
    summary, resampling, rows = summarise(seeds, axes, rng), int(rng.integers(2**63)), []
    for cell in seeds.partition_by(axes, maintain_order=True) if axes else [seeds]:
        row: dict[str, object] = {axis: cell[axis][0] for axis in axes}
        for column in places(seeds, prefix).values():
            scores_S = cell[column].drop_nulls().to_numpy()
            same = len(set(scores_S)) == 1  # they all start from one model
            low, high = (scores_S[0],) * 2 if same else stats.interval(default_rng(resampling), scores_S)
            ends = {"mean": stats.mean(scores_S), "low": low, "high": high}
            row |= {f"{column}_{name}": value for name, value in ends.items()}
        rows.append(row)
    curves = pl.DataFrame(rows, schema_overrides={axis: seeds.schema[axis] for axis in axes}).fill_nan(None)
    return pl.concat([summary, curves.drop(axes)], how="horizontal")  # both in the order of the seeds


def draw(ax: "Axes", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame, prefix: str) -> None:
    """Of each cell mean line and interval band, every seed as a thin line; in per cent."""
    columns = places(seeds, prefix)
    x = list(columns)
    for place, row in enumerate(numbers.iter_rows(named=True)):
        colour = style.COLOURS[place]
        cell = seeds.filter(pl.col("outcome") == Outcome.scored.value)
        for axis in figure.axes:
            cell = cell.filter(pl.col(axis) == row[axis])
        for seed in cell.select(columns.values()).iter_rows():
            scores = [np.nan if score is None else 100 * score for score in seed]
            ax.plot(x, scores, color=colour, linewidth=0.4, alpha=0.35)
        mean, low, high = (
            np.array([row[f"{column}_{name}"] for column in columns.values()], dtype=float) * 100
            for name in ("mean", "low", "high")
        )
        ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        name = ", ".join(style.written(axis, row[axis]) for axis in figure.axes) or "mean of seeds"
        ax.plot(x, mean, "o-", color=colour, linewidth=1.6, markersize=3, label=name)
