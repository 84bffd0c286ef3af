"""What charts are made of: their two tables, the choices that a reader of the report has, encodings of their columns.

A chart names its data and does not hold it: `numbers`, one row per cell, metric and place (analysis.summary), and
`seeds`, one row per wanted score.  Both also have `cell`, the cell's values as text.  So the same chart is drawn for
print from one metric's rows, and in the report from all of them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from analysis import style
from analysis.seeds import AVERAGE

STATISTICS = {
    "mean": "mean",
    "iqm": "interquartile mean",
    "median": "median",
    "best": "best seed",
    "worst": "worst seed",
}
BANDS = {
    "interval": "95% interval",
    "quartiles": "middle half of the seeds",
    "std": "one standard deviation",
    "range": "all seeds",
    "none": "none",
}
CHOICES = [
    alt.param(name="metric", value=AVERAGE),
    alt.param(name="statistic", value="mean"),
    alt.param(name="band", value="interval"),
]
EDGES = {
    "lower": {
        "interval": "statistic == 'mean' ? datum.low : statistic == 'iqm' ? datum.iqm_low : null",
        "quartiles": "datum.q1",
        "std": "datum[statistic] - datum.std",
        "range": "datum.worst",
    },
    "upper": {
        "interval": "statistic == 'mean' ? datum.high : statistic == 'iqm' ? datum.iqm_high : null",
        "quartiles": "datum.q3",
        "std": "datum[statistic] + datum.std",
        "range": "datum.best",
    },
}
Chart = alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart
MOST = 4_000  # scores that are drawn one by one
CHOSEN = "datum.metric == metric"
PERCENT = alt.Axis(format="~%")


def numbers(chosen: str = CHOSEN) -> alt.Chart:
    """The cells, with `centre`, `lower` and `upper` as the reader chose."""
    chart = alt.Chart(alt.NamedData("numbers")).transform_filter(chosen).transform_calculate(centre="datum[statistic]")
    for edge, of in EDGES.items():
        value = " : ".join(f"band == '{band}' ? ({value})" for band, value in of.items()) + " : null"
        chart = chart.transform_calculate(edge=value)
        chart = chart.transform_calculate(**{edge: "isValid(datum.edge) ? clamp(datum.edge, 0, 1) : null"})
    return chart


def seeds(chosen: str = CHOSEN) -> alt.Chart:
    """The seeds that have a score."""
    return alt.Chart(alt.NamedData("seeds")).transform_filter(f"{chosen} && isValid(datum.score)")


def field(name: str) -> str:
    """A column's name as Vega-Lite takes it: a dot is no nesting."""
    return name.replace(".", "\\.").replace("[", "\\[")


def datum(name: str) -> str:
    """A column in an expression."""
    return f"datum['{name}']"


def along(axis: str, values: Sequence[float], half: float = 0.5) -> alt.X:
    """Numbers from left to right, with half a cell of room at either end, and a tick at each."""
    logarithmic = axis in style.LOGARITHMIC
    low, high = moved(values[0], -half, axis, values), moved(values[-1], half, axis, values)
    return alt.X(
        f"{field(axis)}:Q",
        title=style.label(axis),
        scale=alt.Scale(type="log" if logarithmic else "linear", domain=[low, high], nice=False),
        axis=alt.Axis(
            values=list(values), labelExpr=f"format(datum.value, '~{'e' if logarithmic else 'g'}')", labelOverlap=True
        ),
    )


def moved(value: float, cells: float, axis: str, values: Sequence[float]) -> float:
    """A value on the axis, moved by so many cells: one is the least distance of two of the values."""
    step = cell_of(axis, values)
    return value * step**cells if axis in style.LOGARITHMIC else value + step * cells


def cell_of(axis: str, values: Sequence[float]) -> float:
    pairs = list(pairwise(values))
    if axis in style.LOGARITHMIC:
        return min((high / low for low, high in pairs), default=2.0)
    return min((high - low for low, high in pairs), default=1.0)


def jittered(axis: str, values: Sequence[float], width: float = 0.4) -> str:
    """An expression: where a seed's point stands, beside its cell, each seed at its own place, the same in every
    cell."""
    offset = f"{width} * (datum.seed * 0.6180339887 % 1 - 0.5)"
    step = cell_of(axis, values)
    return (
        f"{datum(axis)} * pow({step!r}, {offset})"
        if axis in style.LOGARITHMIC
        else f"{datum(axis)} + {step!r} * {offset}"
    )


def accuracy(label: str) -> Callable[[str], alt.Y]:
    """Of a column that holds shares of correct answers: upwards, in per cent."""
    title = ["accuracy", *f"({label})".splitlines()]
    return lambda name: alt.Y(f"{name}:Q", title=title, axis=PERCENT, scale=alt.Scale(zero=False))


