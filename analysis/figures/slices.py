"""The points of a search against each axis by itself, with how much of what is good it explains."""

from typing import TYPE_CHECKING

import polars as pl

from analysis import style
from analysis.figures import Figure, history
from analysis.search import POINT, importances, is_logarithmic

if TYPE_CHECKING:
    from analysis.charts import Chart

PANEL = 128  # points, of a panel's sides
ACROSS = 3  # panels
SHADES = ["#9ECAE1", "#08306B"]  # of early and late points
KEY = "%: share of what tells good points from others (PED-ANOVA)"

BY_BENCHMARK = False
check, observed, numbers = history.check, history.observed, history.numbers


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """A panel for each axis; later points are darker."""
    from analysis import charts
    from analysis.charts import alt

    axes = [axis for axis in figure.axes if axis != POINT]
    assert figure.goal is not None
    shares = importances(numbers, axes, figure.goal.objectives[0])
    colour = alt.Color(f"{POINT}:Q", scale=alt.Scale(range=SHADES), title="point")
    y = charts.accuracy(figure.headline.label)
    panels = []
    for place, axis in enumerate(axes):
        said = f"{style.label(axis)}{f', {shares[axis]:.0%}' if axis in shares else ''}"
        kind = "quantitative" if numbers[axis].dtype.is_numeric() else "nominal"
        log = kind == "quantitative" and is_logarithmic(axis, numbers[axis])
        scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=False, nice=False, padding=8)
        x = alt.X(field=charts.field(axis), type=kind, title=None)
        x = x.scale(scale) if kind == "quantitative" else x
        up = y("centre") if place % ACROSS == 0 else y("centre").title(None)
        points = (
            charts.numbers()
            .mark_circle(size=26, opacity=0.9)
            .encode(x, up, colour, tooltip=charts.tips(figure.axes, "n"))
        )
        panels.append(alt.layer(points).properties(width=PANEL, height=PANEL, title=alt.Title(said, fontSize=9)))
    rows = [alt.hconcat(*panels[start : start + ACROSS], spacing=14) for start in range(0, len(panels), ACROSS)]
    return alt.vconcat(*rows, spacing=16)
