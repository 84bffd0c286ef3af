"""Near-empty trials whose grades come late: once the file NAME.graded, of their model, is in the folder LATE_GRADES.

Who is at a trial is said by the file UNIT.pid there.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.unit import Unit
from tests import near_empty
from tests.processes import wait_for

MESSAGES = 400  # more than a pipe holds


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        folder = Path(os.environ["LATE_GRADES"])
        done = super().run(unit, on_step, recorded)
        for _ in range(MESSAGES):
            on_step(0)
        on_step(None)
        (folder / "new").write_text(f"{os.getpid()}")
        (folder / "new").rename(folder / f"{unit.id}.pid")
        wait_for((folder / f"{self.model.label}.graded").exists)
        return done
