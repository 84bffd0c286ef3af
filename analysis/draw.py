"""The figure of a sweep and the numbers beside it, from what is recorded so far."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from matplotlib.figure import Figure
from numpy.random import default_rng
from rich.console import Console
from rich.table import Table

from analysis import load, style
from analysis.figures import axis as axis_figure
from em.config import Evaluation
from em.errors import InputError
from em.store import Store

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
    """Draw `name`'s score against `axis`, save figure and numbers, print the table.

    `cells` is what the sweep wants, as made by `analysis.load.cells`; seeds that have no score (yet) are counted.
    `evaluations` are the benchmarks of the score, all at one temperature.  The same records give the same bytes.
    Raises InputError where nothing can be drawn.
    """
    check(name, axis, cells, evaluations)
    base_id = cells["base_id"][0]
    records = load.records(store, [*cells["trial_id"], base_id])
    headlines = load.headlines(load.scores(records), evaluations)
    at_step = headlines.filter((pl.col("step") == step) & (pl.col("trial_id") != base_id))
    seeds = load.seeds(cells, at_step, load.diverged(records), load.failed(store)).sort(axis, "seed")
    if not seeds["score"].count():
        raise InputError(f"store={store.root}: holds no score of sweep {name} after step {step}, nothing to draw")
    untrained = headlines.filter((pl.col("step") == 0) & (pl.col("trial_id") == base_id))["score"]
    base = None if untrained.is_empty() else untrained[0]
    table = axis_figure.table(seeds, axis, base, default_rng(0))

    store.figures.mkdir(parents=True, exist_ok=True)
    suffixes = {suffix: store.figure_path(name, suffix) for suffix in ("pdf", "png", "csv")}
    seeds_path = store.figure_path(f"{name}-seeds", "csv")
    with style.paper():
        page = figure(axis, table, seeds, base, step, evaluations)
        for suffix, metadata in UNDATED.items():
            page.savefig(suffixes[suffix], metadata=metadata)
    table.write_csv(suffixes["csv"])
    seeds.drop("base_id").write_csv(seeds_path)

    drawn = Drawn(table, seeds, [*suffixes.values(), seeds_path])
    console.print(shown(drawn, axis, base))
    for note in warnings(drawn):
        console.print(f"warning: {note}", style="yellow", highlight=False)
    for path in drawn.paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return drawn


def check(name: str, axis: str, cells: pl.DataFrame, evaluations: Sequence[Evaluation]) -> None:
    """Raise InputError unless the sweep fits a figure against one axis."""
    if cells.is_empty():
        raise InputError(f"sweep {name}: has no trials")
    if not cells[axis].dtype.is_numeric():
        raise InputError(f"{axis}={cells[axis][0]}: a figure against an axis needs numbers on it")
    if cells["base_id"].n_unique() > 1:
        raise InputError(f"sweep {name}: has several base models, a figure against {axis} shows one")
    if cells.select(axis, "seed").is_duplicated().any():
        raise InputError(f"sweep {name}: varies more than {axis} and the seed; draw one value of the rest at a time")
    temperatures = {evaluation.temperature for evaluation in evaluations}
    if len(temperatures) != 1:
        raise InputError(f"eval.temperatures={sorted(temperatures)}: a score is of one temperature, choose one")


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
    of = f"{scored} seeds" if scored == len(seeds) else f"{scored} of {len(seeds)} seeds"
    page.suptitle(f"{seeds['model'][0]}, one-shot EM, step {step}, {of}", x=0.02, ha="left", fontsize=10)
    page.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return page


def score_label(evaluations: Sequence[Evaluation]) -> str:
    """`mean of six benchmarks, avg@8 at temperature 1`."""
    names = {evaluation.benchmark.name for evaluation in evaluations}
    first, number = evaluations[0], len(names)
    over = first.benchmark.name
    if number > 1:
        over = f"mean of {NUMBERS[number] if number < len(NUMBERS) else number} benchmarks"
    return f"{over}, " + ("greedy" if not first.temperature else f"avg@{first.samples} at temperature {first.temperature:g}")


def warnings(drawn: Drawn) -> list[str]:
    """What a reader of the figure should know about how its numbers came about."""
    notes = []
    if mixed := int((drawn.table["environments"] > 1).sum()):
        notes.append(f"{mixed} of {len(drawn.table)} cells mix seeds from different environments (see the seeds' CSV)")
    if mixed := int((drawn.seeds["attempts"] > 1).sum()):
        notes.append(f"{mixed} scores unite benchmarks of attempts whose weights differ (see the seeds' CSV)")
    return notes


def shown(drawn: Drawn, axis: str, base: float | None) -> Table:
    """The table as the terminal shows it, in per cent."""
    title = "accuracy, %" if base is None else f"accuracy, %; base model {100 * base:.1f}"
    view = Table(title=title, title_justify="left")
    lost = [name for name in axis_figure.LOST if drawn.table[name].sum()]
    for heading in (axis_figure.LABELS.get(axis, axis), "seeds", *lost, "mean", "95% interval", "iqm", "worst", "best"):
        view.add_column(heading, justify="right")
    for row in drawn.table.iter_rows(named=True):
        mean, low, high, iqm, worst, best = (
            "-" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("mean", "low", "high", "iqm", "worst", "best")
        )
        counts = (str(row[name]) for name in ("n", *lost))
        view.add_row(f"{row[axis]:g}", *counts, mean, f"{low} to {high}", iqm, worst, best)
    return view
