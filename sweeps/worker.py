"""A lane's worker: the process that holds one model and one engine, and makes records of the units that it is given.

    python -m sweeps.worker FILE_DESCRIPTOR

There is no Ray in it, and it commits what it makes itself: when its lane, its node's Ray or the whole launch dies, it
finishes the unit that it is at, finds its pipe closed, and ends.
"""

import faulthandler
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from em.errors import InputError, UnavailableError
from em.model.cache import locked, locks
from em.model.checkpoint import checkpoint_folder
from em.model.hub import commit_of
from em.quiet import quiet_libraries
from em.store import Store
from em.store.provenance import provenance
from em.store.record import Record, Status
from em.store.schema import DamagedError
from em.train.trajectory import Runner
from em.trial.unit import Unit
from sweeps.protocol import Doing, Result, Setup, T, insist, is_of_device, last_line, tail

WAIT_SECONDS = 1.0  # for a GPU, between two words to the lane


class Worker:
    def __init__(self, connection: Connection, setup: Setup) -> None:
        self.connection, self.setup = connection, setup
        self.store = self.insist(lambda: Store(setup.store))
        self.trainer: Runner | None = None
        self.last_commit: float | None = None
        self.commit_read: str | None = None  # of the hub, that the model's checkpoint is

    def serve(self) -> None:
        """Work until the lane closes the pipe; ends the process where model and engine are not fit for another unit."""
        with suppress(EOFError, ConnectionResetError):
            unit, attempt = self.receive()
            with suppress(Exception):  # it is raised again, and recorded, when the unit is begun
                pkgutil.resolve_name(self.setup.trainer).prepare(unit.trial.model, unit.trial.engine)
            with own_device(self):
                while True:
                    outcome = self.work(unit, attempt)
                    self.send(outcome)
                    if outcome.on_device or (self.trainer is None and outcome.status is Status.failed):
                        break
                    if self.trainer is not None:
                        self.trainer.reset()  # raises where the engine is damaged
                    faulthandler.cancel_dump_traceback_later()
                    unit, attempt = self.receive()
        self.store.flush()

    def receive(self) -> tuple[Unit, int]:
        unit, attempt = self.connection.recv()
        self.tell(Doing(f"starting {name_of(unit)}"))
        return unit, attempt

    def work(self, unit: Unit, attempt: int) -> Result:
        start = time.monotonic()
        try:
            claim = self.insist(lambda: self.store.claim(unit.id, self.setup.lane, self.setup.lease_seconds))
            if claim is None:
                return Result(None)
            with claim:
                if self.insist(lambda: self.store.is_recorded(unit.id)):  # by another launch, meanwhile
                    return Result(Status.done)
                try:
                    record, final = self.make(unit, attempt), False
                except InputError as error:
                    final = not isinstance(error, UnavailableError)
                    record = self.failure(unit, attempt, f"{type(error).__name__}: {error}")
                except Exception:  # model or engine could not be loaded
                    record, final = self.failure(unit, attempt, traceback.format_exc()), False
                if record.status is Status.failed:
                    record.unit_id = unit.id  # also where the whole was measured anew
                    record.log = tail(self.setup.log)
                outcome = self.commit(record, final)
        except OSError as error:  # of the store
            return Result(None, unwritable=str(error))
        return replace(outcome, seconds=time.monotonic() - start)

    def make(self, unit: Unit, attempt: int) -> Record:
        if (trainer := self.trainer) is None:
            model = unit.trial.model
            if model.from_hub:
                self.commit_read = commit_of(checkpoint_folder(model, tell=lambda said: self.tell(Doing(said))))
            self.tell(Doing(f"loading {model.label} and engine"))
            runner: type[Runner] = pkgutil.resolve_name(self.setup.trainer)
            self.trainer = trainer = runner(model, unit.trial.engine)
        try:
            recorded = self.insist(lambda: self.store.replayable(unit))
        except DamagedError:
            unit, recorded = unit.anew, {}
        started, name, last = datetime.now(UTC), name_of(unit), unit.last_step
        turnover = None if self.last_commit is None else time.monotonic() - self.last_commit

        def on_step(step: int | None) -> None:
            at = "waits for grades" if step is None else f"step {step}/{last}"
            self.tell(Doing(f"{name}  {at}", sampled=step is None))

        done = trainer.run(unit, on_step, recorded, self.store.states)
        made = provenance(
            lane=self.setup.lane,
            device=trainer.device,
            started=started,
            turnover_seconds=turnover,
            replayed=done.replayed,
            resumed=done.resumed,
            model_commit=self.commit_read,
        )
        return Record.of(done.unit, made, attempt, **vars(done.trajectory))

    def failure(self, unit: Unit, attempt: int, error: str) -> Record:
        made = provenance(lane=self.setup.lane, device="unknown", started=datetime.now(UTC))
        return Record.of(unit, made, attempt, status=Status.failed, error=error)

    def commit(self, record: Record, final: bool) -> Result:
        self.insist(lambda: self.store.commit(record))
        self.last_commit = time.monotonic()
        error = record.error or ""
        on_device = record.status is Status.failed and is_of_device(error)
        return Result(record.status, error=last_line(error), final=final, memory=resident_bytes(), on_device=on_device)

    def insist(self, write: Callable[[], T]) -> T:
        return insist(write, self.setup.outage_seconds, lambda said: self.tell(Doing(said)))

    def tell(self, progress: Doing) -> None:
        """Say what is being done; who says nothing for `stall_seconds` is ended, and its log shows where it hung."""
        faulthandler.dump_traceback_later(self.setup.stall_seconds, exit=True)  # needs no interpreter lock
        self.send(progress)

    def send(self, message: Doing | Result) -> None:
        with suppress(OSError):  # the lane is dead: this unit is finished all the same
            self.connection.send(message)


@contextmanager
def own_device(worker: Worker) -> Iterator[None]:
    """The GPUs of this lane; waits until its worker before, or that of a launch that died, has left them."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not gpus or not worker.setup.own_device:
        yield
        return

    def waits() -> None:  # who has it has a watchdog of its own
        if worker.connection.poll():  # only its end can come: the lane is gone, and nothing has been begun
            raise EOFError
        worker.tell(Doing(f"waiting for GPU {gpus}, at which another worker still is"))

    with locked(locks() / f"{os.uname().nodename}-gpu-{gpus}", WAIT_SECONDS, waits):
        yield


def name_of(unit: Unit) -> str:
    return f"{unit.trial.model.label} {'base' if unit.trial.is_base else unit.trial.id}"


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a node that is drained sends it to everyone: finish the unit first
    quiet_libraries()
    connection = Connection(int(sys.argv[1]))
    Worker(connection, connection.recv()).serve()
    os._exit(0)  # nothing is left to do, and engines take seconds to be taken apart


if __name__ == "__main__":
    main()
