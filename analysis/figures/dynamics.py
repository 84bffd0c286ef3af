"""Training, step by step: loss, prompt length, output length, a curve for each cell: 1-shot against multi-shot."""

from typing import TYPE_CHECKING

import polars as pl

from analysis import metrics
from analysis.figures import CURVES, Figure, require_curves
from analysis.seeds import observe
from analysis.tables import Tables

if TYPE_CHECKING:
    from analysis.charts import Chart

SHOWN = ("loss", metrics.PROMPT, "output length")
HEIGHT = 110

KEY = CURVES
BY_BENCHMARK = False


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """As many cells as there are colours, of one base model."""
    require_curves(figure, cells)


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Of each trial its headline, and what is shown of every step."""
    scores = observe(cells, tables, figure.headline.evaluations, [figure.headline.step])
    return metrics.joined(scores, cells, tables, SHOWN, max(cells["last_step"], default=0))


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """A panel for each; of each cell the mean line, the interval band, every seed as a thin line."""
    from analysis import charts
    from analysis.charts import alt

    names = numbers["cell"].unique(maintain_order=True).to_list()
    colour, dashes = charts.cells(names, figure.axes)

    def panel(name: str) -> "Chart":
        own = f"datum.metric == '{name}'"
        below = name == SHOWN[-1]
        x = alt.X("step:Q", title="optimiser step" if below else None, axis=alt.Axis(tickMinStep=1))
        y = {"scale": alt.Scale(zero=False), "title": f"{name}, {metrics.UNITS[name]}"}
        lines = charts.seeds(own).mark_line(strokeWidth=0.5, opacity=0.35)
        band = charts.numbers(own).mark_area(opacity=0.2)
        mean = charts.numbers(own).mark_line(strokeWidth=1.7, point={"size": 14, "filled": True})
        tips = charts.tips_of(figure.axes, "step", "n", "mean", "low", "high", "std")
        return alt.layer(
            lines.encode(x, alt.Y("score:Q", **y), colour, alt.Detail("trial_id:N")),
            band.encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), colour),
            mean.encode(x, alt.Y("mean:Q"), colour, dashes, tooltip=tips),
        ).properties(height=HEIGHT)

    return alt.vconcat(*map(panel, SHOWN), spacing=12)
