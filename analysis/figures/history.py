"""A search point by point: the mean of each with its interval, and the best so far."""

from typing import TYPE_CHECKING

import polars as pl
from numpy.random import Generator

from analysis import style
from analysis.figures import Figure
from analysis.search import OBJECTIVES, POINT, Goal
from analysis.seeds import Outcome, judged
from analysis.summary import summarise
from analysis.tables import Tables
from em.errors import InputError

if TYPE_CHECKING:
    from analysis.charts import Chart

GOOD, OTHER, BEST = "point", "point that lacks seeds or misses a constraint", "best so far"
LOOKS = {GOOD: style.BLUE, OTHER: style.SKY, BEST: style.ORANGE}

BY_BENCHMARK = False


def goal_of(figure: Figure, cells: pl.DataFrame) -> Goal:
    """Raises InputError where the sweep is no search."""
    if figure.goal is None or POINT not in cells.columns:
        raise InputError(f"figure {figure.name}: shows the points of a search; choose one, search=tpe")
    return figure.goal


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """The points of a search."""
    goal_of(figure, cells)


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """The headline of each trial, as the search takes it, and its lane seconds."""
    return judged(cells, tables, figure.headline, figure.metric)


def numbers(figure: Figure, seeds: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`, the mean of `seconds`, and two of the search's goal.

    good: a point has the scores of all its seeds and meets the constraints.  leader: the best of those up to this one.
    """
    assert figure.goal is not None
    made = summarise(seeds, figure.axes, rng).sort(POINT)
    diverged, scored = pl.col("outcome") == Outcome.diverged.value, pl.col("score").is_not_null()
    points = seeds.group_by(POINT).agg(pl.col("score", "seconds").filter(scored), diverged.sum().alias("lost"))
    good, leaders, leader, most = list[bool](), list[int | None](), None, -float("inf")
    for point, scores, seconds, lost in points.sort(POINT).iter_rows():
        of = dict[str, float]()
        if scores:
            scores_S, seconds_S = pl.Series(scores).to_numpy(), pl.Series(seconds).to_numpy()
            of = {name: objective.of(scores_S, seconds_S) for name, objective in OBJECTIVES.items()}
        good.append(len(scores) == figure.seeds and figure.goal.is_met(of.__getitem__, lost))
        if good[-1] and (rank := figure.goal.rank(of.__getitem__)) > most:
            leader, most = point, rank
        leaders.append(leader)
    took = points.select(POINT, pl.col("seconds").list.mean())
    made = made.join(took, on=POINT, how="left", maintain_order="left")
    return made.with_columns(good=pl.Series(good, dtype=pl.Boolean), leader=pl.Series(leaders, dtype=pl.Int64))


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """Points from left to right as they were asked; the best so far is so by the search's first objective."""
    from analysis import charts
    from analysis.charts import alt

    y, colour = charts.accuracy(figure.headline.label), charts.legend(LOOKS)
    x = alt.X(f"{POINT}:Q", title="point", axis=alt.Axis(tickMinStep=1), scale=alt.Scale(nice=False, padding=8))
    shown = charts.numbers().transform_calculate(called=f"datum.good ? '{GOOD}' : '{OTHER}'")
    rules = shown.mark_rule(opacity=0.5).encode(x, y("lower"), alt.Y2("upper:Q"), colour)
    points = shown.mark_circle(size=26, opacity=1).encode(x, y("centre"), colour, tooltip=charts.tips(figure.axes, "n"))
    leaders = alt.LookupData(alt.NamedData("numbers"), POINT, list(charts.STATISTICS))
    best = charts.numbers().transform_lookup("leader", from_=leaders).transform_calculate(so_far="datum[statistic]")
    best = charts.called(best, BEST).mark_line(interpolate="step-after", strokeWidth=1.6).encode(x, y("so_far"), colour)
    return alt.layer(rules, best, points, *charts.base(y))