def legend(looks: dict[str, str]) -> alt.Color:
    """The colour of what a layer is called, its `called`; `looks` are the colours of all, in the legend's order."""
    return alt.Color("called:N", scale=alt.Scale(domain=list(looks), range=list(looks.values())))


def called(chart: alt.Chart, name: str) -> alt.Chart:
    """A layer as its legend calls it."""
    return chart.transform_calculate(called=f"'{name}'")


def cells(names: Sequence[str], axes: Sequence[str]) -> tuple[alt.Color, alt.StrokeDash]:
    """Colour and dashes of the cells' curves; where there are several, a legend tells them apart."""
    title = ", ".join(style.label(axis) for axis in axes if axis != "phase")  # whose values say what they are
    legend = alt.Legend(title=title or None) if len(names) > 1 else None
    colours, dashes = (
        alt.Scale(domain=list(names), range=list(looks[: len(names)])) for looks in (style.COLOURS, style.DASHES)
    )
    return (
        alt.Color("cell:N", scale=colours, legend=legend),
        alt.StrokeDash("cell:N", scale=dashes, legend=legend),
    )


def tips(axes: Sequence[str], *more: str) -> list[alt.Tooltip]:
    """What hovering over a cell tells."""
    shown = [alt.Tooltip(f"{field(axis)}:N", title=style.label(axis)) for axis in axes]
    shares = [
        alt.Tooltip(f"{name}:Q", format=".1%") for name in ("mean", "low", "high", "iqm", "worst", "best", "base")
    ]
    return [*shown, *(alt.Tooltip(f"{name}:Q") for name in (*more, "n")), *shares]


def tips_of(axes: Sequence[str], *columns: str) -> list[alt.Tooltip]:
    """The same, of numbers that are no shares."""
    shown = [alt.Tooltip(f"{field(axis)}:N", title=style.label(axis)) for axis in axes]
    return [*shown, *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in columns)]


def tips_of_seed(axes: Sequence[str], *more: str) -> list[alt.Tooltip]:
    shown = [alt.Tooltip(f"{field(axis)}:N", title=style.label(axis)) for axis in (*axes, "seed", *more)]
    return [*shown, alt.Tooltip("score:Q", format=".1%"), alt.Tooltip("trial_id:N", title="trial")]


def curves(
    x: alt.X, y: Callable[[str], alt.Y], names: Sequence[str], along: str, axes: Sequence[str], drawn: int
) -> list[alt.Chart]:
    """Of each cell centre line and band along a column of places, and unless too many scores are `drawn` every seed as
    a thin line.

    Lines have a gap where a score is missing.
    """
    (colour, dashes), each = cells(names, axes), alt.Chart(alt.NamedData("seeds")).transform_filter(CHOSEN)
    lines = each.mark_line(strokeWidth=0.5, opacity=0.35).encode(x, y("score"), colour, alt.Detail("trial_id:N"))
    band = numbers().mark_area(opacity=0.2).encode(x, y("lower"), alt.Y2("upper:Q"), colour)
    centre = numbers().mark_line(point={"size": 18, "filled": True}, strokeWidth=1.7)
    centre = centre.encode(x, y("centre"), colour, dashes, tooltip=tips(axes, along))
    return [*([lines] if drawn <= MOST else []), band, centre]


def base(y: Callable[[str], alt.Y]) -> list[alt.Chart]:
    """The base model: a line across, its score beside it."""
    one = numbers().transform_aggregate(base="mean(base)").transform_filter("isValid(datum.base)")
    said = one.transform_calculate(said="'base ' + format(datum.base, '.1%')")
    text = said.mark_text(style="ink", align="left", dx=4).encode(y("base"), x=alt.value("width"), text="said:N")
    return [one.mark_rule(style="base").encode(y("base")), text]


def base_in_words() -> alt.Chart:
    """The base model's score above the axes, where there is one base model."""
    one = numbers().transform_aggregate(base="mean(base)", least="min(base)", most="max(base)")
    said = one.transform_filter("isValid(datum.base) && datum.least == datum.most")
    said = said.transform_calculate(said="'base ' + format(datum.base, '.1%')")
    return said.mark_text(style="ink", align="left").encode(x=alt.value(0), y=alt.value(-8), text="said:N")


def counts(x: alt.X, lost: Sequence[str]) -> list[alt.Chart]:
    """Above the axes, a row of each cell's seeds, and a row for each way in which seeds were lost."""
    layers = []
    for place, name in enumerate(["n", *lost]):
        look: dict[str, Any] = {"style": "said" if name in ("n", "missing") else "lost"}
        y = alt.value(-8 - 11 * place)
        layers.append(numbers().mark_text(**look).encode(x, y=y, text=f"{name}:Q"))
        heading = numbers().transform_aggregate(cells="count()").mark_text(align="right", **look)
        layers.append(heading.encode(x=alt.value(-8), y=y, text=alt.value("seeds" if name == "n" else name)))
    return layers
