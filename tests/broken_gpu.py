"""Near-empty trials, which fail on the GPU that BROKEN_GPU names, as CUDA fails."""

import os
from collections.abc import Mapping

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.unit import Unit
from tests import near_empty


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        on_step(0)
        if os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["BROKEN_GPU"]:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        return super().run(unit, on_step, recorded, states)
