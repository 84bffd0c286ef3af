"""All logits of a model's answers, a histogram for each cell and the base model, with its moments: Figure 1.

Moments and histograms are of each trial, and averaged over seeds with their interval: a seed is what would be repeated.
"""

import json
from typing import TYPE_CHECKING

import polars as pl
from numpy.random import Generator

from analysis import style
from analysis.figures import Figure, require_curves
from analysis.seeds import AVERAGE, observe, words_of
from analysis.summary import summarise
from analysis.tables import WORD, Tables
from em.errors import InputError, require
from em.trial.evaluation import Statistics

if TYPE_CHECKING:
    from analysis.charts import Chart

MOMENTS = ("mean", "sigma", "skewness", "kurtosis")
DENSITY = "density"
BASE = "base"
HEIGHT = 62
EDGE = 1e-4  # density, below which the tails are not shown

BY_BENCHMARK = False


def check(figure: Figure, cells: pl.DataFrame) -> None:
    """Cells of one base model, with it as many as there are colours, whose logits are measured on one benchmark."""
    require_curves(figure, cells, beside=1)
    remedy = "a figure of logits needs one or more, beside which the base model stands"
    require(len(figure.axes) > 0, f"figure {figure.name}: axes", list(figure.axes), remedy)
    number = len(figure.headline.evaluations)
    require(number == 1, f"figure {figure.name}: benchmarks", number, "a figure of logits shows those of one")
    for item in figure.headline.evaluations:
        if item.statistics not in (Statistics.logits, Statistics.logits_of_shortest):
            said = f"eval.statistics={item.statistics.value}: a figure of logits needs eval.statistics=logits"
            raise InputError(f"figure {figure.name}: {said}")


def observed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Of each trial, and of the base model as another cell, moments and density at each `logit`, a bin's middle."""
    cells = cells.with_columns(as_words(cells[name]) for name in figure.axes)
    base = cells.unique("base_id", keep="first", maintain_order=True).with_columns(
        *(pl.lit(BASE, cells.schema[name]).alias(name) for name in figure.axes),
        *(pl.lit(0, pl.Int64).alias(name) for name in ("seed", "start_step", "last_step")),
        trial_id="base_id",
        start_id="base_id",
        method=pl.lit("", WORD),
    )
    evaluations, wanted = figure.headline.evaluations, [(base, 0), (cells, figure.headline.step)]
    both = pl.concat(observe(of, tables, evaluations, [step]) for of, step in wanted)
    average, keys = both.with_columns(logit=pl.lit(None, pl.Float64)), ["trial_id", "step"]
    found = distributions(tables, both.select(keys), [item.id for item in evaluations])
    of_scores = [pl.lit(None, pl.Float64).alias(name) for name in ("variance", "base_score", "base_variance")]
    own = both.drop("metric", "score").join(found, on=keys, maintain_order="left").with_columns(of_scores)
    return pl.concat([average, own.select(average.columns)])


def as_words(values: pl.Series) -> pl.Series:
    """The values of an axis as words, in their order, after BASE."""
    if isinstance(values.dtype, pl.Enum):
        return values.cast(pl.Enum([BASE, *words_of(values.dtype)]))
    order, written = ([style.written(values.name, value) for value in of] for of in (values.unique().sort(), values))
    return pl.Series(values.name, written, pl.Enum([BASE, *order]))


def distributions(tables: Tables, wanted: pl.DataFrame, evaluation_ids: list[str]) -> pl.DataFrame:
    """One row per (trial, step, metric, logit): `score`, of all logits of the answers; read from the records."""
    scores = tables.scores.join(wanted, on=["trial_id", "step"]).filter(pl.col("evaluation_id").is_in(evaluation_ids))
    sources = dict(scores.select("unit_id", "trial_id").unique().sort("unit_id").iter_rows())
    steps = set(scores.select("trial_id", "step").iter_rows())
    leaves = [f"evaluations.list.element.{name}" for name in ("step", "evaluation_id", "distributions")]
    rows = []
    for trial, record in zip(sources.values(), tables.store.leaves(sources, leaves), strict=True):
        for result in record["evaluations"] or []:
            if result["evaluation_id"] not in evaluation_ids or (trial, result["step"]) not in steps:
                continue
            of = next(of for of in result.get("distributions") or [{}] if not of or of["name"] == "logits")
            if of:
                rows += [(trial, result["step"], name, None, of[name]) for name in MOMENTS]
                shares = (
                    (of["low"] + (at + 0.5) * of["width"], n / of["count"]) for at, n in enumerate(of["histogram"])
                )
                rows += [(trial, result["step"], DENSITY, at, share / of["width"]) for at, share in shares]
    schema = {"trial_id": WORD, "step": pl.Int64, "metric": pl.String, "logit": pl.Float64, "score": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row").with_columns(pl.col("score").fill_nan(None))


def numbers(figure: Figure, seeds: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise`, at each logit; without the empty tails."""
    made = summarise(seeds, [*figure.axes, "logit"], rng, figure.pool)
    inside = made.filter(pl.col("metric") == DENSITY, pl.col("mean") > EDGE)["logit"]
    return made.filter(pl.col("logit").is_null() | pl.col("logit").is_between(inside.min(), inside.max()))


def draw(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> "Chart":
    """A panel for each model, with mean, sigma and skewness of its logits, the last with its interval."""
    from analysis import charts
    from analysis.charts import alt

    names = numbers["cell"].unique(maintain_order=True).to_list()
    inside = numbers.drop_nulls("logit")
    logits, densities = inside["logit"].to_list(), inside["mean"].to_list()
    room, upwards = alt.Scale(domain=[logits[0], logits[-1]], nice=False), alt.Scale(domain=[0, max(densities)])

    def panel(name: str, colour: str) -> "Chart":
        own = f"datum.cell == {json.dumps(name)}"
        x = alt.X("logit:Q", scale=room, title="logit" if name == names[-1] else None)
        y = alt.Y("mean:Q", title="density", scale=upwards, axis=alt.Axis(tickCount=3))
        shown = charts.numbers(f"{own} && datum.metric == '{DENSITY}'")
        tips = charts.tips_of(["cell"], "logit", "mean", "low", "high", "n")
        area = shown.mark_area(opacity=0.35, color=colour, line={"color": colour, "strokeWidth": 1.2})
        middle = charts.numbers(f"{own} && datum.metric == 'mean'").mark_rule(
            color=colour, strokeDash=[3, 2], clip=True
        )
        look = {"align": "right", "style": "ink", "dx": -4}
        text = charts.alt.Chart(alt.NamedData("numbers")).mark_text(**look)
        return alt.layer(
            area.encode(x, y, tooltip=tips),
            middle.encode(x=alt.X("mean:Q", scale=room)),
            *(
                text.transform_filter(f"{own} && datum.metric == '{metric}'")
                .transform_calculate(said=said)
                .encode(x=alt.value("width"), y=alt.value(10 + 12 * place), text="said:N")
                for place, (metric, said) in enumerate(SAID.items())
            ),
        ).properties(height=HEIGHT)

    return alt.vconcat(*map(panel, names, style.COLOURS), spacing=6)


SAID = {
    AVERAGE: "datum.cell + ', n = ' + datum.n",
    "mean": "'mean ' + format(datum.mean, '.2f')",
    "sigma": "'sigma ' + format(datum.mean, '.2f')",
    "skewness": (
        "'skewness ' + format(datum.mean, '.2f') + "
        "(isValid(datum.low) ? ' (' + format(datum.low, '.2f') + ' to ' + format(datum.high, '.2f') + ')' : '')"
    ),
}
