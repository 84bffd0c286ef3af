"""A launch's notice board in the store: what it says of itself, and what it is asked to do.

    launches/<sweep>-<id>/status.json          a snapshot of its queue, written every few seconds
    launches/<sweep>-<id>/<request>.json       a request, from whatever machine sees the store
    launches/<sweep>-<id>/<request>.answer     what came of it

A board that is no longer written to belongs to a launch that is gone.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from em.errors import InputError, require
from em.masking import masked
from em.store import Store

POST_SECONDS = 2.0  # between two notices
LOOK_SECONDS = 1.0  # between two looks for requests
GONE_SECONDS = 30.0  # without a notice: the launch is gone
KEPT = 20  # boards of launches that are over
STATUS = "status.json"


@dataclass(frozen=True)
class Notice:
    """What a launch last said of itself."""

    folder: str  # its board's, in launches/
    age: float  # seconds
    said: Mapping[str, Any]

    @property
    def is_live(self) -> bool:
        return self.age < GONE_SECONDS and not self.said["over"]


class Board:
    """The side of the launch."""

    def __init__(self, store: Store, sweep: str, arguments: Sequence[str], parts: Sequence[str] = ()) -> None:
        """`parts`: the sweeps that it is a union of, which are shown this launch as theirs."""
        self.files, self.folder = store.files, f"{sweep}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        self.about: dict[str, object] = {
            "sweep": sweep,
            "parts": list(parts),
            "arguments": list(arguments),
            "node": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        over = [notice for notice in notices(store) if not notice.is_live]
        for old in sorted(over, key=lambda notice: notice.age, reverse=True)[:-KEPT]:
            with suppress(OSError):  # of another user
                self.files.remove(board(old.folder))
        self.posted, self.looked = -POST_SECONDS, -LOOK_SECONDS
        try:
            self.write(snapshot=None, over=False)  # nothing to tell yet
            is_kept = not self.files.create_once(board(self.folder, STATUS), b"")
        except OSError as error:
            raise InputError(f"store={store.address}: cannot be written: {error.strerror}") from None
        remedy = "a name can be created twice there, so records could be lost; take a server with conditional writes"
        require(is_kept, "store", store.address, remedy)

    def write(self, snapshot: Mapping[str, object] | None, over: bool) -> None:
        ended = {"ended": time.time()} if over else {}
        said = self.about | {"over": over, "snapshot": snapshot} | ended
        self.files.replace(board(self.folder, STATUS), masked(json.dumps(said)).encode())

    def post(self, snapshot: Mapping[str, object], over: bool = False) -> None:
        """Say how things are; at most every POST_SECONDS, except for the last time."""
        if not over and time.monotonic() - self.posted < POST_SECONDS:
            return
        self.posted = time.monotonic()
        with suppress(OSError):  # a full disk stops lanes, not the display
            self.write(snapshot, over)

    def requests(self) -> list[str]:
        """What lies on the board; nothing while the store cannot be reached."""
        with suppress(OSError):
            return self.files.list(board(self.folder))
        return []

    def answer(self, handle: Callable[[str, list[str]], str]) -> None:
        """Let `handle` do what is asked, and say what came of it; at most every LOOK_SECONDS."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for name in self.requests():
            if name == STATUS or not name.endswith(".json"):
                continue
            request = board(self.folder, name)
            try:
                asked = json.loads(self.files.read(request))
            except (OSError, ValueError):  # withdrawn, or not a request
                continue
            try:
                said = handle(asked["action"], asked["arguments"])
            except Exception as error:  # whatever it is, the launch goes on
                said = f"error: {error}"
            with suppress(OSError):
                self.files.remove(request)
                self.files.replace(answer_to(request), said.encode())


def board(folder: str, name: str = "") -> str:
    return f"launches/{folder}/{name}".rstrip("/")


def answer_to(request: str) -> str:
    return request.removesuffix(".json") + ".answer"


def notices(store: Store, sweep: str = "") -> list[Notice]:
    """The launches of a store, or those of one sweep, the oldest first."""
    seen: list[Notice] = []
    for folder in store.files.list("launches"):
        status = board(folder, STATUS)
        with suppress(OSError, ValueError):
            seen.append(Notice(folder, store.files.age(status), json.loads(store.files.read(status))))
    own = (notice for notice in seen if sweep in ("", notice.said["sweep"], *notice.said.get("parts", [])))
    return sorted(own, key=lambda notice: notice.said["started"])


def ask(store: Store, notice: Notice, action: str, arguments: Sequence[str], seconds: float = 30.0) -> str:
    """Ask a launch for something and wait for its answer; raises InputError where none comes."""
    request = board(notice.folder, f"{time.time_ns()}-{uuid.uuid4().hex[:4]}.json")
    store.files.replace(request, json.dumps({"action": action, "arguments": list(arguments)}).encode())
    answer, deadline = answer_to(request), time.monotonic() + seconds
    while not store.files.exists(answer):
        if time.monotonic() > deadline:
            store.files.remove(request)
            raise InputError(f"{notice.folder}: no answer in {seconds:.0f} s; `make status` says whether it lives")
        time.sleep(0.05)
    said = store.files.read(answer).decode()
    store.files.remove(answer)
    return said
