"""Near-empty trials: on the GPU that BROKEN_GPU names they fail as CUDA fails, others wait until it gets no more."""

import os
import time
from collections.abc import Mapping

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.unit import Unit
from sweeps.health import BROKEN
from tests import near_empty


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        on_step(0)
        if os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["BROKEN_GPU"]:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        assert states is not None
        while len(states.files.list("failed")) < BROKEN:
            time.sleep(0.1)
        return super().run(unit, on_step, recorded, states)
