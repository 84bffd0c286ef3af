"""A lane: a Ray Tune trial that lives as long as the sweep and hands its worker process unit after unit.

One model a Tune trial costs the driver several times as much, and actor restarts that load everything again.  The lane
itself loads no model: a worker that exits, hangs, serves another model or has grown too large is replaced by a new one,
and whatever happens to it is recorded by a process that nothing happened to.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray
from ray import tune

from em.errors import InputError
from em.masking import masked
from em.quiet import SETTINGS
from em.store import Store
from em.store.provenance import ROOT, provenance
from em.store.record import Record, Status
from em.trial.unit import Unit
from sweeps.board import notices
from sweeps.protocol import Doing, Lease, Order, Result, Setup, T, insist, is_of_device, last_line, tail

LOST = "the lane, its worker and its node were gone, again and again, during this attempt"
REPORT_SECONDS = 1.0  # trials that are shorter are reported to Tune together
WATCHDOG = "Timeout ("  # with this begins what faulthandler writes when it ends a process
SILENT_DEATHS = 3  # of workers that were given a unit; then it is the unit, or no worker can start


@dataclass
class Process:
    """A running worker."""

    popen: subprocess.Popen[bytes]
    connection: Connection
    setup: Setup
    model: str  # id of the base model that it has loaded
    given: bool = False  # it has got its unit before the lane comes to it
    heard: deque[Doing | Result] = field(default_factory=lambda: deque(maxlen=1))  # what it said last, meanwhile

    @classmethod
    def start(cls, setup: Setup, model: str) -> "Process":
        ours, theirs = Pipe()
        with open(setup.log, "wb", opener=only_mine) as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "sweeps.worker", str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | SETTINGS | setup.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # signals to the launch's processes are not meant for it
            )
        theirs.close()
        ours.send(setup)
        return cls(popen, ours, setup, model)

    def hear(self) -> None:
        """Take what it has said, so that it never waits for the lane to listen."""
        with suppress(EOFError, OSError):
            while self.connection.poll():
                self.heard.append(self.connection.recv())

    def ending(self) -> str:
        """How it has ended, once its end of the pipe is closed."""
        status = self.popen.wait()
        if status < 0:
            return f"the worker was killed by {signal.Signals(-status).name}"
        if status == 1 and WATCHDOG in tail(self.setup.log):
            return f"the worker made no progress for {self.setup.stall_seconds:g} s and was ended"
        return f"the worker exited with status {status}"

    def close(self, seconds: float = 10.0) -> None:
        """Let it end; it finds its pipe closed.  After `seconds` it is killed."""
        self.connection.close()
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        Path(self.setup.log).unlink(missing_ok=True)


def only_mine(path: str, flags: int) -> int:
    """A file that only its user reads: libraries write what they like to a log."""
    return os.open(path, flags, 0o600)


class Lane(tune.Trainable):
    """Each `step` is a unit of work, leased from the queue, recorded in the store and reported to Tune."""

    def setup(self, config: dict[str, Any], queue: Any = None, worker: Setup | None = None, max_gib: float = 0) -> None:
        assert worker is not None
        self.name, self.queue, self.max_bytes = f"{config['lane']}", queue, max_gib * 2**30
        log = Path(tempfile.gettempdir()) / f"em-lane-{self.name}-{os.getpid()}"
        self.worker, self.started = replace(worker, lane=self.name, log=str(log)), 0
        self.process: Process | None = None
        self.ahead: Process | None = None  # of the next lease, while the last grades of the process still come
        self.leases: deque[Lease] = deque()
        self.ended: list[tuple[str, Result]] = []  # that the queue has not heard of yet
        self.last_beat = 0.0
        self.dropped = False  # what is held is not to be finished
        node, gpus = os.uname().nodename, os.environ.get("CUDA_VISIBLE_DEVICES", "")
        ray.get(queue.join.remote(self.name, node, f"GPU {gpus} of {node}" if gpus else ""))
        try:
            self.store = self.insist(lambda: Store(worker.store))
            if not self.insist(lambda: notices(self.store)):
                raise InputError(f"store={worker.store}: this node does not see it; put it on a shared folder")
        except InputError as error:
            self.beat(str(error))
            raise

    def step(self) -> dict[str, Any]:
        try:
            return self.work_a_while()
        except Exception as error:  # Tune starts the lane again, and tells nobody why
            self.beat(f"{type(error).__name__}: {error}")
            raise

    def work_a_while(self) -> dict[str, Any]:
        """One unit or, where they are short, as many as fit into REPORT_SECONDS."""
        start, finished = time.monotonic(), []
        while not finished or time.monotonic() - start < REPORT_SECONDS:
            if not self.leases:
                leases: list[Lease] | Order = ray.get(self.queue.exchange.remote(self.name, self.ended))
                self.ended = []
                if leases is Order.end:
                    return {"trials": finished, "done": True}
                if isinstance(leases, Order):
                    time.sleep(self.worker.idle_seconds)
                    continue
                self.leases.extend(leases)
            lease = self.leases.popleft()
            outcome = self.lost(lease) if lease.lost else self.work(lease.unit, lease.attempt)
            self.ended.append((lease.unit.id, outcome))
            finished.append({"unit": lease.unit.id, "status": str(outcome.status), "seconds": outcome.seconds})
            while outcome.on_device and len(self.leases) > (self.ahead is not None):  # may go to other GPUs
                self.ended.append((self.leases.pop().unit.id, Result(None)))
            if self.max_bytes and outcome.memory > self.max_bytes:
                self.end_worker()
        return {"trials": finished}

    def cleanup(self) -> None:
        self.end_worker()
        self.end_worker()  # that was started ahead

    def work(self, unit: Unit, attempt: int) -> Result:
        """Hand the unit to the worker; a worker that dies while it is at the unit costs the unit an attempt."""
        model = unit.trial.base.id
        if self.process is not None and self.process.model != model:
            self.end_worker()
        ended = ""
        for _ in range(SILENT_DEATHS):
            if self.dropped:
                return Result(None)
            if self.process is None or (not self.process.given and self.process.popen.poll() is not None):
                self.end_worker()
                self.process = self.start(model)
                self.beat("starting worker", started=1)
            doing = ""
            try:
                if not self.process.given:
                    self.process.connection.send((unit, attempt))
                self.process.given = False
                while isinstance(message := self.receive(doing), Doing):
                    doing = message.doing
                    if message.sampled:
                        self.look_ahead(doing)
                return message
            except (EOFError, OSError):  # its end of the pipe is closed
                ended = self.process.ending()
                if doing and not self.dropped:  # else it may have fallen with its last unit, which is recorded
                    return self.record(unit, attempt, f"{ended} while {doing}")
        return Result(None) if self.dropped else self.record(unit, attempt, f"{ended} before it said anything")

    def look_ahead(self, doing: str) -> None:
        """Start the worker of the next lease, where that is of another model; this one is at its last grades.

        Where they have a GPU to themselves, the new one waits for it.
        """
        assert self.process is not None
        if self.ahead is not None or self.dropped or not self.worker.own_device:
            return
        if not self.leases:
            lease: Lease | None = ray.get(self.queue.look_ahead.remote(self.name))
            self.leases.extend([lease] if lease else [])
        following = self.leases[0] if self.leases else None
        if following and not following.lost and (model := following.unit.trial.base.id) != self.process.model:
            self.ahead = self.start(model)
            self.ahead.given = True
            with suppress(OSError):  # it has died: that shows when the lane comes to it
                self.ahead.connection.send((following.unit, following.attempt))
            self.beat(doing, started=1)

    def start(self, model: str) -> Process:
        self.started += 1
        return Process.start(replace(self.worker, log=f"{self.worker.log}-{self.started}.log"), model)

    def receive(self, doing: str) -> Doing | Result:
        """The worker's next message; the queue hears meanwhile that this lane lives."""
        assert self.process is not None
        if self.process.heard:
            return self.process.heard.popleft()
        connection, heard = self.process.connection, time.monotonic()
        if heard - self.last_beat > self.worker.beat_seconds:
            self.beat(doing)
        while not connection.poll(self.worker.beat_seconds):
            self.beat(doing)
            if time.monotonic() - heard > 2 * self.worker.stall_seconds:  # too far gone to end itself
                self.process.popen.kill()
        return connection.recv()

    def beat(self, doing: str, started: int = 0) -> None:
        self.last_beat, doing = time.monotonic(), masked(doing)
        ended, self.ended = self.ended, []
        order = ray.get(self.queue.beat.remote(self.name, doing, started, ended))
        self.dropped = self.dropped or order is Order.drop
        for process in (self.process, self.ahead):
            if process is not None and self.dropped:
                process.popen.kill()
        if self.ahead is not None:
            self.ahead.hear()

    def lost(self, lease: Lease) -> Result:
        return self.record(lease.unit, lease.attempt, LOST)

    def record(self, unit: Unit, attempt: int, error: str) -> Result:
        """Record a failed attempt of which nobody else can tell; unless its record was the worker's last deed."""
        try:
            if self.insist(lambda: self.store.is_recorded(unit.id)):
                return Result(Status.done)
            failure = self.insist(lambda: self.recorded_failure(unit, attempt))
            if failure is None:
                failure = new = self.failure(unit, attempt, error)
                self.insist(lambda: self.store.commit(new))
        except OSError as reason:
            return Result(None, unwritable=str(reason))
        said = failure.error or ""
        return Result(Status.failed, error=last_line(said), on_device=is_of_device(f"{said}{failure.log}"))

    def recorded_failure(self, unit: Unit, attempt: int) -> Record | None:
        """The attempt as the worker has recorded it."""
        pid = self.process.popen.pid if self.process else None
        found = self.store.failures(f"{unit.id}-")
        own = (of for of in found if (of.attempt, of.provenance.lane, of.provenance.pid) == (attempt, self.name, pid))
        return next(own, None)

    def failure(self, unit: Unit, attempt: int, error: str) -> Record:
        made = provenance(lane=self.name, device="unknown", started=datetime.now(UTC))
        log = tail((self.process.setup if self.process else self.worker).log)
        return Record.of(unit, made, attempt, status=Status.failed, error=error, log=log)

    def insist(self, work: Callable[[], T]) -> T:
        return insist(work, self.worker.outage_seconds, self.beat)

    def end_worker(self) -> None:
        """The one that was started ahead, where there is one, takes its place."""
        if self.process is not None:
            self.process.close()
        self.process, self.ahead = self.ahead, None


class Enough(tune.Stopper):
    """Tells Tune, in the driver, that lanes that still wait for room need not start."""

    reached = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return Enough.reached
