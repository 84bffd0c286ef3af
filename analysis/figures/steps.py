"""Score against optimiser step, a curve for each cell: Figure 2 and Figure 5 (phases one after the other).

Step 0 is where the phase starts: the base model, or the end of the phase before.  Where there is one curve, the loss is
shown too, on the left.
"""

from typing import TYPE_CHECKING

import polars as pl

from analysis import metrics, style
from analysis.figures import CURVES, Figure, require_curves
from analysis.seeds import AVERAGE, observe
from analysis.tables import Tables

if TYPE_CHECKING:
    from analysis.charts import Chart

KEY = CURVES
LOSS = "loss"
TITLE = "optimiser step of the last phase"


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model."""
    require_curves(figure, cells)


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Of each trial all measured steps; where there is one cell, the loss of each step too."""
    steps = sorted({0, *figure.steps})
    scores = observe(cells, tables, figure.headline.evaluations, steps, metric=figure.metric)
    alone = not figure.axes and figure.metric == AVERAGE
    return metrics.joined(scores, cells, tables, [LOSS], max(steps)) if alone else scores


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Of each cell mean line and interval band, every seed as a thin line."""
    from analysis import charts
    from analysis.charts import alt

    x = alt.X("step:Q", title=TITLE, scale=alt.Scale(nice=False), axis=alt.Axis(tickMinStep=1))
    names = numbers["cell"].unique(maintain_order=True).to_list()
    score = charts.curves(x, charts.accuracy(figure.headline.label), names, "step", figure.axes, len(seeds))
    if LOSS not in numbers["metric"]:
        return alt.layer(*score)
    shown = charts.numbers(f"datum.metric == '{LOSS}'")
    axis = alt.Axis(title=f"training loss, {metrics.UNITS[LOSS]}", titleColor=style.VERMILION, grid=False)
    low, mean = (alt.Y(f"{name}:Q", axis=axis, scale=alt.Scale(zero=False)) for name in ("low", "mean"))
    band = shown.mark_area(opacity=0.2, color=style.VERMILION).encode(x, low, alt.Y2("high:Q"))
    line = shown.mark_line(color=style.VERMILION, strokeWidth=1.7).encode(x, mean)
    return alt.layer(alt.layer(band, line), alt.layer(*score)).resolve_scale(y="independent")
