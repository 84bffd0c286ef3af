"""Score against evaluation temperature, a curve for each cell: Figure 4 (EM and reinforcement learning)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator

from analysis import curves, load, style
from analysis.figures import Figure
from em.errors import InputError, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Page

PREFIX, BASE = "at_", "base_at_"  # of a seed's score at a temperature, and of its base model's


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model, and at least two temperatures."""
    curves.check(figure, cells)
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, this kind of figure shows one")
    temperatures = sorted({item.temperature for item in figure.measured})
    remedy = "a figure against them needs two or more"
    require(len(temperatures) > 1, f"figure {figure.name}: eval.temperatures", temperatures, remedy)


def scored(figure: Figure, seeds: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """With a column for each temperature, `at_0.2`, of the score after the headline's step, and one of the base
    model's, `base_at_0.2`."""
    measured = load.headlines(scores, figure.measured).drop_nulls("score")
    base = measured.filter(pl.col("step") == 0)
    own = measured.join(load.with_step(seeds, figure.headline).select("trial_id", "step"), on=["trial_id", "step"])
    seeds = curves.with_scores(seeds, own, "temperature", PREFIX)
    of_base = curves.with_scores(seeds.select(trial_id="base_id").unique(), base, "temperature", BASE)
    return seeds.join(of_base.rename({"trial_id": "base_id"}), on="base_id", how="left", maintain_order="left")


def numbers(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`; at each temperature mean and interval."""
    return curves.numbers(seeds, axes, rng, PREFIX)


def draw(page: "Page", figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> None:
    """Of each cell mean line and interval band, every seed as a thin line, the base model dashed; in per cent."""
    ax = page.subplots()
    curves.draw(ax, figure, numbers, seeds, PREFIX)
    if base := curves.places(seeds, BASE):
        scores = np.array([seeds[column].drop_nulls().to_list()[:1] or [np.nan] for column in base.values()])[:, 0]
        ax.plot(list(base), 100 * scores, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2.5)), label="base")
    ax.set_xlabel("evaluation temperature")
    ax.set_ylabel(f"accuracy, %\n({figure.headline.label.partition(',')[0]})")
