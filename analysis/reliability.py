"""The reliability diagram: accuracy against confidence, of base model and EM, two panels for each confidence."""

import polars as pl

from analysis import charts, style
from analysis.calibration import Reliability, ece
from analysis.charts import alt

AREA = 320  # points², of the square around a marker that stands for all answers
WIDTH = 185  # points of a panel
HEIGHT, BELOW = 185, 45
LABELS = {"tokens": "mean token probability", "agreement": "agreement among samples"}
SHARES = alt.Scale(domain=[-0.03, 1.03], nice=False)  # with room for markers at either end
TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]


def shown(bins: pl.DataFrame) -> pl.DataFrame:
    """What the chart shows of `bins`, made by `analysis.calibration.diagram`: those that hold answers.

    With the `share` of the step's answers in each, and what the step is `called`, with its error.
    """
    steps = []
    for (_, step), of_step in bins.group_by("kind", "step", maintain_order=True):
        columns = (of_step[name].to_numpy() for name in ("count", "confidence", "accuracy"))
        called = f"{f'EM, step {step}' if step else 'base'}: ECE {100 * ece(Reliability(*columns)):.1f}%"
        steps.append(of_step.with_columns(share=pl.col("count") / pl.sum("count"), called=pl.lit(called)))
    return pl.concat(steps).filter(pl.col("count") > 0)


def draw(rows: pl.DataFrame) -> charts.Chart:
    """A chart of the named data `bins`, which are the rows, made by `shown`: of step 0 and one more."""
    kinds = rows["kind"].unique(maintain_order=True)
    panels = [column(kind, rows.filter(pl.col("kind") == kind), kind == kinds[0]) for kind in kinds]
    return alt.hconcat(*panels, spacing=24).resolve_scale(color="independent")


def column(kind: str, rows: pl.DataFrame, first: bool) -> charts.Chart:
    """A marker for each bin, its area the share of answers in it; below, these shares as bars."""
    steps = rows.select("step", "called").unique(maintain_order=True)
    looks = {called: style.BLUE if step else style.ORANGE for step, called in steps.iter_rows()}
    colour = charts.legend(looks).legend(orient="top", columns=1, offset=4)
    of_kind = alt.Chart(alt.NamedData("bins")).transform_filter(f"datum.kind == '{kind}'")
    title = ["confidence", f"({LABELS[kind]})"]

    x = alt.X("confidence:Q", scale=SHARES, axis=alt.Axis(values=TICKS, labels=False, title=None))
    y = alt.Axis(values=TICKS, format="~%", title="accuracy" if first else None)
    y = alt.Y("accuracy:Q", scale=SHARES, axis=y)
    ends = alt.InlineData([{"confidence": end, "accuracy": end} for end in (0, 1)])
    above = of_kind.encode(x, y, colour)
    tips = [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("low", "high", "confidence", "accuracy", "share")]
    area = alt.Size("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, AREA]), legend=None)
    diagram = alt.layer(
        alt.Chart(ends).mark_line(style="base").encode(x, y),
        above.mark_line(strokeWidth=1.2, point={"size": 8, "filled": True}),
        above.mark_circle(opacity=0.3).encode(area, tooltip=[*tips, alt.Tooltip("count:Q")]),
    ).properties(width=WIDTH, height=HEIGHT)

    low = alt.X("low:Q", bin="binned", scale=SHARES, axis=alt.Axis(values=TICKS, format="~%", title=title))
    answers = alt.Axis(values=[0, 0.5, 1], format="~%", title="answers" if first else None)
    share = alt.Y("share:Q", stack=None, scale=alt.Scale(domain=[0, 1]), axis=answers)
    bars = of_kind.mark_bar(fillOpacity=0.25, strokeWidth=1.2, binSpacing=0)
    bars = bars.encode(low, alt.X2("high:Q"), share, colour, alt.Stroke("called:N", scale=colour["scale"], legend=None))
    return alt.vconcat(diagram, bars.properties(width=WIDTH, height=BELOW), spacing=8)
