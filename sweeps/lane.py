"""A lane: a Ray Tune trial that lives as long as the sweep, holds one model and one engine, and takes unit after unit.

One model a Tune trial costs the driver several times as much, and actor restarts that load everything again.
"""

import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from em.config import Unit
from em.errors import InputError
from em.provenance import provenance
from em.quiet import quiet_libraries
from em.record import Record, Status
from em.store import Store

LOST = "the lane's process died during this attempt"

if TYPE_CHECKING:
    from em.trainer import Trainer


class Lane(tune.Trainable):
    """Each `step` is one unit of work, leased from the queue, recorded in the store and reported to Tune."""

    def setup(self, config: dict[str, Any], queue: Any = None, store: str = "") -> None:
        quiet_libraries()
        self.name = f"{config['lane']}"
        self.queue, self.store = queue, Store(store)
        self.trainer: Trainer | None = None
        self.last_commit: float | None = None
        lost = ray.get(self.queue.join.remote(self.name))
        if lost:
            unit, attempt = lost
            if not self.is_recorded(unit):  # else it died between record and word of it
                self.finish(self.failure(unit, attempt, LOST))

    def step(self) -> dict[str, Any]:
        lease = ray.get(self.queue.lease.remote(self.name))
        if lease is None:
            return {"done": True}
        unit, attempt = lease
        if self.is_recorded(unit):  # by another launch, meanwhile
            return {"trial": unit.trial.id, "status": str(Status.done), "seconds": 0.0}
        try:
            record = self.work(unit, attempt)
        except InputError as error:  # a mistake in the config: no other attempt would do better
            ray.get(self.queue.stop.remote(str(error)))
            return {"done": True}
        except Exception:  # model or engine could not be loaded: Tune starts another process
            self.finish(self.failure(unit, attempt, traceback.format_exc()))
            raise
        self.finish(record)
        self.last_commit = time.monotonic()
        assert self.trainer is not None
        self.trainer.reset()  # raises where the engine is damaged: this process ends, Tune starts another
        return {"trial": unit.trial.id, "status": str(record.status), "seconds": record.provenance.seconds}

    def is_recorded(self, unit: Unit) -> bool:
        """Whether the leased unit has its record already; then its lease is over."""
        found = self.store.record_path(unit).exists()
        if found:
            ray.get(self.queue.finish.remote(self.name, Status.done, 0.0))
        return found

    def finish(self, record: Record) -> None:
        self.store.commit(record)
        summary = (record.error or "").strip().rpartition("\n")[2]
        ray.get(self.queue.finish.remote(self.name, record.status, record.provenance.seconds, summary))

    def work(self, unit: Unit, attempt: int) -> Record:
        label = unit.trial.model.label
        if self.trainer is None or not self.trainer.serves(unit.trial):
            self.load(unit)
        assert self.trainer is not None
        name = f"{label} base" if unit.trial.is_base else f"{label} {unit.trial.id}"

        def say(step: int) -> None:
            self.queue.say.remote(self.name, f"{name}  step {step}/{unit.last_step}")

        return self.trainer.run(unit, attempt, lane=self.name, last_commit=self.last_commit, on_step=say)

    def load(self, unit: Unit) -> None:
        """Load the unit's model and engine, in place of the ones before."""
        from em.trainer import Trainer

        self.queue.say.remote(self.name, f"loading {unit.trial.model.label} and engine")
        if self.trainer is not None:
            self.trainer.close()
            self.trainer = None  # its memory is free before the next one asks for its own
        self.trainer = Trainer(unit.trial.model, unit.trial.rollout)
        self.last_commit = None

    def failure(self, unit: Unit, attempt: int, error: str) -> Record:
        """The failed attempt of a process that got no record out of the trainer."""
        made = provenance(lane=self.name, device="unknown", started=datetime.now(UTC), turnover_seconds=None)
        return Record.of(unit, status=Status.failed, attempt=attempt, error=error, provenance=made)
