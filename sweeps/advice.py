"""The command that records the seeds which pairs of cells lack (sweeps.power)."""

import shlex
from collections.abc import Sequence
from itertools import count, islice

import polars as pl

from analysis import power
from em.cli.words import quoted, read, text
from em.store import Store
from em.trial.evaluation import Eval
from sweeps.config import Launch, compose_launch
from sweeps.grids import Cell

DECIDED = ("samples", "problems", "base_samples")  # of Eval, by eval=budget; and numbers and strata


def advice(config: Launch, rows: pl.DataFrame) -> list[str]:
    """The command that records what the most demanding pair lacks, and what it does not record, a line a fact; rows as
    of `sweeps.power.COLUMNS`."""
    lacking = rows.filter(pl.col("needed") > pl.col("seeds"))
    if lacking.is_empty():
        if rows["needed"].is_not_null().all():
            return ["enough seeds are there"]
        if len(rows.filter(pl.col("needed").is_null(), pl.col("seeds") > 1)):
            return [f"more than {power.MOST:,} seeds would be needed"]
        return ["two seeds or more of both cells tell how many it takes"]
    recorded, lines = lacking.filter(~pl.col("left_out")), []
    if len(recorded):
        pairs = recorded.select("needed", "seeds", "lost").iter_rows()
        lines += command(config, max(len(config.seeds), *(planned(*pair) for pair in pairs)))
    if left_out := len(lacking) - len(recorded):
        lines.append(
            f"of pairs that lack seeds {left_out} have a point to which the search gives no more: it was left early or "
            "recorded before; search=none with the point's values as words records them"
        )
    return lines


def planned(needed: int, scored: int, lost: int) -> int:
    """So many seeds that, if as large a share of them is lost as before, those that are left are as many as needed."""
    return -(-needed * (scored + lost) // scored)


def command(config: Launch, seeds: int) -> list[str]:
    """What records so many seeds of the cells, measured as those that are there, and keeps these."""
    words = [word for word in config.words if name_of(word).partition(".")[0] not in ("compare", "stopping")]
    has_axis = any(axis.field == "seed" for axis in config.sweep.axes)
    more = [seed_axis(config.seeds, seeds) if has_axis else f"sweep.seeds={seeds}"]
    lines = []
    if compose_launch(config.words).eval.decided:
        more = [*measured_so(config.eval), *more]
        lines.append("(eval=budget would decide anew for another number of seeds: the words say what it decided)")
    own = {name_of(word) for word in more}
    words = [word for word in words if name_of(word) not in own]
    return [f"this records them: {shlex.join(['.venv/bin/python', '-m', 'sweeps', *words, *more])}", *lines]


def name_of(word: str) -> str:
    return read(word).key_or_group


def seed_axis(recorded: Sequence[int], number: int) -> str:
    """The axis with so many seeds, the recorded ones among them."""
    more = islice((seed for seed in count(min(recorded)) if seed not in recorded), max(0, number - len(recorded)))
    seeds = [*recorded, *more]
    first, last = min(seeds), max(seeds)
    return f"seed=range({first},{last + 1})" if last - first + 1 == len(seeds) else f"seed={','.join(map(str, seeds))}"


def measured_so(asked: Eval) -> list[str]:
    """The words of an evaluation that was decided."""
    words = [f"eval.{name}={getattr(asked, name)}" for name in DECIDED]
    strata = [f"+eval.strata={text(quoted(asked.strata))}"] if asked.strata else []
    return ["eval.decided=false", f"eval.numbers={asked.numbers.value}", *words, *strata]


def left_out(config: Launch, store: Store) -> set[str]:
    """The cells, by the id of seed 0, to which a search gives no more seeds, however many `sweep.seeds` are."""
    if not config.search.is_on:
        return set()
    from sweeps.search.source import Search  # imports Optuna

    search, records = Search(compose_launch(config.words), store), store.records()[0]
    cells = search.settled(records).settled or ()
    points = [point for point in search.look(records) if not (point.is_pruned or point.is_warm)]
    followed = {key_of(cell) for point in points if (cell := search.composed(point.values))}
    return {key_of(cell) for cell in cells} - followed


def key_of(cell: Cell) -> str:
    return cell.trials[0].with_seed(0).id
