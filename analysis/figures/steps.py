"""Score against optimiser step, a curve for each cell: Figure 5 (phases one after the other).

Step 0 is where the phase starts: the base model, or the end of the phase before.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator, default_rng

from analysis import load, stats, style
from analysis.figures import Figure
from analysis.load import Outcome
from analysis.summary import summarise
from em.errors import InputError, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Page

PREFIX = "step_"  # of a seed's score after a step; of a cell's `step_5_mean`, `step_5_low`, `step_5_high`


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model."""
    shown = cells.select(figure.axes).unique().height if figure.axes else 1
    remedy = "a figure against steps has a curve for each; name fewer values"
    require(shown <= len(style.COLOURS), f"figure {figure.name}: cells", shown, remedy)
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, a figure against steps shows one")


def scored(figure: Figure, seeds: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """With a column for each measured step, `step_5`, the score after it; null where a trial has none."""
    at = pl.col("temperature") == figure.headline.temperature
    measured = load.headlines(scores, figure.headline.evaluations).filter(at).drop_nulls("score")
    start = measured.select(start_id="trial_id", start_step="step", step_0="score")
    own = measured.join(seeds.select("trial_id"), on="trial_id").filter(pl.col("step") > 0)
    for step in sorted(own["step"].unique()):
        column = own.filter(pl.col("step") == step).select("trial_id", pl.col("score").alias(f"{PREFIX}{step}"))
        seeds = seeds.join(column, on="trial_id", how="left", maintain_order="left")
    return seeds.join(start, on=["start_id", "start_step"], how="left", maintain_order="left")


def steps_of(frame: pl.DataFrame, suffix: str = "") -> list[int]:
    """The steps that a frame has columns of."""
    names = (name.removeprefix(PREFIX).removesuffix(suffix) for name in frame.columns if name.startswith(PREFIX))
    return sorted(int(name) for name in names if name.isdigit())


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`, after the headline's step; and of each step mean and interval."""
    summary, resampling, rows = summarise(seeds, axes, rng), int(rng.integers(2**63)), []
    for cell in seeds.partition_by(axes, maintain_order=True) if axes else [seeds]:
        row: dict[str, object] = {axis: cell[axis][0] for axis in axes}
        for step in steps_of(seeds):
            scores_S = cell[f"{PREFIX}{step}"].drop_nulls().to_numpy()
            same = len(set(scores_S)) == 1  # they all start from one model
            low, high = (scores_S[0],) * 2 if same else stats.interval(default_rng(resampling), scores_S)
            ends = {"mean": stats.mean(scores_S), "low": low, "high": high}
            row |= {f"{PREFIX}{step}_{name}": value for name, value in ends.items()}
        rows.append(row)
    curves = pl.DataFrame(rows, schema_overrides={axis: seeds.schema[axis] for axis in axes}).fill_nan(None)
    return pl.concat([summary, curves.drop(axes)], how="horizontal")  # both in the order of the seeds


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """Of each cell mean line and interval band, every seed as a thin line; in per cent."""
    ax, steps = page.subplots(), steps_of(seeds)
    for place, row in enumerate(numbers.iter_rows(named=True)):
        colour = style.COLOURS[place]
        cell = seeds.filter(pl.col("outcome") == Outcome.scored.value)
        for axis in figure.axes:
            cell = cell.filter(pl.col(axis) == row[axis])
        for seed in cell.select(f"{PREFIX}{step}" for step in steps).iter_rows():
            scores = [np.nan if score is None else 100 * score for score in seed]
            ax.plot(steps, scores, color=colour, linewidth=0.4, alpha=0.35)
        mean, low, high = (
            np.array([row[f"{PREFIX}{step}_{name}"] for step in steps], dtype=float) * 100
            for name in ("mean", "low", "high")
        )
        ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        name = ", ".join(style.written(axis, row[axis]) for axis in figure.axes) or "mean of seeds"
        ax.plot(steps, mean, "o-", color=colour, linewidth=1.6, markersize=3, label=name)
    ax.set_xlabel("optimiser step of the last phase")
    ax.set_ylabel(f"accuracy, %\n({figure.headline.label})")
