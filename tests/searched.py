"""A trainer whose accuracy is a known function of learning rate and temperature, with noise that the seed draws."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps.__main__ import main
from tests import near_empty

NOISE = 0.02
SECONDS = 0.05


def expected(trial: Trial) -> float:
    """The best is .8, at a rate of 1e-3 and a temperature of 1.2."""
    assert trial.phase is not None
    rate, temperature = math.log10(trial.phase.optimizer.lr), trial.phase.rollout.temperature
    return 0.8 - 0.15 * (rate + 3) ** 2 - 0.2 * (temperature - 1.2) ** 2


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        finished = super().run(unit, on_step, recorded, states)
        time.sleep(SECONDS)
        if unit.trial.is_base:
            return finished
        noise = np.random.default_rng(int(unit.trial.id[:8], 16)).standard_normal()
        accuracy = min(1.0, max(0.0, expected(unit.trial) + NOISE * noise))
        own = [replace(item, accuracy=accuracy) for item in finished.trajectory.evaluations]
        return replace(finished, trajectory=replace(finished.trajectory, evaluations=own))


if __name__ == "__main__":
    main(sys.argv[1:], trainer="tests.searched:Trainer")
