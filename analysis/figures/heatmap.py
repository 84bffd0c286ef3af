"""Score against two axes: each cell coloured by its mean, with the numbers of its seeds written in it."""

import json
from typing import TYPE_CHECKING

import polars as pl

from analysis import style
from analysis.figures import Figure, require_axes
from analysis.summary import LOST
from em.errors import InputError

if TYPE_CHECKING:
    from analysis.charts import Chart

COLOURS = "viridis"  # even steps to the eye, also to a colour-blind one, and in grey
CELL = 42  # points, of its sides
LETTERS = 9  # that fit below a cell; longer words are slanted
KEY = "n: trials with a score;  w: width of the band, in points"


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Two axes, of numbers or words."""
    require_axes(figure, 2)
    for axis in figure.axes:
        if cells[axis].dtype.is_nested():
            raise InputError(f"{axis}={cells[axis][0].to_list()}: a heat map needs numbers or words on its axes")


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """The first axis from left to right, the second upwards.  Cells without a score are empty, with what was lost."""
    from analysis import charts
    from analysis.charts import alt

    across, up = (numbers[axis].unique().sort().to_list() for axis in figure.axes)
    slanted = max(len(style.written(figure.axes[0], value)) for value in across) > LETTERS
    x, y = (
        alt.Axis(title=style.label(axis), labelExpr=words(axis, values), domain=False, ticks=False, labelAngle=angle)
        for axis, values, angle in zip(figure.axes, (across, up), (-30 if slanted else 0, 0), strict=True)
    )
    place = {
        "x": alt.X(f"{charts.field(figure.axes[0])}:O", axis=x, scale=alt.Scale(domain=across)),
        "y": alt.Y(f"{charts.field(figure.axes[1])}:O", axis=y, scale=alt.Scale(domain=up[::-1])),
    }
    title = ["accuracy", *f"({figure.headline.label})".splitlines()]
    legend = alt.Legend(title=title, orient="right", format="~%", gradientLength=CELL * min(len(up), 5))
    colour = alt.Color("centre:Q", scale=alt.Scale(scheme=COLOURS, nice=False, zero=False), legend=legend)
    shown = charts.numbers().transform_calculate(
        width="isValid(datum.upper) ? 'w ' + format(100 * (datum.upper - datum.lower), '.1f') : ''",
        counted="'n ' + datum.n",
        percent="isValid(datum.centre) ? format(100 * datum.centre, '.1f') : ''",
        lost=" + ".join(f"(datum.{name} ? datum.{name} + ' {name}\\n' : '')" for name in LOST),
    )
    # black or white, whichever stands out more: at least 4.5 to 1 (WCAG 2.1)
    is_light = "luminance(scale('color', datum.centre)) > 0.179"
    bright = alt.condition(is_light, alt.value("black"), alt.value("white"))
    filled, empty = (shown.transform_filter(f"{which}isValid(datum.centre)") for which in ("", "!"))
    texts = [("percent", -12, 9.5), ("counted", -3, 6.5), ("width", 3.5, 6.5)]
    lost = {"fontSize": 5.5, "lineBreak": "\n", "lineHeight": 6}
    cells = filled.mark_rect(stroke="white", strokeWidth=1.2)
    return alt.layer(
        cells.encode(**place, color=colour, tooltip=charts.tips(figure.axes)),
        empty.mark_rect(style="gap", cornerRadius=2).encode(**place),
        *(
            filled.mark_text(dy=dy, fontSize=size).encode(**place, text=f"{name}:N", color=bright)
            for name, dy, size in texts
        ),
        filled.mark_text(dy=10, **lost).encode(**place, text="lost:N", color=bright),
        empty.mark_text(dy=-6, style="ink", **lost).encode(**place, text="lost:N"),
        charts.base_in_words(),
    ).properties(width=CELL * len(across), height=CELL * len(up))


def words(axis: str, values: list) -> str:
    """An expression: a value as people write it."""
    shown = [style.written(axis, value) for value in values]
    return f"{json.dumps(shown)}[indexof({json.dumps(values)}, datum.value)]"
