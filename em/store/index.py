"""The index: the small columns of all records in a few files, so that thousands of records are read as one frame.

    index/<random>.parquet     rows of up to some thousand records

Only a cache: whoever commits records adds their rows, whoever reads adds the rows of records that have none yet, and a
deleted index is made again from the records.  Never is a record in records/ changed or removed.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import polars as pl

from em.store.files import Files
from em.store.record import EvaluationResult, Record
from em.store.schema import DamagedError, parquet, read, schema_of

LARGE = ("trial", "evaluations_config", "measurements", "error", "log", "prompts", "rollouts", "seconds")
LARGE_OF_EVALUATIONS = (
    *("correct", "paper_rules", "grading_errors", "extracted", "lengths", "truncated", "texts"),
    *("entropies", "probabilities", "position_tokens", "position_entropies", "distributions"),
)
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


def write(files: Files, frames: Sequence[pl.DataFrame]) -> None:
    files.replace(f"index/{uuid.uuid4().hex}.parquet", parquet(pl.concat(frames)))


def rows(
    files: Files, recorded: Collection[str], read_record: Callable[[str], pl.DataFrame]
) -> tuple[pl.DataFrame, list[str]]:
    """One row for each recorded unit, with the columns of SCHEMA; and the units whose record is damaged."""
    parts = [f"index/{name}" for name in files.list("index")]
    frames = []
    for part in parts:
        with suppress(DamagedError, FileNotFoundError):  # or united meanwhile: its records are read again
            frames.append(read(files.read(part), SCHEMA, files.where(part)))
    known = pl.concat([pl.DataFrame(schema=SCHEMA), *frames]).unique("unit_id", keep="any")
    new, damaged = [], []
    for unit in sorted(set(recorded) - set(known["unit_id"])):
        try:
            new.append(rows_of(read_record(unit)))
        except FileNotFoundError:  # taken away meanwhile
            continue
        except DamagedError:
            damaged.append(unit)
    whole = pl.concat([known, *new]).filter(pl.col("unit_id").is_in(recorded))
    removed = not set(known["unit_id"]) <= set(recorded)  # and perhaps made again some day, with other numbers
    if removed or len(new) >= ROWS or len(parts) > PARTS:
        with suppress(OSError):  # one who may only read
            write(files, [whole])
            for part in parts:
                files.remove(part)
    return whole, damaged


def regraded(rows: pl.DataFrame, regrades: pl.LazyFrame) -> pl.DataFrame:
    """`rows` with the numbers of the latest grading of each measurement."""
    key = ["unit_id", "attempt_id", "step", "evaluation_id"]
    numbers = [name for name in EVALUATION if name in regrades.collect_schema() and name not in key]
    latest = regrades.select(*key, "graded", *numbers).sort("graded").unique(key, keep="last").drop("graded").collect()
    if latest.is_empty():
        return rows
    attempt = pl.col("provenance").struct.field("attempt_id")
    measured = rows.filter(pl.col("evaluations").list.len() > 0).select("unit_id", attempt, "evaluations")
    flat = measured.explode("evaluations").unnest("evaluations").update(latest, on=key)
    united = flat.group_by("unit_id").agg(evaluations=pl.struct(list(EVALUATION)))
    return rows.update(united, on="unit_id")
