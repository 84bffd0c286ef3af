"""The index: the small columns of all records in a few files, so that thousands of records are read as one frame.

    index/2-<random>.parquet     rows of up to some thousand records; those of another VERSION are made again

Only a cache: whoever commits records adds their rows, whoever reads adds the rows of records that have none yet, and a
deleted index is made again from the records.  Never is a record in records/ changed or removed.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import numpy as np
import polars as pl

from em.evaluation.metrics import sampling_variance
from em.store.files import Files
from em.store.record import EvaluationResult, Record
from em.store.schema import DamagedError, parquet, read, schema_of

VERSION = 2  # of the columns
PREFIX = f"index/{VERSION}-"
LARGE = ("evaluations_config", "measurements", "error", "log", "prompts", "rollouts", "seconds")
LARGE_OF_EVALUATIONS = (
    *("asked", "correct", "paper_rules", "grading_errors", "extracted", "lengths", "truncated", "ended", "texts"),
    *("entropies", "probabilities", "position_tokens", "position_entropies", "distributions"),
)
PARTS = 64  # files, above which a reader unites them
ROWS = 64  # records without a row, from which on a reader writes their rows down

EVALUATION = {name: kind for name, kind in schema_of(EvaluationResult).items() if name not in LARGE_OF_EVALUATIONS}
EVALUATION |= {"variance": pl.Float64()}  # of the accuracy, by em.evaluation.metrics.sampling_variance
SCHEMA = {
    name: pl.List(pl.Struct(EVALUATION)) if name == "evaluations" else kind
    for name, kind in schema_of(Record).items()
    if name not in LARGE
}


def rows_of(records: pl.DataFrame) -> pl.DataFrame:
    """The rows of the index for whole records."""
    flat = flat_of(records.select("unit_id", "evaluations"))
    own = records.select(name for name in SCHEMA if name != "evaluations")
    # Where problems were drawn for the trial, its answers do not tell how far off the draw is.
    return with_evaluations(own, flat.with_columns(variance=pl.when(pl.col("asked").is_null()).then(variances(flat))))


def flat_of(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each evaluation."""
    return rows.filter(pl.col("evaluations").list.len() > 0).explode("evaluations").unnest("evaluations")


def with_evaluations(rows: pl.DataFrame, flat: pl.DataFrame) -> pl.DataFrame:
    united = flat.group_by("unit_id", maintain_order=True).agg(evaluations=pl.struct(list(EVALUATION)))
    with_them = rows.join(united, on="unit_id", how="left", maintain_order="left")
    return with_them.with_columns(pl.col("evaluations").fill_null([])).select(list(SCHEMA)).cast(pl.Schema(SCHEMA))


def variances(graded: pl.DataFrame) -> pl.Series:
    """Of the accuracies of evaluations whose answers are `correct`, problem by problem; null where it is not known."""
    known = graded.select(pl.col("correct").list.eval(pl.element().fill_null(value=False)), "samples")
    found = [
        sampling_variance(np.array(correct, float).reshape(-1, samples)) if len(correct) % samples == 0 else None
        for correct, samples in known.iter_rows()
    ]
    return pl.Series(found, dtype=pl.Float64).fill_nan(None)


def write(files: Files, frames: Sequence[pl.DataFrame]) -> None:
    files.replace(f"{PREFIX}{uuid.uuid4().hex}.parquet", parquet(pl.concat(frames)))


def rows(
    files: Files, recorded: Collection[str], read_record: Callable[[str], pl.DataFrame]
) -> tuple[pl.DataFrame, list[str]]:
    """One row for each recorded unit, with the columns of SCHEMA; and the units whose record is damaged."""
    parts = [f"index/{name}" for name in files.list("index")]
    frames = []
    for part in filter(lambda part: part.startswith(PREFIX), parts):
        with suppress(DamagedError, FileNotFoundError):  # or united meanwhile: its records are read again
            frames.append(read(files.read(part), SCHEMA, files.where(part)))
    known = pl.concat([pl.DataFrame(schema=SCHEMA), *frames]).filter(pl.col("unit_id").is_first_distinct())
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
    latest = regrades.select(*key, "graded", "correct", *numbers).sort("graded")
    latest = latest.unique(key, keep="last").drop("graded").collect()
    if latest.is_empty():
        return rows
    attempt = pl.col("provenance").struct.field("attempt_id")
    flat = flat_of(rows.select("unit_id", attempt, "evaluations"))
    again = latest.join(flat.select(*key, "samples", known=pl.col("variance").is_not_null()), on=key)
    variance = pl.when("known").then(variances(again))
    again = again.with_columns(variance=variance).drop("correct", "samples", "known")
    return with_evaluations(rows.drop("evaluations"), flat.update(again, on=key, include_nulls=False))
