"""Near-empty trials in which libraries talk too much: some fail, and say the keys that they were given."""

import os
from collections.abc import Mapping

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.unit import Unit
from tests import near_empty

FAILS = 1  # the seed whose trials do


def everything() -> str:
    """What a library may know, in the ways that libraries say it."""
    keys = " ".join(f"{name}={value}" for name, value in os.environ.items() if name.endswith(("TOKEN", "KEY")))
    return f"{keys} https://someone:planted-password@host/path Authorization: Bearer planted-bearer"


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        print(everything(), flush=True)
        if unit.trial.seed == FAILS:
            raise ConnectionError(everything())
        return super().run(unit, on_step, recorded, states)
