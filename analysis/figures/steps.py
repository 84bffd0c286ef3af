"""Score against optimiser step, a curve for each cell: Figure 2 and Figure 5 (phases one after the other).

Step 0 is where the phase starts: the base model, or the end of the phase before.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
from numpy.random import Generator

from analysis import curves, load
from analysis.figures import Figure
from em.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Page

PREFIX = "step_"  # of a seed's score after a step


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model."""
    curves.check(figure, cells)
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, a figure against steps shows one")


def scored(figure: Figure, seeds: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """With a column for each measured step, `step_5`, the score after it; null where a trial has none."""
    at = pl.col("temperature") == figure.headline.temperature
    measured = load.headlines(scores, figure.headline.evaluations).filter(at).drop_nulls("score")
    start = measured.select(start_id="trial_id", start_step="step", step_0="score")
    wanted = pl.col("step").is_in([*figure.steps]) if figure.steps else pl.lit(True)
    seeds = curves.with_scores(seeds, measured.filter(wanted, pl.col("step") > 0), "step", PREFIX)
    return seeds.join(start, on=["start_id", "start_step"], how="left", maintain_order="left")


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`, after the headline's step; and of each step mean and interval."""
    return curves.numbers(seeds, axes, rng, PREFIX)


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """Of each cell mean line and interval band, every seed as a thin line; in per cent."""
    ax = page.subplots()
    curves.draw(ax, figure, numbers, seeds, PREFIX)
    ax.set_xlabel("optimiser step of the last phase")
    ax.set_ylabel(f"accuracy, %\n({figure.headline.label})")
