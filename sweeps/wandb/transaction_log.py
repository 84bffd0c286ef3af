"""Reads the file that wandb writes of a run, `run-<id>.wandb`: LevelDB's log format, a protobuf record in each entry.

wandb does not say when a disk is full, it leaves the file cut short: so what was written is read back.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER = 7  # bytes, of the file and of each chunk: checksum (4), length (2), kind (1)
BLOCK = 32_768  # bytes; a chunk's header does not cross its end
WHOLE, LAST = 1, 4  # kinds of chunks that end an entry


def entries(path: Path) -> Iterator[bytes]:
    """The entries of the file, up to where it ends or was cut short."""
    data, at, entry = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if (room := BLOCK - at % BLOCK) < HEADER:
            at += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        chunk = data[at + HEADER : at + HEADER + length]
        if len(chunk) < length:
            return
        at += HEADER + length
        entry += chunk
        if kind in (WHOLE, LAST):
            yield entry
            entry = b""


def records(path: Path) -> Iterator[Any]:
    """The records of the file, as wandb's `Record` messages."""
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2  # made at run time
    for entry in entries(path):
        record = messages.Record()
        record.ParseFromString(entry)
        yield record


def is_whole(path: Path, rows: int) -> bool:
    """Whether the file goes from its first record to the run's end and holds so many rows of history."""
    kinds = [record.WhichOneof("record_type") for record in records(path)]
    return kinds.count("history") == rows and "run" in kinds and "exit" in kinds


def plain(items: Any) -> dict[str, Any]:
    """The items of a history, summary or config record as plain data."""
    found: dict[str, Any] = {}
    for item in items:
        *path, name = item.nested_key or [item.key]
        level = found
        for part in path:
            level = level.setdefault(part, {})
        level[name] = json.loads(item.value_json)
    return found
