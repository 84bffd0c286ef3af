"""What a search with several objectives leaves to choose from: the points that no other beats in all of them."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.random import Generator

from analysis import style
from analysis.figures import Figure, history
from analysis.search import OBJECTIVES, on_front
from em.errors import require

if TYPE_CHECKING:
    from altair import Axis

    from analysis.charts import Chart

FRONT, OTHER = "no other is better in all", "other point"
LOOKS = {FRONT: style.VERMILION, OTHER: style.SKY}
PANEL = 200

BY_BENCHMARK = False
observed = history.observed


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """The points of a search with two objectives or more."""
    objectives = history.goal_of(figure, cells).objectives
    remedy = "a Pareto front needs two objectives or more, search.objectives=[mean,seconds]"
    require(len(objectives) > 1, f"figure {figure.name}: objectives", list(objectives), remedy)


def numbers(figure: Figure, seeds: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """Those of `history`, and whether a point is on the front; one that is not `good` neither is nor keeps others
    off."""
    assert figure.goal is not None
    objectives, made = figure.goal.objectives, history.numbers(figure, seeds, rng)
    values = made.select(
        pl.when("good").then(pl.col(OBJECTIVES[name].column).cast(pl.Float64)).alias(name) for name in objectives
    )
    return made.with_columns(front=pl.Series(on_front(values.fill_null(np.nan).rows(), objectives)))


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """The first objective against each of the others."""
    from analysis import charts
    from analysis.charts import alt

    assert figure.goal is not None
    first, *others = (OBJECTIVES[name] for name in figure.goal.objectives)
    colour = charts.legend(LOOKS)
    shown = charts.numbers().transform_calculate(called=f"datum.front ? '{FRONT}' : '{OTHER}'")
    panels = []
    for other in others:
        x, y = (
            place(f"{of.column}:Q", title=of.label, scale=alt.Scale(zero=False), axis=shares(of.is_share))
            for place, of in ((alt.X, other), (alt.Y, first))
        )
        order = alt.Order(f"{other.column}:Q")
        line = shown.transform_filter("datum.front").mark_line(strokeWidth=1.2, interpolate="step-after")
        line = line.encode(x, y, colour, order)
        points = shown.mark_circle(size=30, opacity=1).encode(x, y, colour, tooltip=charts.tips(figure.axes, "n"))
        panels.append(alt.layer(line, points).properties(width=PANEL, height=PANEL))
    return alt.hconcat(*panels, spacing=24)


def shares(is_share: bool) -> "Axis":
    from analysis import charts
    from analysis.charts import alt

    return charts.PERCENT if is_share else alt.Axis()
