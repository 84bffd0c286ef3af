"""What the processes of a sandbox use, as a sum: looked up now and then, for programs that take longer than most."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK_SECONDS = 0.25  # between two looks, and until the first: most programs have ended by then
HERTZ = os.sysconf("SC_CLK_TCK")
BUSY = ("R", "D")  # on a processor, waiting for one, or for a disk


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float  # of the living, and of the dead that their parents waited for
    memory_bytes: int  # a page of several processes counts once
    busy: bool  # a thread that runs, or would if it could


class Idle:
    """Seconds in which nobody wanted a processor: a busy machine does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.seconds, self.last = clock, 0.0, clock()

    def look(self, busy: bool) -> float:
        now = self.clock()
        if not busy:
            self.seconds += min(now - self.last, 2 * TICK_SECONDS)  # this process itself may have had to wait
        self.last = now
        return self.seconds


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                waiting += map(int, path.read_text().split())


def usage(pid: int) -> Usage:
    ticks, kilobytes, busy = 0, 0, False
    for each in tree(pid):
        folder = Path(f"/proc/{each}")
        with suppress(OSError):
            ticks += sum(map(int, fields(folder / "stat")[11:15]))
        with suppress(OSError):
            lines = (folder / "smaps_rollup").read_text().splitlines()
            kilobytes += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        busy = busy or is_busy(each)
    return Usage(ticks / HERTZ, kilobytes * 1024, busy)


def is_busy(pid: int) -> bool:
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            if fields(path)[0] in BUSY:
                return True
    return False


def fields(path: Path) -> list[str]:
    """Of a `stat`, from the state on."""
    return path.read_text().rpartition(")")[2].split()


def files(pid: int, folder: str) -> int:
    """How many are in the file system that a sandbox has as that folder; 0 where nobody may look."""
    for each in tree(pid):
        if each != pid:  # bubblewrap's own process is outside
            with suppress(OSError):
                found = os.statvfs(f"/proc/{each}/root{folder}")
                return found.f_files - found.f_ffree
    return 0
