"""The record store: one Parquet file for each finished unit of work, and nothing that a crash can leave half written.

    <root>/records/<trial id>-<hash of what is measured>.parquet    results: done or diverged
    <root>/failed/<unit id>-<attempt id>.parquet                    attempts that raised, kept for inspection
    <root>/figures/<sweep>.{pdf,png,csv}, <sweep>-seeds.csv         what analysis draws
    <root>/tune/                                                    Ray Tune's own files, read by nobody

A record appears by `os.link`, which fails where the name exists: of two lanes that did the same work the first wins and
the second discards its own.  (`rename` would overwrite.)  Imports neither torch nor vLLM nor Ray.
"""

import dataclasses
import os
import types
import typing
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from em.config import Unit
from em.errors import InputError
from em.record import Record, Status

MEASURED = [
    *("status", "steps.list.element.step"),
    *("evaluations.list.element.step", "evaluations.list.element.evaluation_id"),
]
SCALARS = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, Status: pl.String}


@cache
def schema_of(record_type: type) -> dict[str, pl.DataType]:
    """The Polars schema of a dataclass of em.record: lists and nested dataclasses become lists and structs."""
    hints = typing.get_type_hints(record_type)
    return {item.name: polars_type(hints[item.name]) for item in dataclasses.fields(record_type)}


def polars_type(hint: Any) -> pl.DataType:
    if hint in SCALARS:
        return SCALARS[hint]()
    if typing.get_origin(hint) is types.UnionType:  # T | None
        return polars_type(next(part for part in typing.get_args(hint) if part is not types.NoneType))
    if typing.get_origin(hint) is list:
        return pl.List(polars_type(typing.get_args(hint)[0]))
    return pl.Struct(schema_of(hint))


class Store:
    """Reads and writes the records below one folder; the only place that knows their paths."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.records = self.root / "records"
        self.failed = self.root / "failed"
        self.figures = self.root / "figures"
        self.tune = self.root / "tune"  # Ray Tune keeps the state of its lanes here; nothing reads it

    def record_path(self, unit: Unit) -> Path:
        return self.records / f"{unit.id}.parquet"

    def record_paths(self, trial_ids: Collection[str]) -> list[Path]:
        """The files of all records of these trials."""
        wanted = set(trial_ids)
        units = sorted(unit for unit in self.recorded_units() if unit.partition("-")[0] in wanted)
        return [self.records / f"{unit}.parquet" for unit in units]

    def figure_path(self, sweep: str, suffix: str) -> Path:
        return self.figures / f"{sweep}.{suffix}"

    def commit(self, record: Record) -> bool:
        """Write the record; False where another attempt at the same unit was first (this one is discarded).

        A failed attempt is always kept: it goes to `failed/`, under its own name.
        """
        if record.status is Status.failed:
            target = self.failed / f"{record.unit_id}-{record.provenance.attempt_id}.parquet"
        else:
            target = self.records / f"{record.unit_id}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            frame = pl.DataFrame([dataclasses.asdict(record)], schema=schema_of(Record))
            frame.write_parquet(temporary, compression="zstd")
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def recorded_units(self) -> set[str]:
        """The ids of all units that have a record, from one listing of the folder; no file is opened."""
        return {path.stem for path in self.records.glob("*.parquet")}

    def failed_attempts(self) -> Counter[str]:
        """How many failed attempts each unit has, by unit id."""
        return Counter(path.stem.rpartition("-")[0] for path in self.failed.glob("*.parquet"))

    def missing(self, unit: Unit, recorded: set[str], by_trial: dict[str, list[Path]]) -> Unit | None:
        """The part of a unit that no record holds yet, or None; a diverged trial has no later measurements to make."""
        if unit.id in recorded:
            return None
        paths = by_trial.get(unit.trial.id, [])
        if not paths:
            return unit
        held: set[tuple[int, str]] = set()
        diverged_after = float("inf")
        for row in read_leaves(paths, MEASURED).to_pylist():
            held |= {(result["step"], result["evaluation_id"]) for result in row["evaluations"]}
            if row["status"] == Status.diverged:
                diverged_after = min(diverged_after, len(row["steps"]) - 1)
        left = tuple(m for m in unit.measurements if m.key not in held and m.step <= diverged_after)
        return Unit(unit.trial, left) if left else None

    def missing_units(self, wanted: Iterable[Unit]) -> list[Unit]:
        """Wanted measurements minus recorded ones, as units of work."""
        recorded = self.recorded_units()
        by_trial: dict[str, list[Path]] = {}
        for unit_id in recorded:
            path = self.records / f"{unit_id}.parquet"
            by_trial.setdefault(unit_id.partition("-")[0], []).append(path)
        found = (self.missing(unit, recorded, by_trial) for unit in wanted)
        return [unit for unit in found if unit is not None]

    def scan(self) -> pl.LazyFrame:
        """All records, lazily, one row each, columns as in em.record.Record."""
        return scan(sorted(self.records.glob("*.parquet")))

    def scan_failed(self) -> pl.LazyFrame:
        return scan(sorted(self.failed.glob("*.parquet")))


def scan(paths: list[Path]) -> pl.LazyFrame:
    """One row for each file; raises InputError naming a damaged one, which Polars' own error does not."""
    if not paths:
        return pl.LazyFrame(schema=schema_of(Record))
    for path in paths:
        check_whole(path)
    return pl.scan_parquet(paths)


def read_leaves(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """One row for each file, and of nested columns only the leaves that are named (`evaluations.list.element.step`).

    Polars reads a nested column whole, and the texts of answers are nearly all of a record.
    """
    for path in paths:
        check_whole(path)
    return pa.concat_tables([pq.ParquetFile(path).read(columns=list(columns)) for path in paths])


def check_whole(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
        if file.read() != b"PAR1":
            raise InputError(f"{path}: not a whole Parquet file; delete it, and the next launch makes it again")
