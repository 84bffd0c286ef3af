"""The figures of a sweep and the numbers beside them, from what is recorded so far."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings, filterwarnings

import polars as pl
from matplotlib.figure import Figure as Page
from numpy.random import default_rng
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import load, style
from analysis.figures import Figure, check, kind_of, scored
from analysis.summary import LOST
from em.errors import InputError
from em.store import Store

UNDATED = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}

# Columns of the seeds that are not in their file.
UNSAVED = ("base_id", "base_score", "code_version", "outdated", "method", "start_id", "start_step", "last_step")


class Drawn(NamedTuple):
    numbers: pl.DataFrame  # one row per cell
    seeds: pl.DataFrame  # one row per wanted trial
    paths: list[Path]


def draw_figures(store: Store, figures: Sequence[Figure], cells: pl.DataFrame, console: Console) -> list[Drawn]:
    """Draw the figures of a sweep, save each with its numbers, print its table.

    `cells` is what the sweep wants, as made by `analysis.load.cells`; seeds that have no score (yet) are counted.
    The same records give the same bytes.  Raises InputError where nothing can be drawn.
    """
    for figure in figures:
        check(figure, cells)
    records = load.records(store, {*cells["trial_id"], *cells["base_id"], *cells["start_id"]})
    scores, diverged, failed = load.scores(records), load.diverged(records), load.failed(store)
    drawn = []
    for figure in figures:
        seeds = load.seeds(cells, scores, figure.headline, diverged, failed)
        drawn.append(draw_figure(store, figure, scored(figure, seeds, scores), console))
    return drawn


def draw_figure(store: Store, figure: Figure, seeds: pl.DataFrame, console: Console) -> Drawn:
    if not seeds["score"].count():
        missing = f"no score {figure.headline.after} of figure {figure.name}"
        raise InputError(f"store={store.root}: holds {missing}, nothing to draw")
    kind, seeds = kind_of(figure.kind), seeds.sort(*figure.axes, "seed")
    numbers = kind.numbers(seeds, figure.axes, default_rng(0))
    notes = warnings(numbers, seeds, figure.axes)
    with style.paper():
        page = Page(figsize=(style.WIDTH_INCHES, 3.7))
        kind.draw(page, figure, numbers, seeds)
        page.suptitle("\n".join([title(figure, seeds), *notes]), x=0.02, ha="left")
        add_legend(page)
        paths = save(store, figure.name, page, numbers, seeds)
    console.print(printed(figure, numbers, seeds))
    for note in notes:
        console.print(f"warning: {note} (see {paths[-1].name})", style="yellow", highlight=False)
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return Drawn(numbers, seeds, paths)


def save(store: Store, name: str, page: Page, numbers: pl.DataFrame, seeds: pl.DataFrame) -> list[Path]:
    """Write figure, numbers and seeds; the paths, the seeds' last."""
    contents = {f"{name}.{suffix}": picture(page, suffix) for suffix in UNDATED}
    for stem, frame in ((name, numbers), (f"{name}-seeds", seeds.drop(UNSAVED))):
        contents[f"{stem}.csv"] = frame.write_csv().encode()
    return [store.save_figure(file, content) for file, content in contents.items()]


def picture(page: Page, suffix: str) -> bytes:
    content = BytesIO()
    with catch_warnings():
        filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box
        page.savefig(content, format=suffix, metadata=UNDATED[suffix])
    return content.getvalue()


def title(figure: Figure, seeds: pl.DataFrame) -> str:
    models, scored = seeds["model"].unique(), seeds["score"].count()
    trials = f"trial{'s' * (len(seeds) != 1)}"
    of = f"{scored} {trials}" if scored == len(seeds) else f"{scored} of {len(seeds)} {trials}"
    who = style.line(models[0]) if len(models) == 1 else f"{len(models)} models"
    what = "entropy minimisation" if {*seeds["method"]} == {"em"} else "training"
    return f"{who} {figure.headline.after} of {what}, {of}"


def add_legend(page: Page) -> None:
    """Below the axes, what was drawn with a label, in the order that it was drawn."""
    labelled = {}
    for ax in page.axes:
        handles, labels = ax.get_legend_handles_labels()
        labelled |= dict(zip(labels, handles, strict=True))
    if labelled:
        page.legend(labelled.values(), labelled.keys(), loc="outside lower center", ncols=len(labelled))


def warnings(numbers: pl.DataFrame, seeds: pl.DataFrame, axes: Sequence[str]) -> list[str]:
    """What a reader of the figure should know about how its numbers came about."""
    notes = []
    versions = seeds.select(*axes, code=pl.col("code_version").str.split("+")).explode("code").drop_nulls("code")
    by_cell = versions.group_by(axes) if axes else versions.group_by(pl.lit(0))
    if mixed := int((by_cell.agg(pl.n_unique("code"))["code"] > 1).sum()):
        notes.append(f"{mixed} of {len(numbers)} cells mix versions of the code")
    if dirty := int(seeds["code_version"].str.contains("-dirty").sum()):
        notes.append(f"{dirty} scores are of code with uncommitted changes")
    if mixed := int((numbers["environments"] > 1).sum()):
        notes.append(f"{mixed} of {len(numbers)} cells mix hardware or library versions")
    if mixed := int((seeds["attempts"] > 1).sum()):
        notes.append(f"{mixed} scores unite attempts whose weights differ")
    if ungraded := int(seeds["ungraded"].sum()):
        notes.append(f"{ungraded} answers could not be graded and count as wrong")
    if outdated := int(seeds["outdated"].sum()):
        again = "`python -m em.evaluation.grade` gives them again"
        notes.append(f"{outdated} measurements have grades of an older version of the grader: {again}")
    return notes


def printed(figure: Figure, numbers: pl.DataFrame, seeds: pl.DataFrame) -> Table:
    """The numbers as the terminal shows them, in per cent."""
    base = load.base_score(seeds)
    heading = "accuracy, %" if base is None else f"accuracy, %; base model {100 * base:.1f}"
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=0)
    lost = [name for name in LOST if numbers[name].sum()]
    for name in (*map(style.label, figure.axes), "seeds", *lost, "mean", "95% interval", "iqm", "worst", "best"):
        table.add_column(name, justify="right")
    for row in numbers.iter_rows(named=True):
        mean, low, high, iqm, worst, best = (
            "-" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("mean", "low", "high", "iqm", "worst", "best")
        )
        interval = "-" if row["low"] is None else f"{low} to {high}"
        values = (style.written(axis, row[axis]) for axis in figure.axes)
        counts = (str(row[name]) for name in ("n", *lost))
        table.add_row(*values, *counts, mean, interval, iqm, worst, best)
    return table
