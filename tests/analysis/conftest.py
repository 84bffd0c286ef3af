"""A hand-made store: real records of small trials, with the accuracies that a test asks for."""

from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

import polars as pl
import pytest

from analysis import load
from em.store import Store
from em.store.record import EvaluationResult, Provenance, Record, Status, WeightDigest
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase

AXIS = "rollout.temperature"
EVALUATIONS = [
    Evaluation(benchmark=Benchmark(name=name, suite=name, grader="tiny"), temperature=1.0, top_p=1.0, samples=8, seed=0)
    for name in ("sum", "max")
]
Commit = Callable[..., None]


def trial(temperature: float = 0.5, seed: int = 0) -> Trial:
    untrained = one_phase(model=Model(path="models/small"), prompts=Prompts(texts=["1+1="]), seed=seed)
    return with_value(untrained, f"phase.{AXIS}", temperature)


def value_on(trial: Trial, axis: str) -> object:
    owner = trial if axis.startswith("model") else trial.phase
    return reduce(getattr, axis.split("."), owner)


def cells(trials: Sequence[Trial], axis: str = AXIS) -> pl.DataFrame:
    """What a sweep of these trials wants."""
    return load.cells(trials, {axis: [value_on(trial, axis) for trial in trials]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def commit(store: Store) -> Commit:
    """Record a trial's accuracies, one for each evaluation, measured at one step of one attempt."""

    def commit(
        trial: Trial,
        accuracies: Sequence[float],
        evaluations: Sequence[Evaluation] = EVALUATIONS,
        step: int = 10,
        status: Status = Status.done,
        weights: str = "same",
        environment: str = "{}",
        started: str = "2026-01-01T00:00:00+00:00",
        timeouts: int | None = 0,
        grader_failures: int | None = 0,
        code_version: str = "abc",
    ) -> None:
        record = Record.of(
            Unit(trial, tuple(Measurement(step, evaluation) for evaluation in evaluations)),
            status=status,
            attempt=1,
            digests=[WeightDigest(step=step, sha256=weights)],
            evaluations=[
                EvaluationResult(
                    step=step,
                    evaluation_id=evaluation.id,
                    benchmark=evaluation.benchmark.name,
                    temperature=evaluation.temperature,
                    problems=1,
                    samples=evaluation.samples,
                    accuracy=accuracy,
                    correct=[True],
                    extracted=["2"],
                    lengths=[1],
                    truncated=[False],
                    texts=["2"],
                    timeouts=timeouts,
                    grader_failures=grader_failures,
                )
                for evaluation, accuracy in zip(evaluations, accuracies, strict=False)
            ],
            provenance=Provenance(
                attempt_id="a",
                node="n",
                pid=1,
                lane="",
                started=started,
                seconds=1.0,
                turnover_seconds=None,
                code_version=code_version,
                environment=environment,
            ),
        )
        assert store.commit(record)

    return commit
