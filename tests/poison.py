"""Near-empty trials, 1% of which are poison; every start of one is written down in the file that CHAOS_LOG names."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.unit import Unit
from tests import near_empty

POISON = {3: "exit", 11: "hang", 17: "raise", 29: "crash"}  # by seed, at the first temperature: 1% of the trials
TRIAL_SECONDS = 0.04


def poison_of(unit: Unit) -> str:
    phase = unit.trial.phase
    return POISON.get(unit.trial.seed, "") if phase and phase.rollout.temperature == 0.25 else ""


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        with Path(os.environ["CHAOS_LOG"]).open("a") as log:
            log.write(f"{unit.id}\n")
        on_step(0)
        time.sleep(TRIAL_SECONDS)
        match poison_of(unit):
            case "exit":
                os._exit(3)
            case "hang":
                print("about to hang", flush=True)
                time.sleep(3600)
            case "raise":
                raise ValueError("poison")
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
        return super().run(unit, on_step, recorded)
