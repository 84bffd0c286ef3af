"""The figures of a sweep and the numbers beside them, from what is recorded so far."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from numpy.random import default_rng
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import figures, style
from analysis.figures import Figure, check
from analysis.seeds import AVERAGE, base_score
from analysis.summary import LOST
from analysis.tables import Tables
from em.errors import InputError
from em.store import Store

# Columns of the seeds that are not in their file.
UNSAVED = ("base_id", "base_score", "base_variance", "code_version", "outdated", "method", "start_id", "start_step")
SUFFIXES = ("pdf", "png", "svg")
FEW = 2_000  # scores of a benchmark that a report has one by one
RESOURCES = re.compile(rb"(?:^ +/\w+ \d+ 0 R\n){2,}", re.MULTILINE)  # of a PDF: lines of names and references
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what an SVG may not hold


class Drawn(NamedTuple):
    figure: Figure
    numbers: pl.DataFrame  # one row per cell, metric and place; the benchmarks' own among the metrics
    seeds: pl.DataFrame  # one row per wanted trial and place, and per metric that is drawn with the average
    others: pl.DataFrame  # the same of the benchmarks, where they are few
    notes: list[str]  # what a reader should know


def draw_figures(tables: Tables, figures: Sequence[Figure], cells: pl.DataFrame, console: Console) -> list[Path]:
    """Draw the figures of a sweep, save each with its numbers, print its table; the files.

    `cells` is what the sweep wants, as made by `analysis.seeds.cells`; seeds that have no score (yet) are counted.
    The same records give the same bytes.  Raises InputError where nothing can be drawn.
    """
    for figure in figures:
        check(figure, cells)
    paths = []
    for figure in figures:
        drawn = computed(figure, cells, tables)
        files = save(tables.store, drawn)
        console.print(printed(drawn))
        for note in drawn.notes:
            console.print(f"warning: {note} (see {files[-1].name})", style="yellow", highlight=False)
        for path in files:
            console.print(str(path), soft_wrap=True, highlight=False)
        paths += files
    return paths


def computed(figure: Figure, cells: pl.DataFrame, tables: Tables) -> Drawn:
    """What a figure shows; raises InputError where there is no score."""
    seeds = figures.observed(figure, cells, tables)
    if not seeds["score"].count():
        missing = f"no score {figure.headline.after} of figure {figure.name}"
        raise InputError(f"store={tables.store.address}: holds {missing}, nothing to draw")
    numbers = figures.numbers(figure, seeds, default_rng(0))
    others, notes = [seeds.clear()], warnings(figure.axes, seeds)
    for metric in figures.benchmarks(figure):
        of_metric = replace(figure, metric=metric)
        own = figures.observed(of_metric, cells, tables)
        numbers.extend(figures.numbers(of_metric, own, default_rng(0)))
        others += [own] * (len(own) <= FEW)
    return Drawn(figure, numbers, seeds, pl.concat(others, how="diagonal"), notes)


def save(store: Store, drawn: Drawn) -> list[Path]:
    """Write figure, numbers and seeds; the paths, the seeds' last."""
    return write(store, drawn.figure.name, specification(drawn), {"": drawn.numbers, "-seeds": drawn.seeds})


def write(store: Store, name: str, spec: dict[str, Any], tables: Mapping[str, pl.DataFrame]) -> list[Path]:
    """Save a chart in every format, and tables as CSV, by what follows the name; the paths, in this order."""
    contents = {f"{name}.{suffix}": content for suffix, content in pictures(spec).items()}
    for ending, frame in tables.items():
        contents[f"{name}{ending}.csv"] = frame.drop(UNSAVED, strict=False).write_csv().encode()
    return [store.save_figure(file, content) for file, content in contents.items()]


def specification(drawn: Drawn) -> dict[str, Any]:
    """The chart as Vega-Lite has it, with its data: what it shows before a reader chooses anything else."""
    spec, shown = chart(drawn), data(drawn)
    drawn_too = ~pl.col("metric").is_in(figures.benchmarks(drawn.figure))
    return filled(spec, shown | {"numbers": shown["numbers"].filter(drawn_too)})


