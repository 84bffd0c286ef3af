"""The grading process's side of an answer: its interpreter, the limits, and how it ends."""

import itertools
import marshal
import os
import resource
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

from em.evaluation.sandbox import watch
from em.evaluation.sandbox.bubblewrap import (
    START_SECONDS,
    UIDS_EACH_PROCESS,
    SandboxError,
    bubblewrap,
    complaint,
    end,
    request,
    spare_uids,
    start,
)
from em.evaluation.sandbox.judges import MIB, Judge, Pairs, judge_for, spare_uid, visible
from em.evaluation.sandbox.script import Script

OPEN_FILES = 64


@dataclass(frozen=True)
class Limits:
    cpu_seconds: float = 10.0  # of all processes of the answer together, and again of the judge
    idle_seconds: float = 10.0  # in which no process wanted a processor: it sleeps, or waits for what never comes
    wall_seconds: float = 120.0  # a net: a machine with a tenth of a processor to spare has given the rest by then
    memory_bytes: int = 512 * MIB  # address space, each process
    sum_bytes: int = 1024 * MIB  # resident, all processes together
    file_bytes: int = 32 * MIB  # each file, and the working folder as a whole
    files: int = 10_000
    processes: int = 8  # and threads, the program's own included


@dataclass(frozen=True)
class Verdict:
    outcome: str  # "passed", "assertion", "exception", "timeout", "killed", or "exited" with tests to run
    detail: str = ""  # the exception's type, the limit, the signal's name, the exit status
    inside: bool = False  # the tests ran beside the program, where it can cheat (em.evaluation.sandbox.script)

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


class UnfitError(ValueError):
    """The tests cannot be run on any answer, and why."""


_serial = itertools.count()


def sandboxed(program: str, script: Script, limits: Limits) -> Verdict:
    number = next(_serial) % (UIDS_EACH_PROCESS - 1)
    prefix = bubblewrap(limits.file_bytes, with_uid=bool(spare_uids()))
    judge = judge_for(bubblewrap(Limits().file_bytes, with_uid=bool(spare_uids())))
    return run(prefix, None, spare_uid(number), judge, program, script, limits)


def bare(program: str, script: Script, limits: Limits, folder: str) -> Verdict:
    return run((), folder, None, judge_for(()), program, script, limits)


def run(
    prefix: tuple[str, ...],
    folder: str | None,
    uid: int | None,
    judge: Judge,
    program: str,
    script: Script,
    limits: Limits,
) -> Verdict:
    net_seconds = int(limits.cpu_seconds) + 2  # of processor time: below the watch, which looks now and then
    each: Pairs = {
        kind: (most, most)
        for kind, most in (
            (resource.RLIMIT_AS, limits.memory_bytes),
            (resource.RLIMIT_FSIZE, limits.file_bytes),
            (resource.RLIMIT_NPROC, limits.processes),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
        )
    } | {resource.RLIMIT_CPU: (net_seconds, net_seconds + 1)}  # SIGXCPU, then SIGKILL
    beside = script.source if script.beside else None
    body = request(("wire", "inmate"), program, script.names, beside, visible(prefix), uid, each)
    case = marshal.dumps((script.source, script.names, script.modules, script.objects, script.beside, net_seconds))
    ours, theirs = socket.socketpair()
    report, word = os.pipe()
    try:
        with ours, theirs:
            child = judge.take(script, case, ours.fileno(), word)
            try:
                process = start(prefix, body, theirs.fileno(), folder)
            except SandboxError:
                child.close()
                raise
    finally:
        os.close(word)
    with os.fdopen(report, "rb", buffering=0) as listening:
        hearing = Hearing(process, judge, limits, bool(prefix), script.beside)
        try:
            return hearing.verdict(listening.fileno())
        finally:
            end(process)
            if hearing.spoken and not script.leaves_traces:
                judge.keep(script, child)
            else:
                child.close()


@dataclass
class Hearing:
    """Of one answer."""

    process: subprocess.Popen[bytes]
    judge: Judge
    limits: Limits
    counts_files: bool
    inside: bool
    begun: bool = False
    spoken: bool = False  # the judge has, of nothing out of the ordinary

    def verdict(self, report: int) -> Verdict:
        """Listen until the judge has spoken or a limit is met."""
        ready = select.poll()
        ready.register(report, select.POLLIN)
        said, began, idle = b"", time.monotonic(), watch.Idle()
        while True:
            if not ready.poll(watch.TICK_SECONDS * 1000):
                if not self.begun and time.monotonic() > began + START_SECONDS:
                    raise SandboxError(f"no program began within {START_SECONDS:g} s")
                if self.begun and (over := self.over(began, idle)):
                    return over
                continue
            chunk = os.read(report, 4096)
            said += chunk
            if not self.begun and b"\n" in said and said.startswith(b"ready"):
                self.begun, said, began, idle = True, said.partition(b"\n")[2], time.monotonic(), watch.Idle()
            if b"\n" in said:
                return self.read(said.decode(errors="replace").rstrip("\n"), began, idle)
            if not chunk:
                if not self.begun or not self.judge.fit:
                    raise SandboxError("the judge has ended")
                return self.made("killed", "the judge of this answer")

    def read(self, word: str, began: float, idle: watch.Idle) -> Verdict:
        outcome, _, detail = word.partition(" ")
        if outcome == "error":
            raise UnfitError(detail)
        if outcome in ("passed", "assertion", "exception"):
            self.spoken = outcome != "exception"
            return self.made(outcome, detail)
        if outcome != "gone":
            raise SandboxError(f"the judge says {word[:80]!r}")
        if not self.begun:
            raise SandboxError(complaint(self.process))
        if detail != "gone":
            return self.made("exited", detail)
        while True:
            try:
                return self.ended(self.process.wait(watch.TICK_SECONDS))
            except subprocess.TimeoutExpired:
                if over := self.over(began, idle):
                    return over

    def ended(self, status: int) -> Verdict:
        """The verdict on a program that ended without a word."""
        number = -status if status < 0 else status - 128  # bubblewrap says 128 + signal, as a shell does
        if number == signal.SIGXCPU:
            return self.made("timeout", f"{self.limits.cpu_seconds:g} s of a processor")
        if number in set(signal.Signals):
            return self.made("killed", signal.Signals(number).name)
        return self.made("exited", str(status))

    def over(self, began: float, idle: watch.Idle) -> Verdict | None:
        """The limit that is met by now."""
        limits, used = self.limits, watch.usage(self.process.pid)
        if used.cpu_seconds > limits.cpu_seconds:
            return self.made("timeout", f"{limits.cpu_seconds:g} s of a processor")
        busy = used.busy or any(map(watch.is_busy, watch.tree(self.judge.process.pid)))
        if idle.look(busy) > limits.idle_seconds:
            return self.made("timeout", f"{limits.idle_seconds:g} s idle")
        if used.memory_bytes > limits.sum_bytes:
            return self.made("killed", "the memory of all processes")
        if self.counts_files and watch.files(self.process.pid, "/tmp") > limits.files:
            return self.made("killed", f"{limits.files} files")
        if time.monotonic() > began + limits.wall_seconds:
            return self.made("timeout", f"{limits.wall_seconds:g} s")
        return None

    def made(self, outcome: str, detail: str = "") -> Verdict:
        return Verdict(outcome, detail, self.inside)
