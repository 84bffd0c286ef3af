"""The dataclasses of em.store.record as Parquet and back, also of files of older and newer versions."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from em.errors import InputError
from em.store.record import Status

SCALARS = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, Status: pl.String}
EVOLVED = pl.ScanCastOptions(integer_cast="upcast", missing_struct_fields="insert", extra_struct_fields="ignore")


class DamagedError(InputError):
    """A file that is not whole Parquet."""


@cache
def schema_of(record_type: type) -> dict[str, pl.DataType]:
    """The Polars schema of a dataclass of em.store.record: lists and nested dataclasses become lists and structs."""
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


def scan(paths: list[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of Parquet files in today's columns: what a version before did not write is null, what a version after
    writes is left out."""
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(paths, schema=schema, missing_columns="insert", extra_columns="ignore", cast_options=EVOLVED)


def read(path: Path, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows of one file; raises InputError that names it, DamagedError where it is not whole."""
    try:
        return scan([path], schema).collect()
    except pl.exceptions.SchemaError as error:
        raise InputError(f"{path}: has other columns than this version reads: {str(error).splitlines()[0]}") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DamagedError(f"{path}: damaged ({reason}); move it away, and the next launch makes it again") from None


def write(frame: pl.DataFrame, path: Path) -> None:
    """Raises OSError where it cannot; Polars, writing itself, calls a full disk a transport error of Thrift."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    path.write_bytes(buffer.getbuffer())


def read_leaves(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """One row for each file, and of nested columns only the leaves that are named (`evaluations.list.element.step`).

    Polars reads a nested column whole, and the texts of answers are nearly all of a record.
    """
    return pa.concat_tables([pq.ParquetFile(path).read(columns=list(columns)) for path in paths])
