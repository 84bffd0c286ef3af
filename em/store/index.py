"""The index: the small columns of all records in a few files, so that thousands of records are read as one table.

    <root>/index/<random>.parquet     rows of up to some thousand records

Only a cache: whoever commits records adds their rows, whoever reads adds the rows of records that have none yet, and a
deleted index is made again from the records.  Never is a record in records/ changed or removed.
"""

import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from em.store import schema
from em.store.record import EvaluationResult, Record
from em.store.schema import DamagedError, read, schema_of

LARGE = ("trial", "evaluations_config", "measurements", "error", "log", "prompts", "rollouts", "seconds")
LARGE_OF_EVALUATIONS = ("correct", "paper_rules", "grading_errors", "extracted", "lengths", "truncated", "texts")
PARTS = 64  # files, above which a reader unites them
ROWS = 64  # records without a row, from which on a reader writes their rows down

EVALUATION = {name: kind for name, kind in schema_of(EvaluationResult).items() if name not in LARGE_OF_EVALUATIONS}
SCHEMA = {
    name: pl.List(pl.Struct(EVALUATION)) if name == "evaluations" else kind
    for name, kind in schema_of(Record).items()
    if name not in LARGE
}


def rows_of(records: pl.DataFrame) -> pl.DataFrame:
    """The rows of the index for whole records."""
    measured = pl.struct(pl.element().struct.field(name) for name in EVALUATION)
    return records.select(list(SCHEMA)).with_columns(pl.col("evaluations").list.eval(measured))


def write(folder: Path, frames: Sequence[pl.DataFrame]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{uuid.uuid4().hex}.parquet"
    temporary = part.with_suffix(".tmp")
    try:
        schema.write(pl.concat(frames), temporary)
        temporary.rename(part)
    finally:
        temporary.unlink(missing_ok=True)


def table(folder: Path, records: Path, recorded: Collection[str]) -> tuple[pl.DataFrame, list[Path]]:
    """One row for each recorded unit, with the columns of SCHEMA; and the files in `records` that are damaged."""
    parts = sorted(folder.glob("*.parquet"))
    frames = []
    for part in parts:
        with suppress(DamagedError, FileNotFoundError):  # or united meanwhile: its records are read again
            frames.append(read(part, SCHEMA))
    known = pl.concat([pl.DataFrame(schema=SCHEMA), *frames]).unique("unit_id", keep="any")
    new, damaged = [], []
    for unit in sorted(set(recorded) - set(known["unit_id"])):
        path = records / f"{unit}.parquet"
        try:
            new.append(rows_of(read(path, schema_of(Record))))
        except FileNotFoundError:  # taken away meanwhile
            continue
        except DamagedError:
            damaged.append(path)
    whole = pl.concat([known, *new]).filter(pl.col("unit_id").is_in(recorded))
    removed = not set(known["unit_id"]) <= set(recorded)  # and perhaps made again some day, with other numbers
    if removed or len(new) >= ROWS or len(parts) > PARTS:
        with suppress(OSError):  # one who may only read
            write(folder, [whole])
            for part in parts:
                part.unlink(missing_ok=True)
    return whole, damaged


def regraded(table: pl.DataFrame, regrades: pl.LazyFrame) -> pl.DataFrame:
    """`table` with the numbers of the latest grading of each measurement."""
    key = ["unit_id", "attempt_id", "step", "evaluation_id"]
    numbers = [name for name in EVALUATION if name in regrades.collect_schema() and name not in key]
    latest = regrades.select(*key, "graded", *numbers).sort("graded").unique(key, keep="last").drop("graded").collect()
    if latest.is_empty():
        return table
    attempt = pl.col("provenance").struct.field("attempt_id")
    measured = table.filter(pl.col("evaluations").list.len() > 0).select("unit_id", attempt, "evaluations")
    flat = measured.explode("evaluations").unnest("evaluations").update(latest, on=key)
    united = flat.group_by("unit_id").agg(evaluations=pl.struct(list(EVALUATION)))
    return table.update(united, on="unit_id")
