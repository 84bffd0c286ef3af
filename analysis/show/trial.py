"""All that a store holds of one trial: its records united, and the base model's measurements beside its own.

P problems of one benchmark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.find import reach, resolve
from analysis.show import settings
from analysis.tables import of_trials, scores_of
from em.errors import InputError
from em.store import Store, index, schema
from em.store.record import EvaluationResult, Record, Status
from em.store.recorded import evaluations_of
from em.trial.trial import Trial

ALWAYS = ("loss", "entropy", "grad_norm", "mean_length", "truncated")  # curves of StepMetrics ...
MORE = ("logprob", "tokens")  # ... and those that few want


@dataclass(frozen=True)
class OneTrial:
    record: Record  # what was named; a failed attempt where the trial has no record
    records: list[Record]  # all of the trial, with the latest grades, the earliest first
    attempts: list[Record]  # that failed, the earliest first
    trial: Trial | None  # None: its config cannot be read
    results: list[EvaluationResult]  # each measurement once: by step, temperature, benchmark
    base: dict[
        str, EvaluationResult
    ]  # of the base model, by the trial's evaluation id; empty for the base model itself
    notes: list[str]  # what a reader should know

    @property
    def last_step(self) -> int | None:
        """After which it was measured last; None where it was not."""
        return max((result.step for result in self.results), default=None)

    @property
    def latest(self) -> list[EvaluationResult]:
        """Of each evaluation the last measurement: by temperature, step, benchmark."""
        last = {result.evaluation_id: result for result in self.results}
        return sorted(last.values(), key=lambda result: (result.temperature, result.step, result.benchmark))


class Comparison(NamedTuple):
    """Two models on the same problems."""

    difference: float  # of the accuracies
    error: float  # its standard error over problems; nan for a single one
    problems: int


class Curve(NamedTuple):
    name: str
    steps: Sequence[int]
    values: Sequence[float | None]  # None: not recorded


def gather(store: Store, word: str) -> OneTrial:
    """The trial that a word names (analysis.find).  Raises InputError where it names none, or a record is damaged."""
    named = resolve(store, "TRIAL", word)
    attempts = sorted(store.failures(named.trial_id), key=lambda attempt: attempt.provenance.started)
    records = graded(store, named.trial_id)
    if named.status is not Status.failed:
        record = next((record for record in records if record.unit_id == named.unit_id), named)
    else:
        record = max(records, key=reach, default=named)
    trial, note = settings.read(record)
    notes = [note] if note else []
    base: dict[str, EvaluationResult] = {}
    if trial is not None and not trial.is_base:
        try:
            measured = united(graded(store, trial.base.id))
            of_base = {result.evaluation_id: result for result in measured if result.step == 0}
            base = {own: of_base[its] for own, its in bases_of(records or [record]).items() if its in of_base}
        except InputError as error:
            notes.append(f"base model: {error}")
    return OneTrial(record, records, attempts, trial, united(records or [record]), base, notes)


def bases_of(records: Sequence[Record]) -> dict[str, str]:
    """By evaluation that trials were measured by, the one that the base model is."""
    return {key: of.of_base.id for record in records for key, of in evaluations_of(record).items()}


def graded(store: Store, trial_id: str) -> list[Record]:
    """The records of a trial, with the latest grades, the earliest first."""
    units = store.units_of([trial_id])
    latest = store.latest_grades(units)
    return sorted((store.graded(unit, latest) for unit in units), key=lambda record: record.provenance.started)


def united(records: Sequence[Record]) -> list[EvaluationResult]:
    """What was measured of one trial, each measurement once: of several the one that figures show (analysis.tables)."""
    if not records:
        return []
    rows = pl.concat([index.rows_of(schema.frame([record])) for record in records])
    scores = scores_of(of_trials(rows, {record.trial_id for record in records}))
    scores = scores.sort("step", "temperature", "benchmark", "evaluation_id")
    measured = {(it.unit_id, result.step, result.evaluation_id): result for it in records for result in it.evaluations}
    return [measured[key] for key in scores.select("unit_id", "step", "evaluation_id").iter_rows()]


def compared(own: EvaluationResult, base: EvaluationResult) -> Comparison | None:
    """A trial and its base model on the problems that both answered, one difference a problem.

    None where the grades of single answers are not recorded.  An answer without a grade counts as wrong.
    """
    x_P, y_P = shares(own), shares(base)
    if y_P is not None and own.asked:
        y_P = y_P[own.asked]
    if x_P is None or y_P is None or len(x_P) != len(y_P):
        return None
    difference_P = x_P - y_P
    error = np.std(difference_P, ddof=1) / len(difference_P) ** 0.5 if len(difference_P) > 1 else np.nan
    return Comparison(float(np.mean(difference_P)), float(error), len(difference_P))


def shares(result: EvaluationResult) -> NDArray | None:
    """[P], the share of correct answers to each problem."""
    if not result.correct or len(result.correct) != result.problems * result.samples:
        return None
    correct_K = np.array([verdict is True for verdict in result.correct], dtype=float)
    return correct_K.reshape(result.problems, result.samples).mean(axis=1)


def curves(record: Record, everything: bool = False) -> Iterator[Curve]:
    """What was recorded of each step, then what its method records by names of its own."""
    steps = [metrics.step for metrics in record.steps]
    for name in (*ALWAYS, *(MORE if everything else ())):
        yield Curve(name, steps, [getattr(metrics, name) for metrics in record.steps])
    for name in dict.fromkeys(metric.name for metric in record.metrics):
        of = [metric for metric in record.metrics if metric.name == name]
        yield Curve(name, [metric.step for metric in of], [metric.value for metric in of])


def score_curves(of: OneTrial) -> Iterator[Curve]:
    """At each evaluation temperature the mean accuracy over benchmarks, in per cent, at the steps that have them all.

    Step 0 is the base model's where nothing came before.
    """
    start = list(of.base.values()) if of.trial is not None and not of.trial.before else []
    measured = {(result.step, result.evaluation_id): result for result in (*start, *of.results)}
    for (temperature, _), group in groupby(of.latest, key=lambda result: (result.temperature, result.step)):
        wanted = [result.evaluation_id for result in group]
        steps = sorted({step for step, _ in measured})
        whole = [step for step in steps if all((step, key) in measured for key in wanted)]
        means = [100 * fmean(measured[step, key].accuracy for key in wanted) for step in whole]
        yield Curve(f"score at {temperature:g}", whole, means)
