"""The figure of a sweep and the numbers beside it, from what is recorded so far."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl
from matplotlib.figure import Figure
from numpy.random import default_rng
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import load, style
from analysis.figures import axis as axis_figure
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
UNDATED = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}


class Drawn(NamedTuple):
    table: pl.DataFrame  # one row per cell
    seeds: pl.DataFrame  # one row per wanted trial
    paths: list[Path]


def draw_sweep(
    store: Store,
    name: str,
    axis: str,
    cells: pl.DataFrame,
    step: int,
    evaluations: Sequence[Evaluation],
    console: Console,
) -> Drawn:
    """Draw a sweep's score against `axis`, save figure and numbers, print the table.

    `cells` is what the sweep wants, as made by `analysis.load.cells`; seeds that have no score (yet) are counted.
    `evaluations` are the benchmarks of the score, all at one temperature.  The same records give the same bytes.
    Raises InputError where nothing can be drawn.
    """
    load.check(name, axis, cells, evaluations)
    seeds, base = gather(store, axis, cells, step, evaluations)
    if not seeds["score"].count():
        raise InputError(f"store={store.root}: holds no score of sweep {name} after step {step}, nothing to draw")
    table = axis_figure.table(seeds, axis, base, default_rng(0))
    with style.paper():
        paths = save(store, name, figure(axis, table, seeds, base, step, evaluations), table, seeds)
    console.print(shown(axis, table, base))
    for note in warnings(table, seeds):
        console.print(f"warning: {note} (see {paths[-1].name})", style="yellow", highlight=False)
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return Drawn(table, seeds, paths)


def gather(
    store: Store, axis: str, cells: pl.DataFrame, step: int, evaluations: Sequence[Evaluation]
) -> tuple[pl.DataFrame, float | None]:
    """Every wanted seed with its score after `step`, and the base model's score (None: not measured)."""
    base_id = cells["base_id"][0]
    records = load.records(store, [*cells["trial_id"], base_id])
    headlines = load.headlines(load.scores(records), evaluations)
    trained = headlines.filter((pl.col("step") == step) & (pl.col("trial_id") != base_id))
    untrained = headlines.filter((pl.col("step") == 0) & (pl.col("trial_id") == base_id))
    seeds = load.seeds(cells, trained, load.diverged(records), load.failed(store)).sort(axis, "seed")
    return seeds, None if untrained.is_empty() else untrained["score"][0]


def save(store: Store, name: str, page: Figure, table: pl.DataFrame, seeds: pl.DataFrame) -> list[Path]:
    """Write figure, table and seeds; the paths, the seeds' last."""
    contents: dict[str, bytes] = {}
    for suffix, metadata in UNDATED.items():
        picture = BytesIO()
        page.savefig(picture, format=suffix, metadata=metadata)
        contents[f"{name}.{suffix}"] = picture.getvalue()
    contents[f"{name}.csv"] = table.write_csv().encode()
    contents[f"{name}-seeds.csv"] = seeds.drop("base_id").write_csv().encode()
    return [store.save_figure(file, content) for file, content in contents.items()]


def figure(
    axis: str,
    table: pl.DataFrame,
    seeds: pl.DataFrame,
    base: float | None,
    step: int,
    evaluations: Sequence[Evaluation],
) -> Figure:
    page = Figure(figsize=(style.WIDTH_INCHES, 3.7))
    ax = page.subplots()
    axis_figure.draw(ax, axis, table, seeds, base)
    ax.set_ylabel(f"accuracy, %\n({score_label(evaluations)})")
    scored = seeds["score"].count()
    of = f"{scored} trials" if scored == len(seeds) else f"{scored} of {len(seeds)} trials"
    title = f"{seeds['model'][0]} after step {step} of entropy minimisation, {of}"
    page.suptitle("\n".join([title, *warnings(table, seeds)]), x=0.02, ha="left")
    drawn = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    order = [label for label in axis_figure.LEGEND if label in drawn]
    page.legend([drawn[label] for label in order], order, loc="outside lower center", ncols=len(order))
    return page


def score_label(evaluations: Sequence[Evaluation]) -> str:
    """`mean of six benchmarks, avg@8 at temperature 1`, in two lines."""
    names = {evaluation.benchmark.name for evaluation in evaluations}
    first, number = evaluations[0], len(names)
    over = first.benchmark.name
    if number > 1:
        over = f"mean of {NUMBERS[number] if number < len(NUMBERS) else number} benchmarks"
    sampled = f"avg@{first.samples} at temperature {first.temperature:g}" if first.temperature else "greedy"
    return f"{over},\n{sampled}"


def warnings(table: pl.DataFrame, seeds: pl.DataFrame) -> list[str]:
    """What a reader of the figure should know about how its numbers came about."""
    notes = []
    if mixed := int((table["environments"] > 1).sum()):
        notes.append(f"{mixed} of {len(table)} cells mix hardware or library versions")
    if mixed := int((seeds["attempts"] > 1).sum()):
        notes.append(f"{mixed} scores unite attempts whose weights differ")
    if ungraded := int(seeds["ungraded"].sum()):
        notes.append(f"{ungraded} answers could not be graded and count as wrong")
    return notes


def shown(axis: str, table: pl.DataFrame, base: float | None) -> Table:
    """The table as the terminal shows it, in per cent."""
    title = "accuracy, %" if base is None else f"accuracy, %; base model {100 * base:.1f}"
    view = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    lost = [name for name in axis_figure.LOST if table[name].sum()]
    for heading in (axis_figure.LABELS.get(axis, axis), "seeds", *lost, "mean", "95% interval", "iqm", "worst", "best"):
        view.add_column(heading, justify="right")
    for row in table.iter_rows(named=True):
        mean, low, high, iqm, worst, best = (
            "-" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("mean", "low", "high", "iqm", "worst", "best")
        )
        interval = "-" if row["low"] is None else f"{low} to {high}"
        counts = (str(row[name]) for name in ("n", *lost))
        view.add_row(axis_figure.number(axis, row[axis]), *counts, mean, interval, iqm, worst, best)
    return view
