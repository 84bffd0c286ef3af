"""Claims: a worker's word in the store that it is at a unit of work, so that other launches leave that unit to it.

A claim is a file that is created if absent and touched again and again; one that is no longer touched is void.  Its age
is told by the store's own clock, as the difference of two files' times: machines whose clocks differ agree on it.
A claim saves work and protects nothing: a record that two workers make at once is still committed once.
"""

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BEATS = 6  # signs of life within the time after which a claim is void


def claim(path: Path, lane: str, seconds: float) -> bool:
    """Take the claim at `path`; False where a living worker holds it.

    It is void after `seconds` without a sign of life, or at once where its process was on this machine and is gone.
    Raises OSError where the store cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{uuid.uuid4().hex}.tmp")
    mine.write_text(json.dumps({"node": socket.gethostname(), "pid": os.getpid(), "lane": lane}))
    try:
        for _ in range(2):  # the second time after a void one was cleared away
            with suppress(FileExistsError):
                os.link(mine, path)
                return True
            if not cleared(path, now=mine.stat().st_mtime, seconds=seconds):
                return False
        return False
    finally:
        mine.unlink()


def cleared(path: Path, now: float, seconds: float) -> bool:
    """Whether there is no claim at `path` any more; of several that clear a void one away, one does it."""
    try:
        with path.open() as file:  # opening asks a network file system for the time as it is now
            holder, touched = file.read(), os.fstat(file.fileno()).st_mtime
        if now - touched < seconds and not is_gone(holder):
            return False
        void = path.with_name(f".{uuid.uuid4().hex}.tmp")
        path.rename(void)
        void.unlink()
    except FileNotFoundError:  # released, or cleared away by another
        return True
    return True


def is_gone(holder: str) -> bool:
    """Whether the claim was made by a process of this machine that has ended."""
    with suppress(ValueError, KeyError, TypeError):
        held = json.loads(holder)
        return held["node"] == socket.gethostname() and not Path(f"/proc/{held['pid']}").exists()
    return False


@contextmanager
def held(path: Path, seconds: float) -> Iterator[None]:
    """Keep the claim alive while the body runs, and release it after."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds / BEATS):
            with suppress(OSError):  # taken over while this process was stopped: the commit decides
                os.utime(path)

    thread = threading.Thread(target=beat, name="claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(OSError):
            path.unlink()
