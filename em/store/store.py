"""The record store: one Parquet file for each finished unit of work, and nothing that a crash can leave half written.

    <root>/records/<trial id>-<hash of what is measured>.parquet    results: done or diverged
    <root>/failed/<unit id>-<attempt id>.parquet                    attempts that raised, kept for inspection
    <root>/damaged/                                                 record files that could not be read, set aside
    <root>/grades/                                                  later grades of recorded answers
    <root>/index/                                                   the records' small columns, a cache (em.store.index)
    <root>/claims/<unit id>                                         who is at work on what (em.store.claims)
    <root>/launches/<sweep>-<id>/                                   what a launch says of itself and is asked to do
    <root>/figures/<sweep>.{pdf,png,csv}, <sweep>-seeds.csv         what analysis draws
    <root>/tune/                                                    Ray Tune's own files, read by nobody

A record appears by `os.link`, which fails where the name exists: of two lanes that did the same work the first wins and
the second discards its own.  (`rename` would overwrite.)  Imports neither torch nor vLLM nor Ray.
"""

import dataclasses
import os
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from em.errors import InputError
from em.store import index
from em.store.record import Record, Regrade, Status
from em.store.schema import DamagedError, read, scan, schema_of, write
from em.trial.unit import Unit


class Store:
    """Reads and writes the records below one folder; the only place that knows their paths."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.records = self.root / "records"
        self.failed = self.root / "failed"
        self.damaged = self.root / "damaged"
        self.grades = self.root / "grades"
        self.index = self.root / "index"
        self.claims = self.root / "claims"
        self.launches = self.root / "launches"
        self.figures = self.root / "figures"
        self.tune = self.root / "tune"  # Ray Tune keeps the state of its lanes here; nothing reads it
        self.unindexed: list[pl.DataFrame] = []  # rows of records that this process has committed

    def record_path(self, unit_id: str) -> Path:
        return self.records / f"{unit_id}.parquet"

    def record_paths(self, trial_ids: Collection[str]) -> list[Path]:
        """The files of all records of these trials."""
        wanted = set(trial_ids)
        units = sorted(unit for unit in self.recorded_units() if unit.partition("-")[0] in wanted)
        return [self.record_path(unit) for unit in units]

    def claim_path(self, unit_id: str) -> Path:
        return self.claims / unit_id

    def figure_path(self, sweep: str, suffix: str) -> Path:
        return self.figures / f"{sweep}.{suffix}"

    def commit(self, record: Record) -> bool:
        """Write the record; False where another attempt at the same unit was first (this one is discarded).

        A failed attempt is always kept: it goes to `failed/`, under its own name.
        """
        if record.status is Status.failed:
            target = self.failed / f"{record.unit_id}-{record.provenance.attempt_id}.parquet"
        else:
            target = self.record_path(record.unit_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        frame = pl.DataFrame([dataclasses.asdict(record)], schema=schema_of(Record))
        try:
            write(frame, temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        if record.status is not Status.failed:
            self.unindexed.append(index.rows_of(frame))
            if len(self.unindexed) >= index.ROWS:
                with suppress(OSError):  # only a cache; the record is there
                    self.flush()
        return True

    def flush(self) -> None:
        """Write down the index's rows of what this process has committed."""
        if self.unindexed:
            index.write(self.index, self.unindexed)
            self.unindexed = []

    def table(self) -> tuple[pl.DataFrame, list[Path]]:
        """One row for each record, with the small columns (index.SCHEMA); and the record files that are damaged.

        Accuracies are those of the latest grading.
        """
        table, damaged = index.table(self.index, self.records, self.recorded_units())
        return index.regraded(table, scan(self.grade_paths(), schema_of(Regrade))), damaged

    def grade_paths(self) -> list[Path]:
        return sorted(self.grades.glob("*.parquet"))

    def commit_grades(self, regrades: Sequence[Regrade]) -> None:
        """Keep later grades beside the records, which stay as they are."""
        self.grades.mkdir(parents=True, exist_ok=True)
        temporary = self.grades / f".{uuid.uuid4().hex}.tmp"
        try:
            write(pl.DataFrame([dataclasses.asdict(item) for item in regrades], schema=schema_of(Regrade)), temporary)
            temporary.rename(self.grades / f"{uuid.uuid4().hex}.parquet")
        finally:
            temporary.unlink(missing_ok=True)

    def set_aside(self, damaged: Iterable[Path]) -> None:
        """Make room for a new record in the place of a file that cannot be read; the file is kept."""
        for path in damaged:
            self.damaged.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another launch was first ...
                try:
                    read(path, schema_of(Record))  # ... and may have made it again
                except DamagedError:
                    path.rename(self.damaged / f"{path.stem}-{uuid.uuid4().hex[:8]}.parquet")

    def recorded_units(self) -> set[str]:
        """The ids of all units that have a record, from one listing of the folder; no file is opened."""
        return {path.stem for path in self.records.glob("*.parquet")}

    def recorded_trials(self) -> set[str]:
        """The ids of all trials that have a record; raises InputError where there are none."""
        trials = {unit.partition("-")[0] for unit in self.recorded_units()}
        if not trials:
            raise InputError(f"store={self.root}: holds no records")
        return trials

    def replayable(self, unit: Unit) -> dict[str, Record]:
        """By trial id, the records whose tokens are trained on again: of `unit.source`, and of the phases before.

        Raises DamagedError where one cannot be read.
        """
        sources = {unit.trial.id: unit.source} if unit.source else {}
        for trial, steps in unit.trial.path:
            records = [self.record(name) for name in self.units_of([trial.id])]
            longest = max(records, key=lambda record: len(record.steps), default=None)
            if longest is not None and len(longest.steps) >= steps:
                sources[trial.id] = longest.unit_id
        return {trial: self.record(source) for trial, source in sources.items()}

    def failed_attempts(self) -> Counter[str]:
        """How many failed attempts each unit has, by unit id."""
        return Counter(path.stem.rpartition("-")[0] for path in self.failed.glob("*.parquet"))

    def record(self, unit_id: str) -> dict[str, Any]:
        """The whole record of a unit, as plain data; raises InputError where it is damaged."""
        return read(self.record_path(unit_id), schema_of(Record)).row(0, named=True)

    def latest_grades(self, unit_ids: Collection[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The latest later grades (em.store.record.Regrade) of these units, by unit, attempt, step and evaluation."""
        regrades = scan(self.grade_paths(), schema_of(Regrade)).filter(pl.col("unit_id").is_in(list(unit_ids)))
        rows = regrades.sort("graded").collect().iter_rows(named=True)
        return {(row["unit_id"], row["attempt_id"], row["step"], row["evaluation_id"]): row for row in rows}

    def graded(self, unit_id: str, latest: dict[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
        """The record of a unit with the latest grades of its answers."""
        record = self.record(unit_id)
        attempt = record["provenance"]["attempt_id"]
        for result in record["evaluations"]:
            later = latest.get((unit_id, attempt, result["step"], result["evaluation_id"]), {})
            result.update({name: value for name, value in later.items() if name in result})
        return record

    def evaluations(self, trial_id: str, first: str = "") -> list[dict[str, Any]]:
        """All that was measured of a trial, answer by answer (EvaluationResult), with the latest grades.

        Several records may hold one measurement: those of the unit `first` come first.
        """
        units = sorted((path.stem for path in self.record_paths([trial_id])), key=lambda unit: unit != first)
        latest = self.latest_grades(units)
        return [result for unit in units for result in self.graded(unit, latest)["evaluations"]]

    def scan(self) -> pl.LazyFrame:
        """All records, lazily, one row each, columns as in em.store.record.Record."""
        return scan(sorted(self.records.glob("*.parquet")), schema_of(Record))

    def scan_failed(self) -> pl.LazyFrame:
        return scan(sorted(self.failed.glob("*.parquet")), schema_of(Record))
