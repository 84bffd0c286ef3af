"""Score against evaluation temperature, a curve for each cell, base model beside them: Figure 4."""

from typing import TYPE_CHECKING

import polars as pl

from analysis.figures import CURVES, Figure, require_curves
from analysis.seeds import observe, tested
from analysis.tables import Tables
from em.errors import require

if TYPE_CHECKING:
    from analysis.charts import Chart

KEY = CURVES


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model, and at least two temperatures."""
    require_curves(figure, cells)
    remedy = "a figure against them needs two or more"
    require(len(figure.temperatures) > 1, f"figure {figure.name}: eval.temperatures", figure.temperatures, remedy)


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Of each trial the headline's step at all temperatures."""
    measured, step = tested(figure.measured), figure.headline.step
    return observe(cells, tables, measured, [step], figure.temperatures, figure.metric)


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Of each cell mean line and interval band, every seed as a thin line, the base model dashed."""
    from analysis import charts
    from analysis.charts import alt

    x = alt.X(
        "temperature:Q",
        title="evaluation temperature",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(values=figure.temperatures),
    )
    names = numbers["cell"].unique(maintain_order=True).to_list()
    y = charts.accuracy(figure.headline.label.partition(",")[0])
    one = charts.numbers().transform_aggregate(base="mean(base)", groupby=["temperature"])
    base = one.mark_line(style="base").encode(x, y("base"))
    at_end = one.transform_filter(f"datum.temperature == {figure.temperatures[-1]!r}")
    said = at_end.mark_text(style="ink", align="left", dx=5).encode(x, y("base"), text=alt.value("base"))
    return alt.layer(*charts.curves(x, y, names, "temperature", figure.axes, len(seeds)), base, said)
