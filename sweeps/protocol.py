"""What a lane and its worker say to each other over their pipe."""

import re
from dataclasses import dataclass
from pathlib import Path

from em.record import Status

TRAINER = "em.trainer:Trainer"  # what holds model and engine in a worker
LOG_CHARACTERS = 8_000  # of what a process wrote, that a failed attempt keeps


@dataclass(frozen=True)
class Setup:
    """What a worker is told once, as its first message."""

    store: str
    lane: str
    log: str  # the file that it writes to
    trainer: str  # "module:class", TRAINER outside of tests
    lease_seconds: float
    stall_seconds: float
    own_device: bool  # no other lane shares the GPUs that it sees


@dataclass(frozen=True)
class Progress:
    doing: str


@dataclass(frozen=True)
class Outcome:
    """How a unit of work ended."""

    status: Status | None  # None: nothing was recorded, another launch is at it
    seconds: float = 0.0
    error: str = ""
    final: bool = False  # no other attempt would do better
    unwritable: str = ""  # why the store takes no record
    memory: int = 0  # bytes that the worker holds


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def cause(error: str) -> str:
    """The last line of an error without the numbers and ids by which two errors of one cause differ; a status stays."""
    return re.sub(r"(?<!status )\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "#", last_line(error))


def tail(log: str) -> str:
    """The end of what a worker wrote."""
    try:
        return Path(log).read_text(errors="replace")[-LOG_CHARACTERS:]
    except OSError as error:
        return f"no log: {error}"
