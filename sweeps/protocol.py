"""What queue, lanes and workers say to each other, and how these write to the store."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

from em.masking import masked
from em.memory.device import GPUS_OF_LANE
from em.model.checkpoint import MODELS
from em.store.record import Status
from em.trial.unit import Unit

T = TypeVar("T")

TRAINER = "em.train.trainer:Trainer"  # what holds model and engine in a worker
RETRY_SECONDS = 2.0  # between two tries to write to the store
DEVICE_ERROR = re.compile(
    r"(CUDA|HIP|NCCL|cuDNN) error|CU(BLAS|DNN)_STATUS_|OutOfMemoryError|CUDA out of memory|Free memory on device|"
    r"No CUDA GPUs|GPU is lost|fallen off the bus|\bECC\b|\bXid\b|\bNVML\b"
)
IDLE = 0.4  # times as long as between two words to the queue, a lane waits before it asks for work again
LOG_CHARACTERS = 8_000  # of what a process wrote, that a failed attempt keeps


@dataclass(frozen=True)
class Setup:
    """What a worker is told once, as its first message."""

    store: str
    lane: str
    log: str  # the file that it writes to
    trainer: str  # "module:class", TRAINER outside of tests
    lease_seconds: float
    outage_seconds: float
    stall_seconds: float
    gpus: float  # of the lane; a part of one is shared with other lanes
    beat_seconds: float = 0.5  # between two words of its lane to the queue
    models: str = ""  # cluster.models

    @property
    def idle_seconds(self) -> float:
        """Between two looks into a queue that has nothing now."""
        return IDLE * self.beat_seconds

    @property
    def own_device(self) -> bool:
        """Whether no other lane shares the GPUs that it sees."""
        return self.gpus.is_integer()

    @property
    def environment(self) -> dict[str, str]:
        """What a worker is told beside this: variables that serve programs without a launch too."""
        return {GPUS_OF_LANE: f"{self.gpus:g}"} | ({MODELS: self.models} if self.models else {})


@dataclass(frozen=True)
class Doing:
    doing: str
    sampled: bool = False  # nothing but grades is waited for


@dataclass(frozen=True)
class Result:
    """How a unit of work ended."""

    status: Status | None  # None: nothing was recorded, another launch is at it
    seconds: float = 0.0  # that it took, claim and commit included; 0 where it was recorded already
    error: str = ""
    final: bool = False  # no other attempt would do better
    unwritable: str = ""  # why the store takes no record
    memory: int = 0  # bytes that the worker holds
    on_device: bool = False  # it failed by an error of the GPU, after which no process there is to be trusted


class Order(Enum):
    """What a lane is told where it is given nothing."""

    wait = "wait"  # nothing now; others may fail, or more be added
    end = "end"
    drop = "drop"  # end at once, without finishing
    go_on = "go on"


@dataclass(frozen=True)
class Lease:
    unit: Unit
    attempt: int
    lost: bool = False  # not to be worked at: it was lost so often that this is a failed attempt


def insist(work: Callable[[], T], seconds: float, say: Callable[[str], None]) -> T:
    """What `work` returns, tried again for so long while it cannot read or write the store; then its OSError is
    raised."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except OSError as error:
            if time.monotonic() > deadline:
                raise
            say(f"cannot read or write the store, trying again: {error}")
            time.sleep(RETRY_SECONDS)


def is_of_device(error: str) -> bool:
    """Whether what was said on failing tells of a GPU: its memory ran out or is damaged, or it is gone."""
    return DEVICE_ERROR.search(error) is not None


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def cause(error: str) -> str:
    """The last line of an error without the numbers and ids by which two errors of one cause differ; a status stays."""
    return re.sub(r"(?<!status )\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "#", last_line(error))


def tail(log: str) -> str:
    """The end of what a worker wrote, without keys."""
    try:
        return masked(Path(log).read_text(errors="replace"))[-LOG_CHARACTERS:]
    except OSError as error:
        return f"no log: {error}"
