"""Stores as sweeps leave them, of which the truth is known: for tests and benchmarks of what reads records.

    python -m tests.synthetic FOLDER [TRIALS]     the grid of 13,440 trials, unless said otherwise; 840 for each seed

The same functions give the same bytes; the index's files alone have other names.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

import polars as pl

from em.store import Store, index, schema
from em.store.files import PosixFiles
from em.store.record import SCHEMA_VERSION, Provenance, Record, Status, to_json
from em.store.schema import schema_of
from em.store.store import SUFFIX
from em.trial.method import Need
from em.trial.seeds import stream
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from tests.drawn import Asked, Draw, filled, listed, prompts_of
from tests.truth import Options, Peak, Score

TRIALS, CELLS = 13_440, 840  # of conf/sweep/grid.yaml at the tiny model's size
TOGETHER = 64  # records that are made at once
INDEXED = 2_304  # records of a file of the index: ten times the grid makes as few files as readers leave apart
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
TRACEBACK = "Traceback (most recent call last):\n  ...\nRuntimeError: synthetic\n"
USUAL = Options()


class Unsynced(PosixFiles):
    """For large stores: does not wait until a new piece is on disk."""

    def create_once(self, name: str, content: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class Work:
    """A unit that has a record."""

    unit: Unit
    place: int  # among those of the sweep
    asked: Asked

    @property
    def kind(self) -> tuple[bool, ...]:
        """What decides which of the fields that were added later say something."""
        phase, looked = self.unit.trial.phase, self.asked.are_looked_at
        rewarded = phase is not None and Need.rewards in phase.objective.needs
        return phase is None, len(prompts_of(phase)) > 1, rewarded, looked


def fill(store: Store, config: Launch, score: Score, options: Options = USUAL) -> None:
    """A record of every unit of work that a sweep wants, as workers leave it, and its rows of the index.

    Trials that fail have failed attempts instead, those that are missing have nothing.  Base models have their record.
    """
    works, asked, rows = list[Work](), dict[str, Asked](), list[pl.DataFrame]()
    for place, unit in enumerate(expand.units(config)):
        is_trained = not unit.trial.is_base
        if is_trained and options.is_missing(unit.trial):
            continue
        fails = options.fails(unit.trial) if is_trained else 0
        for attempt in range(1, fails + 1):
            made = provenance(unit, place, attempt, options)
            store.commit(Record.of(unit, made, attempt, status=Status.failed, error=TRACEBACK, log=TRACEBACK))
        if not fails:
            measured = unit.id.partition("-")[2]
            if measured not in asked:
                asked[measured] = Asked(unit.measurements)
            works.append(Work(unit, place, asked[measured]))
    for _, alike in groupby(sorted(works, key=lambda work: work.kind), lambda work: work.kind):
        while some := list(islice(alike, TOGETHER)):
            records = frame(some, score, options)
            lean = schema.lean(records, Record)
            for unit_id, record in zip(records["unit_id"], lean.iter_slices(1), strict=True):
                store.files.create_once(f"records/{unit_id}{SUFFIX}", schema.parquet(record))
            rows.append(index.rows_of(records))
            if sum(map(len, rows)) >= INDEXED:
                index.write(store.files, rows)
                rows.clear()
    if rows:
        index.write(store.files, rows)


def frame(works: Sequence[Work], score: Score, options: Options) -> pl.DataFrame:
    """The records, a row for each."""
    draws = [Draw(work.unit, work.asked, score, options) for work in works]
    columns: dict[str, Any] = {
        "trial_id": [work.unit.trial.id for work in works],
        "unit_id": [work.unit.id for work in works],
        "status": [Status.diverged.value if draw.has_diverged else Status.done.value for draw in draws],
        "schema_version": [SCHEMA_VERSION] * len(works),
        "attempt": [1] * len(works),
        "trial": [to_json(work.unit.trial) for work in works],
        "evaluations_config": [work.asked.written for work in works],
        "error": [draw.error for draw in draws],
        "prompts": [draw.prompts for draw in draws],
        "provenance": [asdict(provenance(work.unit, work.place, 1, options)) for work in works],
    }
    lists = [draw.lists() for draw in draws]
    for name in lists[0]:
        entries = pl.concat([each[name] for each in lists], how="vertical_relaxed")
        fields = dict(cast(pl.Struct, cast(pl.List, schema_of(Record)[name]).inner))
        columns[name] = listed(filled(entries, fields).to_struct(), [len(each[name]) for each in lists])
    return filled(columns, schema_of(Record))


def provenance(unit: Unit, place: int, attempt: int, options: Options) -> Provenance:
    environment = {"python": "3.12.0", "machine": "x86_64", "device": options.device(unit.trial), "torch": "2.13.0"}
    return Provenance(
        attempt_id=f"{stream('synthetic attempt', options.seed, unit.id, attempt):016x}"[:12],
        node=f"node-{place % 4}",
        pid=1,
        lane=f"lane-{place % 4}",
        started=(STARTED + timedelta(seconds=place)).isoformat(),
        seconds=1.0,
        turnover_seconds=0.1,
        code_version=options.code_version(unit.trial),
        environment=json.dumps(environment, sort_keys=True),
    )


def grid(folder: Path, trials: int = TRIALS) -> list[str]:
    """The words of the grid at the tiny model's size, measured after 50 steps on 4 benchmarks of 5 problems."""
    temperature, lr, rank = "rollout.temperature", "optimizer.lr", "prompts.rank"
    figures = [
        f"{{kind: heatmap, axes: [{temperature}, {lr}], pool: [{rank}]}}",
        f"{{kind: axis, name: grid-temperature, axes: [{temperature}], pool: [{lr}, {rank}]}}",
        f"{{kind: axis, name: grid-lr, axes: [{lr}], pool: [{temperature}, {rank}]}}",
        f"{{kind: steps, pool: [{temperature}, {lr}, {rank}]}}",
    ]
    return ["sweep=grid", f"sweep.figures=[{', '.join(figures)}]", *_measured(folder, trials)]


def tabled(folder: Path, trials: int = TRIALS) -> list[str]:
    """The words of a sweep of some of these trials, one in 105, that has a table."""
    return ["sweep=temperature", "sweep.table.paper=0", "eval.samples=1", "eval.texts=none", *_measured(folder, trials)]


def _measured(folder: Path, trials: int) -> list[str]:
    return [
        f"sweep.seeds={max(1, trials // CELLS)}",
        f"eval.steps={list(range(1, 51))}".replace(" ", ""),
        *("~benchmarks.bit", "~benchmarks.mixed"),
        *(f"benchmarks.{name}.limit=5" for name in ("sum", "difference", "product", "max")),
        f"store={folder}",
    ]


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0])
    words = grid(folder, *map(int, arguments[1:]))
    fill(Store(folder, Unsynced(folder)), compose_launch(words), Peak())
    print(shlex.join(words))


if __name__ == "__main__":
    main(sys.argv[1:])
