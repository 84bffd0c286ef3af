"""A trainer that does next to nothing: what is left of a sweep's cost is the queue's, the lanes' and the store's."""

import time
from collections.abc import Mapping

from em.store.record import EvaluationResult, Record, StepMetrics
from em.store.states import States
from em.train.trajectory import Finished, OnStep, Runner, Trajectory
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.unit import Unit

SECONDS = 0.0  # of a trial, in which it does nothing


class Trainer(Runner):
    device = "none"

    def __init__(self, model: Model, engine: EngineConfig) -> None:
        self.model = model

    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        """One step and every measurement, each of one problem."""
        on_step(0)
        time.sleep(SECONDS)
        return Finished(
            unit,
            Trajectory(
                steps=[metrics(step) for step in range(1, unit.last_step + 1)],
                evaluations=[
                    EvaluationResult(
                        step=measurement.step,
                        evaluation_id=measurement.evaluation.id,
                        benchmark=measurement.evaluation.benchmark.name,
                        temperature=measurement.evaluation.temperature,
                        problems=1,
                        samples=1,
                        accuracy=(unit.trial.seed % 10) / 10,
                        correct=[True],
                        extracted=["1"],
                        lengths=[2],
                        truncated=[False],
                        texts=["#1"],
                    )
                    for measurement in unit.measurements
                ],
            ),
        )

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Slow(Trainer):
    """As long as a sweep of them has to be stopped."""

    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        time.sleep(0.1)
        return super().run(unit, on_step, recorded, states)


def metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step, loss=1.0, entropy=1.0, logprob=-1.0, tokens=64, mean_length=1.0, truncated=0.0, grad_norm=1.0
    )