def filled(chart: dict[str, Any], tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """A chart with the rows of the tables that it names, and with the look of print."""
    used = {name: tables[name].to_dicts() for name in named(chart, tables)}
    return chart | {"datasets": chart.get("datasets", {}) | used, "config": style.config()}


def named(chart: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Those of the tables that a chart names."""
    text = json.dumps(chart)
    return [name for name in names if f'{{"name": "{name}"}}' in text]


def chart(drawn: Drawn) -> dict[str, Any]:
    """The chart as Vega-Lite has it, without data and look."""
    from analysis import charts

    shown = data(drawn)
    kind = figures.kind_of(drawn.figure.kind)
    made = kind.draw(drawn.figure, shown["numbers"], shown["seeds"])
    key = getattr(kind, "KEY", None)
    subtitle = [counted(drawn), *([key] if key else []), *(f"warning: {note}" for note in drawn.notes)]
    titled = made.properties(title=charts.alt.Title(title(drawn), subtitle=subtitle)).add_params(*charts.CHOICES)
    return titled.to_dict()


def data(drawn: Drawn, all_seeds: bool = False) -> dict[str, pl.DataFrame]:
    """The tables that a chart names, with the cell's values as text; with the seeds of all metrics, if asked."""
    axes = drawn.figure.axes
    written = [
        pl.col(axis).map_elements(lambda value, axis=axis: style.written(axis, value), pl.String, skip_nulls=False)
        for axis in axes
    ]
    cell = pl.concat_str(written, separator=", ") if axes else pl.lit("mean of seeds")
    columns = [*axes, "metric", "step", "temperature", "seed", "trial_id", "score", "outcome"]
    seeds = pl.concat([drawn.seeds, drawn.others], how="diagonal") if all_seeds else drawn.seeds
    seeds = seeds.select(name for name in columns if name in seeds.columns)
    return {"numbers": drawn.numbers.with_columns(cell=cell), "seeds": seeds.with_columns(cell=cell)}


def pictures(spec: dict[str, Any]) -> dict[str, bytes]:
    """The chart in every format, by suffix."""
    import vl_convert

    svg = NOT_XML.sub("\ufffd", vl_convert.vegalite_to_svg(spec))
    # of print: 300 to the inch, at 72 points
    made = {
        "pdf": ordered(vl_convert.svg_to_pdf(svg)),
        "png": vl_convert.svg_to_png(svg, scale=300 / 72),
        "svg": svg.encode(),
    }
    return {suffix: made[suffix] for suffix in SUFFIXES}


def ordered(pdf: bytes) -> bytes:
    """The same page with its resources in order, which the writer shuffles: the same chart gives the same bytes."""
    return RESOURCES.sub(lambda found: b"".join(sorted(found[0].splitlines(keepends=True))), pdf)


def title(drawn: Drawn) -> str:
    models, methods = drawn.seeds["model"].unique(), {*drawn.seeds["method"]} - {""}
    who = style.line(models[0]) if len(models) == 1 else f"{len(models)} models"
    what = "entropy minimisation" if methods == {"em"} else "training"
    return f"{who} {drawn.figure.headline.after} of {what}"


def counted(drawn: Drawn) -> str:
    """`128 trials, n = 16 a cell`, of the scores after training: at step 0 a trial shows what it starts from."""
    shown = pl.col("metric") == AVERAGE, pl.col("step") >= min(1, max(drawn.numbers["step"]))
    seeds, numbers = drawn.seeds.filter(*shown), drawn.numbers.filter(*shown)
    trials = seeds.group_by("trial_id").agg(scored=pl.col("score").is_not_null().any())
    scored, wanted = int(trials["scored"].sum()), len(trials)
    of = f"{wanted:,} trial{'s' * (wanted != 1)}" if scored == wanted else f"{scored:,} of {wanted:,} trials"
    low, high = numbers["n"].min(), numbers["n"].max()
    return f"{of}, n = {low if low == high else f'{low} to {high}'} a cell"


def warnings(axes: Sequence[str], seeds: pl.DataFrame) -> list[str]:
    """What a reader of a figure with these axes should know about how its numbers came about."""
    notes, cells = [], seeds.select(axes).unique().height if axes else 1
    if mixed := mixing(axes, seeds, "code_version"):
        notes.append(f"{mixed} of {cells} cells mix versions of the code")
    average = seeds.filter(pl.col("metric") == AVERAGE)
    if dirty := int(average["code_version"].cast(pl.String).str.contains("-dirty").sum()):
        notes.append(f"{dirty} scores are of code with uncommitted changes")
    if mixed := mixing(axes, seeds, "environment"):
        notes.append(f"{mixed} of {cells} cells mix hardware or library versions")
    if mixed := int((average["attempts"] > 1).sum()):
        notes.append(f"{mixed} scores unite attempts whose weights differ")
    if ungraded := int(average["ungraded"].sum()):
        notes.append(f"{ungraded} answers could not be graded and count as wrong")
    if outdated := int(average["outdated"].sum()):
        again = "`python -m em.evaluation.grade` gives them again"
        notes.append(f"{outdated} measurements have grades of an older version of the grader: {again}")
    return notes


def mixing(axes: Sequence[str], seeds: pl.DataFrame, column: str) -> int:
    """Cells of which the column has several values; those of one seed are joined by "+"."""
    values = seeds.select(*axes, pl.col(column).cast(pl.String)).drop_nulls(column).unique()
    values = values.with_columns(pl.col(column).str.split("+")).explode(column)
    by_cell = values.group_by(axes or pl.lit(0)).agg(pl.n_unique(column))
    return int((by_cell[column] > 1).sum())


def printed(drawn: Drawn) -> Table:
    """The numbers as the terminal shows them, in per cent."""
    figure, base = drawn.figure, base_score(drawn.seeds.filter(pl.col("metric") == AVERAGE))
    numbers = drawn.numbers.filter(pl.col("metric") == AVERAGE)
    heading = "accuracy, %" if base is None else f"accuracy, %; base model {100 * base:.1f}"
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=0)
    lost = [name for name in LOST if numbers[name].sum()]
    places = [name for name in ("step", "temperature") if numbers[name].n_unique() > 1]
    columns = (*map(style.label, figure.axes), *places, "seeds", *lost, "mean", "95% interval", "iqm", "worst", "best")
    for name in columns:
        table.add_column(name, justify="right")
    for row in numbers.iter_rows(named=True):
        mean, low, high, iqm, worst, best = (
            "-" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("mean", "low", "high", "iqm", "worst", "best")
        )
        interval = "-" if row["low"] is None else f"{low} to {high}"
        values = (style.written(axis, row[axis]) for axis in (*figure.axes, *places))
        counts = (str(row[name]) for name in ("n", *lost))
        table.add_row(*values, *counts, mean, interval, iqm, worst, best)
    return table
