"""The dataclasses of em.store.record as Parquet and back, also of files of older and newer versions."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from em.errors import InputError
from em.store.record import Status
from em.trial.written import without_none

SCALARS = {str: pl.String, int: pl.Int64, float: pl.Float64, bool: pl.Boolean, Status: pl.String}
EVOLVED = pl.ScanCastOptions(integer_cast="upcast", missing_struct_fields="insert", extra_struct_fields="ignore")
T = TypeVar("T")


class DamagedError(InputError):
    """A file that is not whole Parquet."""


def damaged(where: str, error: Exception) -> DamagedError:
    reason = str(error).splitlines()[0]
    return DamagedError(f"{where}: damaged ({reason}); move it away, and the next launch makes it again")


@cache
def schema_of(record_type: type) -> dict[str, pl.DataType]:
    """The Polars schema of a dataclass of em.store.record: lists and nested dataclasses become lists and structs."""
    return {name: polars_type(kind) for name, kind, _ in fields_of(record_type)}


@cache
def fields_of(record_type: type) -> list[tuple[str, Any, bool]]:
    """Name, type, and whether null stays None, of each field of a dataclass of em.store.record."""
    hints, fields = typing.get_type_hints(record_type), []
    for item in dataclasses.fields(record_type):
        kind, is_optional = without_none(hints[item.name])
        has_default = not (item.default is item.default_factory is dataclasses.MISSING)
        fields.append((item.name, kind, is_optional or not has_default))
    return fields


def polars_type(kind: Any) -> pl.DataType:
    if kind in SCALARS:
        return SCALARS[kind]()
    if typing.get_origin(kind) is list:
        return pl.List(polars_type(without_none(typing.get_args(kind)[0])[0]))
    return pl.Struct(schema_of(kind))


def frame(items: Sequence[Any]) -> pl.DataFrame:
    """A row for each of some dataclasses of one kind."""
    return pl.DataFrame([dataclasses.asdict(item) for item in items], schema=schema_of(type(items[0])))


def lean(rows: pl.DataFrame, kind: type) -> pl.DataFrame:
    """Without the fields that were added later and say nothing here: the columns that versions before wrote."""
    for name, part, _ in fields_of(kind):
        if name in added_to(kind) and not rows[name].explode().count():
            rows = rows.drop(name)
        elif entries := added_to(next(iter(typing.get_args(part)), part)):
            is_list = typing.get_origin(part) is list
            values = (rows[name].explode() if is_list else rows[name]).struct
            said = [field for field in values.fields if field not in entries or values.field(field).count()]
            kept = pl.struct((pl.element() if is_list else pl.col(name)).struct.field(said))
            rows = rows.with_columns(pl.col(name).list.eval(kept) if is_list else kept.alias(name))
    return rows


@cache
def added_to(kind: Any) -> set[str]:
    """The fields of a dataclass that are marked so (em.trial.identity.added)."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return {item.name for item in fields if item.metadata.get("added")}


def typed(kind: type[T], row: Mapping[str, Any]) -> T:
    """The dataclass of a row.  A version that did not have a field left null: None if that is one of the field's
    values, else the field's default."""
    given = {}
    for name, part, keeps_null in fields_of(kind):
        if keeps_null or row[name] is not None:
            given[name] = None if row[name] is None else value_of(part, row[name])
    return kind(**given)


def value_of(kind: Any, plain: Any) -> Any:
    if isinstance(plain, dict):
        return typed(kind, plain)
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        return [typed(typing.get_args(kind)[0], item) for item in plain]
    return Status(plain) if kind is Status else plain


def scan(contents: Sequence[bytes], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of Parquet files in today's columns: what a version before did not write is null, what a version after
    writes is left out."""
    if not contents:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        list(contents), schema=schema, missing_columns="insert", extra_columns="ignore", cast_options=EVOLVED
    )


def read(content: bytes, schema: Mapping[str, pl.DataType], where: str) -> pl.DataFrame:
    """The rows of one file; raises InputError that says `where` it lies, DamagedError where it is not whole."""
    try:
        return scan([content], schema).collect()
    except pl.exceptions.SchemaError as error:
        raise InputError(f"{where}: has other columns than this version reads: {str(error).splitlines()[0]}") from None
    except pl.exceptions.PolarsError as error:
        raise damaged(where, error) from None


def load(kind: type[T], content: bytes, where: str) -> T:
    """The only row of a file as a dataclass; raises as `read`."""
    return typed(kind, read(content, schema_of(kind), where).row(0, named=True))


def parquet(rows: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    rows.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def leaves(content: bytes, columns: Sequence[str], where: str) -> Mapping[str, Any]:
    """Some columns of a record's file, and of nested ones only the leaves that are named: `digests.list.element.step`.

    Polars reads a nested column whole, and the texts of answers are nearly all of a record.  Raises DamagedError.
    """
    try:
        return pq.ParquetFile(pa.BufferReader(content)).read(columns=list(columns)).to_pylist()[0]
    except pa.ArrowException as error:
        raise damaged(where, error) from None
