"""The record store: one Parquet file for each finished unit of work, and nothing that a crash can leave half written.

    records/<trial id>-<hash of what is measured>.parquet    results: done or diverged
    failed/<unit id>-<attempt id>.parquet                    attempts that raised, kept for inspection
    damaged/                                                 record files that could not be read, set aside
    grades/                                                  later grades of recorded answers
    index/                                                   the records' small columns, a cache (em.store.index)
    claims/<unit id>.<number>                                who is at work on what (em.store.claims)
    launches/<sweep>-<id>/                                   what a launch says of itself and is asked (sweeps.board)
    states/                                                  weights to go on from (em.store.states)
    decisions/                                               what searches asked, and the like (em.store.decisions)
    figures/<sweep>.{pdf,png,csv}, <sweep>-seeds.csv         what analysis draws
    report/<sweep>/                                          the page of a sweep
    wandb/, tune/                                            W&B's and Ray Tune's own, on a file system in any case

A record is created once: of two lanes that did the same work the first wins and the second discards its own.
Imports neither torch nor vLLM nor Ray.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from em.errors import InputError
from em.paths import expanded
from em.store import claims, index, schema
from em.store.access import beside, is_url
from em.store.decisions import Decisions
from em.store.files import Files, PosixFiles, files_at
from em.store.record import EvaluationResult, GradeKey, Record, Regrade, Status
from em.store.schema import DamagedError
from em.store.states import States
from em.trial.unit import Unit

SUFFIX = ".parquet"
UPLOADS = 16  # files at once


class Store:
    """Reads and writes what lies below one root: a folder, or a bucket's `s3://bucket/prefix`.

    `files` holds it.  `root` is for what needs a file system in any case: Ray Tune's state, W&B's runs, what a browser
    opens.  It is the folder or, beside a bucket, one of this machine.  `decides`: whether what is decided from its
    records stands from then on, as it does for a launch; others only look.
    """

    def __init__(self, root: str | Path, files: Files | None = None, decides: bool = False) -> None:
        """Raises InputError where a bucket cannot be used, OSError where it cannot be reached."""
        self.root = beside(str(root)) if is_url(str(root)) else expanded(root)
        self.address = str(root) if is_url(str(root)) else str(self.root)
        self.files, self.decides = files or files_at(root), decides
        self.unindexed: list[pl.DataFrame] = []  # rows of records that this process has committed

    # Records.

    def commit(self, record: Record) -> bool:
        """Write the record; False where another attempt at the same unit was first (this one is discarded).

        A failed attempt is always kept: it goes to `failed/`, under its own name.
        """
        rows = schema.frame([record])
        content = schema.parquet(schema.lean(rows, Record))
        if record.status is Status.failed:
            name = f"failed/{record.unit_id}-{record.provenance.attempt_id}{SUFFIX}"
            return self.files.create_once(name, content)
        is_first = self.files.create_once(_name(record.unit_id), content)
        self.states.drop_unfinished(record.unit_id)
        if not is_first:
            return False
        self.unindexed.append(index.rows_of(rows))
        if len(self.unindexed) >= index.ROWS:
            with suppress(OSError):  # only a cache; the record is there
                self.flush()
        return True

    def flush(self) -> None:
        """Write down the index's rows of what this process has committed."""
        if self.unindexed:
            index.write(self.files, self.unindexed)
            self.unindexed = []

    def record(self, unit_id: str) -> Record:
        """The record of a unit as it was committed; raises InputError where it is damaged."""
        name = _name(unit_id)
        return schema.load(Record, self.files.read(name), self.files.where(name))

    def _rows(self, unit_id: str) -> pl.DataFrame:
        name = _name(unit_id)
        return schema.read(self.files.read(name), schema.schema_of(Record), self.files.where(name))

    def is_recorded(self, unit_id: str) -> bool:
        return self.files.exists(_name(unit_id))

    def recorded_units(self) -> set[str]:
        """The ids of all units that have a record, from one listing; no record is opened."""
        return set(self._listed("records"))

    def recorded_trials(self) -> set[str]:
        """The ids of all trials that have a record; raises InputError where there are none."""
        trials = {unit.partition("-")[0] for unit in self.recorded_units()}
        if not trials:
            raise InputError(f"store={self.address}: holds no records")
        return trials

    def replayable(self, unit: Unit) -> dict[str, Record]:
        """By trial id, the records whose tokens are trained on again: of `unit.source`, and of the phases before.

        Raises DamagedError where one cannot be read.
        """
        sources = {unit.trial.id: unit.source} if unit.source else {}
        for trial, steps in unit.trial.path:
            records = [self.record(name) for name in self.units_of([trial.id])]
            longest = max(records, key=lambda record: len(record.steps), default=None)
            reached = longest is not None and any(digest.step >= steps for digest in longest.digests)
            ended = longest is not None and longest.status is Status.diverged
            if longest is not None and (reached or ended or len(longest.steps) >= steps):
                sources[trial.id] = longest.unit_id
        return {trial: self.record(source) for trial, source in sources.items()}

    def units_of(self, trial_ids: Collection[str]) -> list[str]:
        """The ids of all recorded units of these trials, sorted."""
        wanted = set(trial_ids)
        return [unit for unit in self._listed("records") if unit.partition("-")[0] in wanted]

    def records(self) -> tuple[pl.DataFrame, list[str]]:
        """One row for each record, with the small columns (index.SCHEMA); and the units whose record is damaged.

        Accuracies are those of the latest grading.
        """
        rows, damaged = index.rows(self.files, self.recorded_units(), self._rows)
        return index.regraded(rows, self._regrades()), damaged

    def leaves(self, unit_ids: Iterable[str], columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Some columns of each record, of nested ones only the leaves that are named (schema.leaves)."""
        for name in map(_name, unit_ids):
            yield schema.leaves(self.files.read(name), columns, self.files.where(name))

    def set_aside(self, damaged: Iterable[str]) -> None:
        """Make room for new records of units whose record cannot be read; what could not be read is kept."""
        self.recorded_units()  # as they are now: a listing from before would show a damaged one that was replaced
        for unit in damaged:
            with suppress(FileNotFoundError):  # another launch was first ...
                try:
                    self._rows(unit)  # ... and may have made it again
                except DamagedError:
                    self.files.move(_name(unit), f"damaged/{unit}-{uuid.uuid4().hex[:8]}{SUFFIX}")

    # Failed attempts.

    def failed_attempts(self) -> Counter[str]:
        """How many failed attempts each unit has, by unit id."""
        return Counter(name.rpartition("-")[0] for name in self._listed("failed"))

    def failures(self, prefix: str = "") -> list[Record]:
        """The failed attempts whose name, `<unit id>-<attempt id>`, begins so; in the order of these names."""
        names = [f"failed/{name}{SUFFIX}" for name in self._listed("failed") if name.startswith(prefix)]
        return [schema.load(Record, self.files.read(name), self.files.where(name)) for name in names]

    # Later grades.

    def commit_grades(self, regrades: Sequence[Regrade]) -> None:
        """Keep later grades beside the records, which stay as they are."""
        self.files.create_once(
            f"grades/{uuid.uuid4().hex}{SUFFIX}", schema.parquet(schema.lean(schema.frame(regrades), Regrade))
        )

    def _regrades(self) -> pl.LazyFrame:
        contents = [self.files.read(f"grades/{name}{SUFFIX}") for name in self._listed("grades")]
        return schema.scan(contents, schema.schema_of(Regrade))

    def latest_grades(self, unit_ids: Collection[str]) -> dict[GradeKey, Regrade]:
        """The latest later grades of these units."""
        rows = self._regrades().filter(pl.col("unit_id").is_in(list(unit_ids))).sort("graded").collect()
        regrades = (schema.typed(Regrade, row) for row in rows.iter_rows(named=True))
        return {regrade.key: regrade for regrade in regrades}

    def graded(self, unit_id: str, latest: dict[GradeKey, Regrade]) -> Record:
        """The record of a unit with the latest grades of its answers."""
        record = self.record(unit_id)
        attempt = record.provenance.attempt_id
        for place, result in enumerate(record.evaluations):
            if later := latest.get((unit_id, attempt, result.step, result.evaluation_id)):
                record.evaluations[place] = result.with_grades(later)
        return record

    def evaluations(self, trial_id: str, first: str = "") -> list[EvaluationResult]:
        """All that was measured of a trial, answer by answer, with the latest grades.

        Several records may hold one measurement: those of the unit `first` come first.
        """
        units = sorted(self.units_of([trial_id]), key=lambda unit: unit != first)
        latest = self.latest_grades(units)
        return [result for unit in units for result in self.graded(unit, latest).evaluations]

    # What else lies there.

    @property
    def place(self) -> str:
        """The address as every process finds it, whatever folder it works in."""
        return self.address if is_url(self.address) else str(self.root.resolve())

    @property
    def states(self) -> States:
        """Weights that others start from, and how far unfinished units have come."""
        return States(self.files)

    @property
    def decisions(self) -> Decisions:
        """What searches and other sources have decided from records."""
        return Decisions(self.files, self.decides)

    def claim(self, unit_id: str, lane: str, seconds: float) -> AbstractContextManager[None] | None:
        """Claim a unit of work: what holds the claim while work is done; None where a living worker has it.

        Void after `seconds` without a sign of life (em.store.claims).
        """
        return claims.claim(self.files, f"claims/{unit_id}", lane, seconds)

    def save_figure(self, name: str, content: bytes) -> Path:
        """Write a figure's file, which nobody sees half written: a launch and a watch may both draw.

        Where it can be looked at on this machine.
        """
        self.files.replace(f"figures/{name}", content)
        if not isinstance(self.files, PosixFiles):
            PosixFiles(self.root).replace(f"figures/{name}", content)
        return self.root / "figures" / name

    def save_folder(self, name: str) -> None:
        """Take in a folder that was written below `root`, in place of what lay there."""
        if isinstance(self.files, PosixFiles):
            return  # it has been written there
        made = {str(path.relative_to(self.root)): path for path in (self.root / name).rglob("*") if path.is_file()}
        with ThreadPoolExecutor(UPLOADS) as pool:
            list(pool.map(lambda piece: self.files.replace(piece, made[piece].read_bytes()), made))
        for folder in {str(PurePosixPath(piece).parent) for piece in made}:
            for stale in self.files.list(folder):
                if not (self.root / folder / stale).exists():
                    self.files.remove(f"{folder}/{stale}")

    def where(self, name: str) -> str:
        """Where something lies, for messages."""
        return self.files.where(name)

    def _listed(self, folder: str) -> list[str]:
        """The names of a folder's Parquet files, without the suffix."""
        return [name.removesuffix(SUFFIX) for name in self.files.list(folder) if name.endswith(SUFFIX)]


def _name(unit_id: str) -> str:
    return f"records/{unit_id}{SUFFIX}"
