"""What the processes of one node share: a cache folder, and work that one of them does for all."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

T = TypeVar("T")
Tell = Callable[[str], None]  # takes what is being done, as a sign of life
BEAT_SECONDS = 10.0  # between two signs of life of who waits, downloads or copies


def cache_folder() -> Path:
    """Where pretrained tiny models and copies of checkpoints are kept, below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "one-shot-em"


@contextmanager
def one_at_a_time(name: str, doing: str, tell: Tell | None) -> Iterator[None]:
    """Only one process at once is in here for a name; those that wait say so now and then."""

    def waits() -> None:
        if tell is not None:
            tell(f"waiting for another process that is {doing}")

    with locked(locks() / name.replace("/", "--"), BEAT_SECONDS, waits):
        yield


def locks() -> Path:
    return cache_folder() / "locks"


@contextmanager
def locked(path: Path, seconds: float, waits: Callable[[], None]) -> Iterator[None]:
    """Only one process at once is in here for a file; while another is, `waits` is called, and again each so many
    seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    with suppress(Timeout):
        lock.acquire(timeout=0)
    while not lock.is_locked:
        waits()
        with suppress(Timeout):
            lock.acquire(timeout=seconds)
    try:
        yield
    finally:
        lock.release()


def watched(work: Callable[[], T], folder: Path, doing: str, tell: Tell | None) -> T:
    """What `work` returns; `tell` hears how much lies in the folder that it fills, as long as that grows."""
    if tell is None:
        return work()
    tell(doing)
    before = bytes_in(folder)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(work)
        while not wait([made], BEAT_SECONDS).done:
            if (now := bytes_in(folder)) > before:
                tell(f"{doing}: {now / 1e9:.1f} GB")
                before = now
        return made.result()


def bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # files are renamed meanwhile
            total += path.lstat().st_size
    return total
