"""A trainer that does next to nothing: what is left of a sweep's cost is the queue's, the lanes' and the store's."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from em.store.provenance import provenance
from em.store.record import EvaluationResult, Record, Status, StepMetrics
from em.trial.model import Model
from em.trial.rollout import Rollout
from em.trial.unit import Unit


class Trainer:
    def __init__(self, model: Model, rollout: Rollout) -> None:
        self.model = model

    def run(
        self,
        unit: Unit,
        attempt: int = 1,
        lane: str = "",
        last_commit: float | None = None,
        on_step: Callable[[int], None] = lambda step: None,
        recorded: Record | None = None,
    ) -> Record:
        """A record of one step and of every measurement, each of one problem."""
        started = datetime.now(UTC)
        on_step(0)
        return Record.of(
            unit,
            status=Status.done,
            attempt=attempt,
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
            provenance=provenance(
                lane=lane,
                device="none",
                started=started,
                turnover_seconds=None if last_commit is None else time.monotonic() - last_commit,
            ),
        )

    def reset(self) -> None:
        pass


def metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step, loss=1.0, entropy=1.0, logprob=-1.0, tokens=64, mean_length=1.0, truncated=0.0, grad_norm=1.0
    )
