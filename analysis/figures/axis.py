"""Score against one axis, every seed shown: Figure 3 (training temperature) and Figure 6 (learning rate)."""

from typing import TYPE_CHECKING

import polars as pl

from analysis import style
from analysis.figures import Figure, require_axes
from analysis.summary import LOST
from em.errors import InputError

if TYPE_CHECKING:
    from analysis.charts import Chart

LOOKS = {
    "seed": style.SKY,
    "mean": style.BLUE,
    "95% interval": "#BCD8EA",
    "interquartile mean": style.ORANGE,
}


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """One axis of numbers, one base model."""
    require_axes(figure, 1)
    (axis,) = figure.axes
    if not cells[axis].dtype.is_numeric():
        raise InputError(f"{axis}={cells[axis][0]}: a figure against an axis needs numbers on it")
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"figure {figure.name}: the sweep has several base models, a figure against {axis} shows one")


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Mean line, interval band, interquartile mean, every seed as a point, the base model as a line."""
    from analysis import charts
    from analysis.charts import alt, called

    (axis,) = figure.axes
    values = numbers[axis].unique().sort().to_list()
    x, y, colour = charts.along(axis, values), charts.accuracy(figure.headline.label), charts.legend(LOOKS)
    points = charts.seeds().transform_calculate(at=charts.jittered(axis, values)).mark_circle(size=14, opacity=0.8)
    band = charts.numbers().mark_area(opacity=0.6)
    line = charts.numbers().mark_line(strokeWidth=1.6, point={"size": 30, "filled": True})
    middle = charts.numbers().mark_tick(thickness=2, size=13, orient="horizontal")
    points = called(points, "seed").encode(alt.X("at:Q"), y("score"), colour, tooltip=charts.tips_of_seed(figure.axes))
    band = called(band, "95% interval").encode(x, y("lower"), alt.Y2("upper:Q"), colour)
    line = called(line, "mean").encode(x, y("centre"), colour, tooltip=charts.tips(figure.axes))
    middle = called(middle, "interquartile mean").encode(x, y("iqm"), colour)
    layers = [band, *([points] if len(seeds) <= charts.MOST else []), line, middle]
    lost = [name for name in LOST if numbers[name].sum()]
    return alt.layer(*layers, *charts.base(y), *charts.counts(x, lost))
