"""A trainer that does next to nothing: the higher the temperature, the better, with half a point between seeds.

`python -m tests.sweep tests.racing:Trainer stopping=decided rollout.temperature=0.1,0.2 ...`; one trial always fails.
"""

from collections.abc import Mapping
from dataclasses import replace

from em.store.record import Record
from em.store.states import States
from em.train.trajectory import Finished, OnStep
from em.trial.trial import Trial
from em.trial.unit import Unit
from tests import near_empty
from tests.truth import normal

FAILS = (0.2, 1)  # temperature and seed


def score(trial: Trial) -> float:
    temperature = trial.phase.rollout.temperature if trial.phase else 0.0
    return 0.5 + 0.1 * temperature + 0.005 * normal("racing", f"{temperature}", trial.seed)


class Trainer(near_empty.Trainer):
    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        trial = unit.trial
        if trial.phase and (trial.phase.rollout.temperature, trial.seed) == FAILS:
            raise RuntimeError("this one fails")
        done = super().run(unit, on_step, recorded, states)
        measured = [replace(item, problems=1000, accuracy=score(trial)) for item in done.trajectory.evaluations]
        return replace(done, trajectory=replace(done.trajectory, evaluations=measured))
