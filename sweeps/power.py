"""How many more seeds tell the cells of a sweep apart, and where the variance of their means comes from.

    python -m sweeps.power sweep=temperature                            # neighbours on each axis
    python -m sweeps.power sweep=temperature compare.pairs=best         # every cell against the best
    python -m sweeps.power sweep=temperature compare.difference=0.01 compare.power=0.9
    python -m sweeps.power sweep=temperature 'compare.cells=[{rollout.temperature: 0.5}, {rollout.temperature: 1.0}]'

With the words of the launch, from what is recorded so far.  Needs neither Ray nor torch nor vLLM.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
from numpy.random import default_rng
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from analysis import power, stats, style
from analysis.answers import answers, asked_alike, lists
from analysis.power import Split
from analysis.seeds import Outcome, observe
from analysis.tables import Tables, load
from em.cli.command import run_command, terminal
from em.errors import InputError, require
from em.store import Store
from sweeps import expand
from sweeps.advice import advice, key_of, left_out
from sweeps.config import LAUNCH, Launch
from sweeps.decided import groups, share_of_one_answer
from sweeps.grids import Cell, agrees
from sweeps.seeding import Compare, Pairs
from sweeps.source import opened

ROWS = 40  # pairs that are printed; the file has all
Pair = tuple[Cell, Cell]
PARTS = {  # of analysis.power.Split, as the table calls them
    "seeds": "training seed",
    "interaction": "seed x problem",
    "own": "sampling, each seed's own",
    "problems": "problems",
    "shared": "sampling, shared by all seeds",
}
MORE = {"2x seeds": {"seeds": 2}, "2x answers": {"samples": 2}, "2x problems": {"problems": 2}}
COLUMNS = {
    "first": pl.String,
    "second": pl.String,
    "seeds": pl.Int64,  # with a score in both
    "lost": pl.Int64,  # that diverged or failed in either
    "difference": pl.Float64,  # of accuracy, second minus first
    "low": pl.Float64,
    "high": pl.Float64,
    "deviation": pl.Float64,  # of the differences between equal seeds
    "power": pl.Float64,  # of these seeds
    "needed": pl.Int64,  # seeds with a score in all; null: too many, or too few are there to tell
    "left_out": pl.Boolean,  # a search gives one of the two no more seeds
}


def show(config: Launch, store: Store, console: Console) -> list[Path]:
    """Print pairs and split, and save them; the files.  Raises InputError where there is nothing to compare."""
    tables = load(store, expand.trial_ids([config]))
    headline = config.headline()
    seeds = observe(expand.frame(config), tables, headline.evaluations, [headline.step]).cast({"trial_id": pl.String})
    score = dict(seeds.select("trial_id", "score").drop_nulls().iter_rows())
    lost = set(seeds.filter(pl.col("outcome").is_in([Outcome.diverged.value, Outcome.failed.value]))["trial_id"])
    pairs = list(paired(config.compare, expand.cells(config), score, config.sweep.varied))
    if not pairs:
        remedy = "take compare.pairs=best, its points have no neighbours" if config.search.is_on else "give an axis"
        raise InputError(f"sweep {config.sweep.name}: has no two cells of one model to compare; {remedy}")
    resolution = share_of_one_answer(tables, headline.evaluations)
    closed = left_out(config, store)
    made = [
        (*compared(config.compare, *pair, score, lost, resolution), any(key_of(cell) in closed for cell in pair))
        for pair in pairs
    ]
    rows = pl.DataFrame(made, COLUMNS, orient="row")
    console.print(printed(config.compare, rows))
    if len(rows) > ROWS:
        console.print(f"and {len(rows) - ROWS} more pairs", highlight=False)
    console.print("\n".join(advice(config, rows)), highlight=False, soft_wrap=True)
    splits, uncrossed = split_of(config, tables, seeds)
    if uncrossed:
        said = f"the split leaves out cells whose seeds are each asked problems of their own: {uncrossed}"
        console.print(said, highlight=False)
    if splits:
        console.print(split_table(splits))
    elif not uncrossed:
        console.print(
            "the variance is split where two seeds of a cell have two answers to each problem: eval.samples=2"
        )
    contents = {"power": rows, "variance-split": pl.DataFrame([one._asdict() for one in splits], list(Split._fields))}
    paths = [
        store.save_figure(f"{config.sweep.name}-{name}.csv", frame.write_csv().encode())
        for name, frame in contents.items()
    ]
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return paths


def paired(compare: Compare, cells: Sequence[Cell], score: dict[str, float], axes: Sequence[str]) -> Iterator[Pair]:
    """The cells to compare, of one base model each."""
    if compare.cells:
        first, second = (named(entry, cells) for entry in compare.cells)
        yield first, second
        return
    for group in groups(cells):
        own = [cells[place] for place in group]
        yield from against_best(own, score) if compare.pairs is Pairs.best else neighbours(own, axes)


def named(entry: dict[str, Any], cells: Sequence[Cell]) -> Cell:
    """The one cell that has these values."""
    found = [cell for cell in cells if not cell.trials[0].is_base and agrees(cell.values, entry)]
    said = f"is {len(found)} cells of the sweep; give the values of one"
    require(len(found) == 1, "compare.cells", entry, said)
    return found[0]


def neighbours(cells: Sequence[Cell], axes: Sequence[str]) -> Iterator[Pair]:
    """Each two whose values lie next to each other on one axis, and are the same on all others."""
    for axis in axes:
        lines = dict[str, list[Cell]]()
        for cell in cells:
            others = {name: value for name, value in cell.values.items() if name != axis}
            lines.setdefault(repr(others), []).append(cell)
        for line in lines.values():
            yield from pairwise(line)


def against_best(cells: Sequence[Cell], score: dict[str, float]) -> Iterator[Pair]:
    """The cell with the highest mean with each other one; those without a score are left out."""
    scores = [[score[trial.id] for trial in cell.trials if trial.id in score] for cell in cells]
    means = {place: fmean(of) for place, of in enumerate(scores) if of}
    best = max(means, key=lambda place: means[place], default=0)
    yield from ((cells[place], cells[best]) for place in means if place != best)


def compared(
    compare: Compare, first: Cell, second: Cell, score: dict[str, float], lost: set[str], resolution: float
) -> tuple[Any, ...]:
    """A row of COLUMNS, but for the last."""
    differences_S = by_seed(first, second, score)
    n = len(differences_S)
    names = (", ".join(style.written(axis, value) for axis, value in cell.values.items()) for cell in (first, second))
    without = {trial.seed for cell in (first, second) for trial in cell.trials if trial.id in lost}
    own = *names, n, len(without)
    if n < 2:
        return *own, float(differences_S.mean()) if n else None, *[None] * 5
    low_C, high_C = stats.interval(default_rng(0), differences_S[None, None], 1 - compare.error)
    reached = power.expected_power(n, compare.difference, differences_S, compare.error, resolution)
    needed = power.seeds_needed(compare.difference, differences_S, compare.power, compare.error, resolution)
    seen = float(differences_S.mean()), float(low_C[0]), float(high_C[0]), float(differences_S.std(ddof=1))
    return *own, *seen, reached, needed


def by_seed(first: Cell, second: Cell, score: dict[str, float]) -> NDArray:
    """Second minus first of each seed that both have a score of."""
    own = {trial.seed: score[trial.id] for trial in first.trials if trial.id in score}
    both = [(trial.seed, score[trial.id]) for trial in second.trials if trial.id in score and trial.seed in own]
    return np.array([value - own[seed] for seed, value in both], float)


def printed(compare: Compare, rows: pl.DataFrame) -> Group:
    wanted = f"a difference of {100 * compare.difference:g} points with power {compare.power:g}"
    heading = f"seeds that find {wanted}, error {compare.error:g} a pair"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    interval = f"{100 * (1 - compare.error):g}% interval"
    for name in ("first", "second", "seeds", "difference", interval, "std", "power", "needed", "more"):
        table.add_column(name, justify="right", overflow="fold")
    for row in rows.head(ROWS).iter_rows(named=True):
        points = {name: 100 * row[name] for name in ("difference", "low", "high", "deviation") if row[name] is not None}
        seen = f"{points['difference']:+.1f}" if points else "-"
        if row["deviation"] is None:
            table.add_row(row["first"], row["second"], str(row["seeds"]), seen, *"-----")
            continue
        needed = row["needed"]
        lacks = "left out" if row["left_out"] else str(max(0, (needed or 0) - row["seeds"]))
        more = [f"> {power.MOST:,}", "-"] if needed is None else [str(needed), lacks]
        ends = f"{points['low']:+.1f} to {points['high']:+.1f}"
        spread = [f"{points['deviation']:.2f}", f"{row['power']:.2f}"]
        table.add_row(row["first"], row["second"], str(row["seeds"]), seen, ends, *spread, *more)
    return Group(Text(heading), table, Text())


def split_of(config: Launch, tables: Tables, seeds: pl.DataFrame) -> tuple[list[Split], int]:
    """Of each trained cell whose seeds have two answers or more to each problem; and how many such cells have none,
    since seeds and problems are not crossed where each seed is asked others."""
    headline, made, uncrossed = config.headline(), list[Split](), 0
    evaluations = pl.col("evaluation_id").is_in([item.id for item in headline.evaluations])
    at = seeds.drop_nulls("score").select(pl.col("trial_id").cast(tables.scores.schema["trial_id"]), "step")
    measured = tables.scores.filter(evaluations, pl.col("samples") > 1, pl.col("problems") > 1)
    measured = measured.join(at, on=["trial_id", "step"], how="semi")
    found = answers(tables, measured, ["correct", "asked"])
    for cell in expand.cells(config):
        of_cell = measured.filter(pl.col("trial_id").is_in([trial.id for trial in cell.trials]))
        benchmarks = [of for _, of in of_cell.group_by("evaluation_id", maintain_order=True)]
        correct = [arrays(of, found) for of in benchmarks]
        if len(correct) < len(headline.evaluations) or any(min(one.shape) < 2 for one in correct):
            continue
        if all(asked_alike(of, found) for of in benchmarks):
            made.append(power.split(correct))
        else:
            uncrossed += 1
    return made, uncrossed


def arrays(measured: pl.DataFrame, found: Any) -> NDArray:
    """correct_SPK of one evaluation; those trials alone that have all their answers."""
    problems, samples = measured.select("problems", "samples").row(0)
    whole = [[verdict is True for verdict in one] for one in lists(measured, found) if len(one) == problems * samples]
    return np.array(whole, float).reshape(-1, problems, samples)


def split_table(splits: Sequence[Split]) -> Group:
    """Of a cell's mean, pooled over cells: how far each part alone would move it, in points."""
    mean = Split(*np.mean(splits, axis=0))
    columns = {"now": mean} | {name: mean.times(**factors) for name, factors in MORE.items()}
    heading = f"standard deviation of a cell's mean by its parts, in points, over {len(splits)} cells"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for part, called in PARTS.items():
        table.add_row(called, *(points(getattr(one, part)) for one in columns.values()))
    table.add_section()
    table.add_row("all that seeds do not share", *(points(one.between) for one in columns.values()))
    table.add_row("all", *(points(sum(one)) for one in columns.values()))
    return Group(Text(heading), table, Text())


def points(variance: float) -> str:
    """As a standard deviation; 0 where the estimate lies below."""
    return f"{100 * max(0.0, variance) ** 0.5:.2f}"


def main(arguments: list[str]) -> None:
    config, store = opened(arguments)
    for part in config.sweeps:
        show(part, store, terminal())


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
