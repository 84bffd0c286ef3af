"""A hand-made store: real records of small trials, with the accuracies that a test asks for; what is drawn of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from analysis import load, seeds
from analysis.draw import Drawn, computed, pictures, specification
from analysis.figures import Figure, check
from em.store import Store
from em.store.record import EvaluationResult, LogitDistribution, Provenance, Record, Status, StepMetrics, WeightDigest
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.sample import Sample
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase

AXIS, LR = "rollout.temperature", "optimizer.lr"
EVALUATIONS = [
    Evaluation(benchmark=Benchmark(name=name, suite=name, grader="tiny"), temperature=1.0, top_p=1.0, samples=8, seed=0)
    for name in ("sum", "max")
]
Commit = Callable[..., None]
Scores = Mapping[tuple[Any, ...], Sequence[float | str]]  # by the values on the axes: each seed's, or what became of it


def trial(temperature: float = 0.5, seed: int = 0) -> Trial:
    untrained = one_phase(model=Model(path="models/small"), prompts=Prompts(texts=["1+1="]), seed=seed)
    return with_value(untrained, f"phase.{AXIS}", temperature)


def value_on(trial: Trial, axis: str) -> object:
    owner = trial if axis.startswith("model") else trial.phase
    return reduce(getattr, axis.split("."), owner)


def cells(trials: Sequence[Trial], *axes: str, last: int = 10) -> pl.DataFrame:
    """What a sweep of these trials wants, measured up to step `last`."""
    values = {axis: [value_on(trial, axis) for trial in trials] for axis in axes or (AXIS,)}
    return seeds.cells(trials, values, [last] * len(trials))


def swept(commit: Commit, scores: Scores, axes: Sequence[str] = (AXIS,), base: float | None = 0.3) -> list[Trial]:
    """Record a sweep, every benchmark with the seed's score; the trials that it wants.

    In place of a score stands `diverged`, `failed` or `missing`.
    """
    trials = []
    for values, cell in scores.items():
        for seed, score in enumerate(cell):
            own = trial(seed=seed)
            for axis, value in zip(axes, values, strict=True):
                own = with_value(own, axis if axis.startswith("model") else f"phase.{axis}", value)
            trials.append(own)
            if isinstance(score, float):
                commit(own, [score, score])
            elif score != "missing":
                commit(own, [], status=Status(score))
    if base is not None:
        commit(trial().base, [base, base], step=0)
    return trials


def drawn(store: Store, figure: Figure, wanted: pl.DataFrame) -> Drawn:
    """As `python -m sweeps.figures` draws it."""
    check(figure, wanted)
    return computed(figure, wanted, load(store, {*wanted["trial_id"], *wanted["base_id"], *wanted["start_id"]}))


def average(of: Drawn) -> pl.DataFrame:
    return of.numbers.filter(pl.col("metric") == seeds.AVERAGE)


def layers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The marks of a chart, whatever they are nested in."""
    nested = [part for name in ("layer", "hconcat", "vconcat") for part in spec.get(name, [])]
    for part in nested:
        yield from layers(part)
    if "mark" in spec:
        yield dict(spec)


def marks(spec: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The layers of one kind of mark."""
    return [layer for layer in layers(spec) if layer["mark"]["type"] == kind]


def svg(of: Drawn) -> ElementTree.Element:
    """The picture, as it is saved."""
    return ElementTree.fromstring(pictures(specification(of))["svg"])


def texts(picture: ElementTree.Element) -> list[str]:
    """What is written in a picture, line by line."""
    written = list(picture.iter("{http://www.w3.org/2000/svg}text"))
    lines = [line for item in written for line in (list(item) or [item])]
    return [line.text for line in lines if line.text]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def commit(store: Store) -> Commit:
    """Record a trial's accuracies, one for each evaluation, measured at one step of one attempt.

    `losses` are of its steps; step s is trained on one sample of 10 s tokens, to a prompt of three.
    """

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
        grader_version: int | None = None,
        losses: Sequence[float] = (),
        distribution: LogitDistribution | None = None,
    ) -> None:
        record = Record.of(
            Unit(trial, tuple(Measurement(step, evaluation) for evaluation in evaluations)),
            status=status,
            attempt=1,
            digests=[WeightDigest(step=step, sha256=weights)],
            prompts=[[1, 2, 3]],
            steps=[
                StepMetrics(
                    step=place,
                    loss=loss,
                    entropy=loss,
                    logprob=-loss,
                    tokens=10 * place,
                    mean_length=10.0 * place,
                    truncated=0.0,
                    grad_norm=1.0,
                )
                for place, loss in enumerate(losses, 1)
            ],
            rollouts=[
                Sample(step=place, prompt=0, token_ids=[1] * 10 * place, truncated=False)
                for place, _ in enumerate(losses, 1)
            ],
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
                    grader_version=grader_version,
                    distributions=[distribution] if distribution else None,
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
