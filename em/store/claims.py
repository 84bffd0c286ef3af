"""Claims: a worker's word in the store that it is at a unit of work, so that other launches leave that unit to it.

A claim is a file that is created once and touched again and again.  One that is no longer touched is void, and is
followed by another of the next number: of several workers that find it void, one creates that.  Ages are told by the
store's own clock.  A claim saves work and protects nothing: a record that two workers make is still committed once.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from em.store.files import Files

BEATS = 6  # signs of life within the time after which a claim is void


def claim(files: Files, name: str, lane: str, seconds: float) -> AbstractContextManager[None] | None:
    """Take the claim `name`: what keeps it alive and releases it in the end; None where a living worker holds it.

    It is void after `seconds` without a sign of life, or at once where its process was on this machine and is gone.
    Raises OSError where the store cannot be written.
    """
    holder = json.dumps({"node": socket.gethostname(), "pid": os.getpid(), "lane": lane}).encode()
    number = 0
    while not files.create_once(f"{name}.{number}", holder):
        if not is_void(files, f"{name}.{number}", seconds):
            return None
        number += 1
    return held(files, name, number, seconds)


def is_void(files: Files, name: str, seconds: float) -> bool:
    try:
        return files.age(name) >= seconds or is_gone(files.read(name))
    except FileNotFoundError:  # released at this moment: the next one who asks gets it
        return False


def is_gone(holder: bytes) -> bool:
    """Whether the claim was made by a process of this machine that has ended."""
    with suppress(ValueError, KeyError, TypeError):
        held = json.loads(holder)
        return held["node"] == socket.gethostname() and not Path(f"/proc/{held['pid']}").exists()
    return False


@contextmanager
def held(files: Files, name: str, number: int, seconds: float) -> Iterator[None]:
    """Keep the claim alive while the body runs; then release it, and clear away the void ones before it."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds / BEATS):
            with suppress(OSError):  # taken over and released while this process was stopped: the commit decides
                files.touch(f"{name}.{number}")

    thread = threading.Thread(target=beat, name="claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(OSError):
            for void in range(number + 1):
                files.remove(f"{name}.{void}")
