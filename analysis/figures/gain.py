"""What EM gains on many base models: a line from each to its EM-trained mean, at one temperature and at the best ones.

B base models.
"""

from typing import TYPE_CHECKING

import polars as pl
from numpy.random import Generator

from analysis import gain, style
from analysis.figures import Figure, require_axes
from analysis.seeds import AVERAGE, tested
from analysis.summary import summarise
from analysis.tables import Tables
from em.errors import InputError, require

if TYPE_CHECKING:
    from analysis.charts import Chart

KEPT, LOSES, MEAN = "base model", "base model that loses", "mean, with the interval of its gain"
LOOKS = {KEPT: style.SKY, LOSES: style.VERMILION, MEAN: style.BLUE}
ENDS = ("base", "EM")
WIDTH = 170

BY_BENCHMARK = False


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """One axis whose values are base models, measured on validation and on test problems."""
    require_axes(figure, 1)
    (axis,) = figure.axes
    if cells.select(axis, "base_id").unique().height != cells["base_id"].n_unique():
        raise InputError(
            f"figure {figure.name}: {axis} varies more than the base model, of which gain draws a line each"
        )
    both = [len(gain.validated(figure.measured)), len(tested(figure.measured))]
    remedy = "gain needs benchmarks of both kinds, benchmark=[tiny,validation]"
    require(0 not in both and sum(both) == len(figure.measured), f"figure {figure.name}: splits", both, remedy)


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Scores on test problems at the headline's temperature, and at the best ones: as of `analysis.gain.compared`."""
    return gain.compared(cells, tables, figure.measured, figure.headline)


def numbers(figure: Figure, seeds: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`, with `model` and `base_temperature`."""
    named = seeds.group_by(figure.axes, maintain_order=True).agg(pl.first("model"))
    own = seeds.group_by(*figure.axes, "metric", maintain_order=True).agg(pl.first("base_temperature"))
    made = summarise(seeds, figure.axes, rng, figure.pool)
    return made.join(named, on=figure.axes, maintain_order="left").join(
        own, on=[*figure.axes, "metric"], maintain_order="left"
    )


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Two panels on one scale.  A base model that lacks a score is left out."""
    from analysis.charts import alt

    panels = [(AVERAGE, f"at temperature {figure.headline.temperature:g}"), (gain.OWN, gain.OWN)]
    made = [panel(numbers.filter(pl.col("metric") == metric), metric, name) for metric, name in panels]
    return alt.hconcat(*made, spacing=24).resolve_scale(y="shared")


def panel(numbers: pl.DataFrame, metric: str, name: str) -> "Chart":
    """A line for each base model, with the names of those that lose; the mean, and beside it the interval of its gain.

    In the title the gain in points, with its interval over base models, and how many lose.
    """
    from analysis import charts
    from analysis.charts import alt

    shown = numbers.drop_nulls(["base", "mean"])
    y = alt.Y("score:Q", title="accuracy on test problems", axis=charts.PERCENT, scale=alt.Scale(zero=False))
    x = alt.X("at:N", title=None, axis=alt.Axis(labelAngle=0), scale=alt.Scale(padding=0.4, domain=list(ENDS)))
    colour = charts.legend(LOOKS)
    rows = charts.numbers(f"datum.metric == '{metric}' && isValid(datum.base) && isValid(datum.mean)")
    loses = f"datum.mean < datum.base ? '{LOSES}' : '{KEPT}'"
    ends = rows.transform_calculate(called=loses, EM="datum.mean").transform_fold([*ENDS], ["at", "score"])
    look = {"point": {"size": 14, "filled": True}, "strokeWidth": 1}
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip("score:Q", format=".1%"),
        alt.Tooltip("temperature:Q"),
        alt.Tooltip("n:Q"),
    ]
    lines = ends.mark_line(**look).encode(x, y, colour, alt.Detail("model:N"), tooltip=tips)
    names = ends.transform_filter("datum.at == 'EM' && datum.mean < datum.base")
    names = names.mark_text(align="left", dx=6, fontSize=8).encode(x, y, colour, text="model:N")
    mean = charts.called(ends.transform_aggregate(score="mean(score)", groupby=["at"]), MEAN)
    mean = mean.mark_line(point={"size": 34, "filled": True}, strokeWidth=2.2).encode(x, y, colour)
    said, edges = summed(shown)
    interval = alt.Chart(alt.InlineData(edges)).mark_rule(color=style.BLUE, strokeWidth=1.4, xOffset=9)
    interval = interval.encode(x, alt.Y("low:Q"), alt.Y2("high:Q"))
    title = alt.Title([name, said], fontSize=9, offset=6)
    return alt.layer(lines, names, mean, interval).properties(width=WIDTH, title=title)


def summed(shown: pl.DataFrame) -> tuple[str, list[dict[str, float | str]]]:
    """The gain over these base models in words, and where its interval stands beside their mean: of one, nowhere."""
    if shown.is_empty():
        return "no base model has both scores", []
    gains = gain.over_models(100 * shown["gain"].to_numpy())
    points, lose = f"{gains.mean:+.1f} points", f"{gains.losing} of {gains.models} lose"
    if gains.models == 1:
        return f"{points}, {lose}", []
    start = float(shown["base"].to_numpy().mean())
    edges = {"at": "EM", "low": start + gains.low / 100, "high": start + gains.high / 100}
    return f"{points} ({gains.low:.1f} to {gains.high:.1f}), {lose}", [edges]
