"""A launch's notice board in the store: what it says of itself, and what it is asked to do.

    <store>/launches/<sweep>-<id>/status.json          a snapshot of its queue, written every few seconds
    <store>/launches/<sweep>-<id>/<request>.json       a request, from whatever machine sees the store
    <store>/launches/<sweep>-<id>/<request>.answer     what came of it

A board that is no longer written to belongs to a launch that is gone; its age is told by the store's own clock.
"""

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em.errors import InputError
from em.store import Store

POST_SECONDS = 2.0  # between two notices
GONE_SECONDS = 30.0  # without a notice: the launch is gone
KEPT = 20  # boards of launches that are over


@dataclass(frozen=True)
class Notice:
    """What a launch last said of itself."""

    folder: Path
    age: float  # seconds
    said: dict[str, Any]

    @property
    def is_live(self) -> bool:
        return self.age < GONE_SECONDS and not self.said["over"]


class Board:
    """The side of the launch."""

    def __init__(self, store: Store, sweep: str, arguments: Sequence[str]) -> None:
        self.folder = store.launches / f"{sweep}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"store={store.root}: cannot be written: {error.strerror}") from None
        for old in sorted(notices(store), key=lambda notice: notice.age, reverse=True)[:-KEPT]:
            shutil.rmtree(old.folder, ignore_errors=True)
        self.about = {
            "sweep": sweep,
            "arguments": list(arguments),
            "node": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self.posted = -POST_SECONDS
        write(self.folder / "status.json", self.about | {"over": False, "snapshot": None})  # nothing to tell yet

    def post(self, snapshot: dict[str, Any], over: bool = False) -> None:
        """Say how things are; at most every POST_SECONDS, except for the last time."""
        if not over and time.monotonic() - self.posted < POST_SECONDS:
            return
        self.posted = time.monotonic()
        with suppress(OSError):  # a full disk stops lanes, not the display
            write(self.folder / "status.json", self.about | {"over": over, "snapshot": snapshot})

    def answer(self, handle: Callable[[str, list[str]], str]) -> None:
        """Let `handle` do what is asked, and say what came of it."""
        for path in sorted(self.folder.glob("*.json")):
            if path.name == "status.json":
                continue
            try:
                request = json.loads(path.read_text())
            except (OSError, ValueError):  # withdrawn, or not a request
                continue
            try:
                said = handle(request["action"], request["arguments"])
            except Exception as error:  # whatever it is, the launch goes on
                said = f"error: {error}"
            with suppress(OSError):
                path.with_suffix(".answer").write_text(said)
            with suppress(OSError):
                path.unlink()


def notices(store: Store) -> list[Notice]:
    """The launches of a store, the oldest first."""
    found = []
    now = store_time(store)
    for path in store.launches.glob("*/status.json"):
        with (
            suppress(OSError, ValueError),
            path.open() as file,
        ):  # a network file system tells the time when it is opened
            found.append(Notice(path.parent, now - os.fstat(file.fileno()).st_mtime, json.load(file)))
    return sorted(found, key=lambda notice: notice.said["started"])


def store_time(store: Store) -> float:
    """The time by the clock of the store's file system; by this machine's where the store can only be read."""
    probe = store.launches / f".{uuid.uuid4().hex}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def ask(notice: Notice, action: str, arguments: Sequence[str], seconds: float = 30.0) -> str:
    """Ask a launch for something and wait for its answer; raises InputError where none comes."""
    request = notice.folder / f"{time.time_ns()}-{uuid.uuid4().hex[:4]}.json"
    write(request, {"action": action, "arguments": list(arguments)})
    answer, deadline = request.with_suffix(".answer"), time.monotonic() + seconds
    while not answer.exists():
        if time.monotonic() > deadline:
            request.unlink(missing_ok=True)
            raise InputError(f"{notice.folder.name}: no answer in {seconds:.0f} s; `make status` says whether it lives")
        time.sleep(0.05)
    while request.exists() and time.monotonic() < deadline + 5:  # taken down after the answer
        time.sleep(0.01)
    said = answer.read_text()
    answer.unlink()
    return said


def write(path: Path, content: dict[str, Any]) -> None:
    """The whole file or none of it."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    temporary.write_text(json.dumps(content))
    temporary.rename(path)
