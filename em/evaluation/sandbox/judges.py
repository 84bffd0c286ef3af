"""The grading process's side of a judge, which lives as long as it does."""

import atexit
import os
import resource
import socket
import threading
from contextlib import suppress

from em.evaluation.sandbox.bubblewrap import (
    PACKAGES,
    START_SECONDS,
    UIDS_EACH_PROCESS,
    SandboxError,
    complaint,
    end,
    in_memory,
    packages,
    request,
    spare_uids,
    start,
)
from em.evaluation.sandbox.script import Script

MIB = 1 << 20
JUDGE_BYTES = 2048 * MIB  # address space, of which NumPy takes a third
JUDGE_PROCESSES = 80  # one for each sandbox that a process may run at once, and its own

Pairs = dict[int, tuple[int, int]]  # soft and hard limit, by RLIMIT_...


class Judge:
    """The interpreter that runs tests.  Ends with the process that started it: its end of the socket closes."""

    def __init__(self, prefix: tuple[str, ...], uid: int | None) -> None:
        self.pid, self.lock = os.getpid(), threading.Lock()
        self.kept: tuple[Script, socket.socket] | None = None  # a child that waits for the next answer
        limits: Pairs = {resource.RLIMIT_AS: (JUDGE_BYTES, JUDGE_BYTES), resource.RLIMIT_CORE: (0, 0)}
        if prefix:
            limits[resource.RLIMIT_NPROC] = (JUDGE_PROCESSES, JUDGE_PROCESSES)
        body = request(("wire", "inmate", "link", "judge"), visible(prefix), uid, limits)
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = start(prefix, body, theirs.fileno(), dies_with_thread=False)
        self.socket.settimeout(START_SECONDS)
        try:
            ready = self.socket.recv(16)
        except OSError:
            ready = b""
        if not ready:
            said = complaint(self.process)
            self.close()
            raise SandboxError(said)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def take(self, script: Script, case: bytes, channel: int, verdict: int) -> socket.socket:
        """Have a child judge an answer whose interpreter is at the other end of the channel, and say how it ends on
        `verdict`.  Returns where the child hears of the next answer, to keep() once it has spoken."""
        descriptors = [in_memory(case), channel, verdict]
        try:
            with self.lock:
                kept, self.kept = self.kept, None
            if kept is not None:
                known, child = kept
                with suppress(OSError):  # it has died
                    if known == script:
                        socket.send_fds(child, [b"."], descriptors)
                        return child
                child.close()
            child, theirs = socket.socketpair()
            with theirs, self.lock:
                socket.send_fds(self.socket, [b"."], [*descriptors, theirs.fileno()])
            return child
        except OSError as error:
            raise SandboxError(f"the judge has ended: {error}") from error
        finally:
            os.close(descriptors[0])

    def keep(self, script: Script, child: socket.socket) -> None:
        """For the next answer to this script: samples of one problem come together, and a fork takes 3 ms."""
        with self.lock:
            other, self.kept = self.kept, (script, child)
        if other is not None:
            other[1].close()

    @property
    def fit(self) -> bool:
        return self.pid == os.getpid() and self.process.poll() is None

    def close(self) -> None:
        self.socket.close()
        if self.kept is not None:
            self.kept[1].close()
        if self.pid == os.getpid():
            end(self.process)


_judges: dict[tuple[str, ...], Judge] = {}  # by the command that starts them
_starting = threading.Lock()


def judge_for(prefix: tuple[str, ...]) -> Judge:
    with _starting:
        known = _judges.get(prefix)
        if known is not None and known.fit:
            return known
        if known is not None:
            known.close()
        if not _judges:
            atexit.register(close)
        _judges[prefix] = made = Judge(prefix, spare_uid(UIDS_EACH_PROCESS - 1) if prefix else None)
        return made


def close() -> None:
    while _judges:
        _judges.popitem()[1].close()


def spare_uid(number: int) -> int | None:
    uids = spare_uids()
    return uids[(os.getpid() * UIDS_EACH_PROCESS + number) % len(uids)] if uids else None


def visible(prefix: tuple[str, ...]) -> list[str]:
    """Where an interpreter finds NumPy."""
    return [str(PACKAGES if prefix else path.parent) for path in packages()[:1]]
