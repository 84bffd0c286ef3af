"""A search point by point: the mean of each with its interval, and the best so far."""

from typing import TYPE_CHECKING

import polars as pl

from analysis import style
from analysis.figures import Figure
from analysis.search import POINT
from em.errors import InputError

if TYPE_CHECKING:
    from analysis.charts import Chart

WHOLE, LEFT, BEST = "point with all its seeds", "point of which seeds were left out", "best so far"
LOOKS = {WHOLE: style.BLUE, LEFT: style.SKY, BEST: style.ORANGE}

BY_BENCHMARK = False


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """The points of a search."""
    if POINT not in cells.columns:
        raise InputError(f"figure {figure.name}: shows the points of a search; choose one, search=tpe")


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Points from left to right as they were asked; the best so far is of points with all their seeds."""
    from analysis import charts
    from analysis.charts import alt

    y, colour = charts.accuracy(figure.headline.label), charts.legend(LOOKS)
    x = alt.X(f"{POINT}:Q", title="point", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False, padding=8))
    most = int(numbers["n"].max() or 0)  # type: ignore[arg-type]
    shown = charts.numbers().transform_calculate(called=f"datum.n >= {most} ? '{WHOLE}' : '{LEFT}'")
    rules = shown.mark_rule(opacity=0.5).encode(x, y("lower"), alt.Y2("upper:Q"), colour)
    points = shown.mark_circle(size=26, opacity=1).encode(x, y("centre"), colour, tooltip=charts.tips(figure.axes, "n"))
    best = charts.numbers().transform_calculate(whole=f"datum.n >= {most} ? datum.centre : null")
    best = best.transform_window(so_far="max(whole)", sort=[alt.SortField(POINT)])
    best = charts.called(best, BEST).mark_line(interpolate="step-after", strokeWidth=1.6).encode(x, y("so_far"), colour)
    return alt.layer(rules, best, points, *charts.base(y))
