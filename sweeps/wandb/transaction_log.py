"""Reads the file that wandb writes of a run, `run-<id>.wandb`: LevelDB's log format, a protobuf record in each entry.

wandb does not say when a disk is full, it leaves the file cut short: so what was written is read back.  It has no
public reader of these files; its record type is an internal one, hence wandb's upper bound in pyproject.toml.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

HEADER = 7  # bytes, of the file and of each chunk: checksum (4), length (2), kind (1)
BLOCK = 32_768  # bytes; a chunk's header does not cross its end
WHOLE, LAST = 1, 4  # kinds of chunks that end an entry


def records(path: Path) -> Iterator[Any]:
    """The file's entries as wandb's `Record` messages, up to where it ends or was cut short."""
    messages: Any = wandb_internal_pb2  # made at run time
    data, at, entry = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if (room := BLOCK - at % BLOCK) < HEADER:
            at += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        start, at = at + HEADER, at + HEADER + length
        if at > len(data):
            return
        entry += data[start:at]
        if kind in (WHOLE, LAST):
            yield messages.Record.FromString(entry)
            entry = b""


def is_whole(path: Path, rows: int) -> bool:
    """Whether the file goes from its first record to the run's end and holds so many rows of history."""
    kinds = [record.WhichOneof("record_type") for record in records(path)]
    return kinds.count("history") == rows and "run" in kinds and "exit" in kinds
