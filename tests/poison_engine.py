"""The real trainer, in which some trials are poison."""

import os
import time
from collections.abc import Mapping
from typing import Any

from em.store.record import Record
from em.store.states import States
from em.train import trainer
from em.train.sampling import Sampling
from em.train.trajectory import Finished, OnStep
from em.trial.trial import Trial
from em.trial.unit import Unit

POISON = {1: "exit", 2: "hang", 3: "raise"}  # by seed, at the rate that the tiny model is trained with


class Trainer(trainer.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        phase = unit.trial.phase
        trained_well = phase is not None and phase.optimizer.lr < 1 and phase.rollout.max_new_tokens == 24
        kind = POISON.get(unit.trial.seed) if trained_well else None
        if kind == "exit":
            os._exit(3)
        if kind == "hang":
            time.sleep(3600)
        return super().run(unit, on_step, recorded, states)


sampled = Sampling.samples


def samples(self: Sampling, trial: Trial, phase: Any, prompts: Any, step: int, alive: Any) -> Any:
    if POISON.get(trial.seed) == "raise" and step == 2:
        raise ValueError("poison")
    return sampled(self, trial, phase, prompts, step, alive)


Sampling.samples = samples
