"""What a unit of work costs: how much is sampled, trained and measured, and how long that takes.

From recorded timings of like trials where there are any, else from operations and bytes of a named GPU.
Needs neither Ray nor torch nor vLLM.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean
from typing import Any, NamedTuple

import polars as pl

from em.evaluation.problems import problems
from em.store import Store
from em.trial.evaluation import Evaluation
from em.trial.model import Model
from em.trial.rollout import Rollout
from em.trial.trial import Trial
from em.trial.unit import Unit
from em.trial.written import trial_from

READ = 24  # records of one kind whose timings are read, spread over all that there are
OTHERS = 64  # records of trials that the sweep does not want, in which like ones are looked for: the latest
LEAVES = ["trial_id", "unit_id", *(f"seconds.list.element.{part}" for part in ("sample", "train", "push"))]


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Of a lane."""

    sampling: float = 0.0
    training: float = 0.0  # forward and backward passes, update, push to the engine
    evaluation: float = 0.0
    turnover: float = 0.0  # between two units, and workers that start and load

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(**{name: getattr(self, name) + getattr(other, name) for name in PARTS})

    def __mul__(self, factor: float) -> Seconds:
        return Seconds(**{name: getattr(self, name) * factor for name in PARTS})

    @property
    def total(self) -> float:
        return sum(getattr(self, name) for name in PARTS)


PARTS = [part.name for part in fields(Seconds)]


@dataclass(frozen=True)
class Amount:
    """How much a unit of work is."""

    steps: int  # that are trained ...
    sampled_steps: int  # ... and of these those that are sampled, not replayed
    answers: Mapping[int, int]  # that are measured, at all steps, by their token limit

    @property
    def measured(self) -> int:
        return sum(self.answers.values())


class Amounts:
    """The amounts of units, thousands of which measure the same."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.known: dict[tuple[object, ...], Amount] = {}

    def of(self, unit: Unit, recorded_steps: int = 0) -> Amount:
        """`recorded_steps`: of the record whose tokens are trained on again."""
        key = (unit.id.partition("-")[2], unit.trial.is_base, recorded_steps)
        if key not in self.known:
            steps = 0 if unit.trial.is_base else unit.last_step
            answers: dict[int, int] = defaultdict(int)
            for evaluation in (measurement.evaluation for measurement in unit.measurements):
                answers[evaluation.benchmark.max_new_tokens] += self.answers(evaluation)
            self.known[key] = Amount(steps, max(0, steps - recorded_steps), dict(answers))
        return self.known[key]

    def answers(self, evaluation: Evaluation) -> int:
        benchmark = evaluation.benchmark
        if benchmark.digest not in self.counts:
            self.counts[benchmark.digest] = len(problems(benchmark))
        return self.counts[benchmark.digest] * evaluation.samples


def size(model: Model) -> str:
    """What models that take as long have in common."""
    if model.pretrain is not None:
        recipe = model.pretrain
        return f"tiny {recipe.hidden} {recipe.layers} {recipe.heads} {recipe.intermediate}"
    return f"{model.path} {model.precision.value}"


class Kind(NamedTuple):
    """What trials that take as long a step have in common."""

    size: str
    engine: str
    objective: str
    rollout: tuple[int, int, bool]  # samples, token limit, several prompts


def kind_of(trial: Trial) -> Kind:
    phase = trial.phase
    rollout = phase.rollout if phase else Rollout()
    several = bool(rollout.samples_per_prompt)
    objective = phase.objective.name if phase else ""
    shape = (rollout.samples, rollout.max_new_tokens, several) if phase else (0, 0, False)
    return Kind(size(trial.model), trial.engine.engine.value, objective, shape)


@dataclass(frozen=True)
class Observation:
    """What a recorded unit took."""

    cell: str  # id of seed 0 of its trial
    kind: Kind
    amount: Amount
    took: Seconds


def observations(store: Store, records: pl.DataFrame, wanted: Iterable[Unit]) -> list[Observation]:
    """Of the records of the wanted units and, where there are few of a kind, of the latest others; a record that was
    followed further, or went on from a state, says nothing of what the whole takes."""
    by_id = {unit.trial.id: unit for unit in wanted}
    rows = records.filter(
        pl.col("provenance").struct.field("replayed").is_null() & pl.col("provenance").struct.field("resumed").is_null()
    ).select(
        "unit_id",
        "trial_id",
        "evaluations",
        steps=pl.col("steps").list.len(),
        seconds=pl.col("provenance").struct.field("seconds"),
        turnover=pl.col("provenance").struct.field("turnover_seconds"),
        started=pl.col("provenance").struct.field("started"),
    )
    rows = rows.sort("started", descending=True)
    own = rows.filter(pl.col("trial_id").is_in(list(by_id)))
    others = rows.filter(~pl.col("trial_id").is_in(list(by_id))).head(OTHERS)
    read: dict[Kind, list[Mapping[str, Any]]] = defaultdict(list)
    trials: dict[str, Trial] = {}
    for row in own.iter_rows(named=True):
        trials[row["unit_id"]] = by_id[row["trial_id"]].trial
        read[kind_of(trials[row["unit_id"]])].append(row)
    for leaf in store.leaves(others["unit_id"], ["unit_id", "trial"]):
        trials[leaf["unit_id"]] = trial_from(json.loads(leaf["trial"]))
    for row in others.iter_rows(named=True):
        read[kind_of(trials[row["unit_id"]])].append(row)
    made = []
    for kind, found in read.items():
        chosen = {row["unit_id"]: row for row in found[:: max(1, len(found) // READ)][:READ]}
        for leaf in store.leaves(chosen, LEAVES):
            row, steps = chosen[leaf["unit_id"]], leaf["seconds"] or []
            sampling = sum(step["sample"] for step in steps)
            training = sum(step["train"] + step["push"] for step in steps)
            measured = {0: sum(item["problems"] * item["samples"] for item in row["evaluations"] or [])}
            took = Seconds(
                sampling=sampling,
                training=training,
                evaluation=max(0.0, row["seconds"] - sampling - training),
                turnover=row["turnover"] or 0.0,
            )
            cell = trials[row["unit_id"]].with_seed(0).id
            made.append(Observation(cell, kind, Amount(row["steps"], row["steps"], measured), took))
    return made


class Gpu(NamedTuple):
    """What its data sheet says."""

    flops: float  # a second, bf16, dense
    bandwidth: float  # bytes a second of its memory


GPUS = {
    "H200": Gpu(989e12, 4.8e12),
    "H100": Gpu(989e12, 3.35e12),
    "A100": Gpu(312e12, 2.0e12),
    "L40S": Gpu(362e12, 0.86e12),
}
REACHED = 0.4  # share of the operations that training and decoding reach ...
READ_AT = 0.6  # ... and of the bandwidth
RECOMPUTED = 4 / 3  # forward passes that are made twice to save memory
UPDATE_BYTES = 30  # of a parameter, that an update reads and writes: fp32 weights, gradient, two moments
ANSWER = 0.4  # of the token limit, the length of an answer, where none is recorded
LOAD_SECONDS = 90.0  # of a worker that loads a model of 7B
TINY_STEP = Seconds(sampling=0.13, training=0.08)  # of 64 answers of 24 tokens of the tiny model, on one core
TINY_ANSWER = 0.0014  # seconds
TINY_LOAD = 8.0


@dataclass(frozen=True)
class Stated:
    """Seconds where nothing alike is recorded: of the tiny model as measured on one core of a server, of others from
    operations and bytes of a GPU."""

    gpu: Gpu

    def step(self, trial: Trial) -> Seconds:
        assert trial.phase is not None
        rollout, billions = trial.phase.rollout, trial.model.parameters
        if trial.model.pretrain is not None:
            return TINY_STEP * (rollout.samples * rollout.max_new_tokens / (64 * 24))
        length = ANSWER * rollout.max_new_tokens
        tokens, weights = rollout.samples * length, billions * 1e9
        training = RECOMPUTED * 6 * weights * tokens / (REACHED * self.gpu.flops)
        training += UPDATE_BYTES * weights / (READ_AT * self.gpu.bandwidth)
        return Seconds(sampling=rollout.max_new_tokens * self.decode(weights, rollout.samples), training=training)

    def answer(self, model: Model, limit: int, together: int) -> float:
        if model.pretrain is not None:
            return TINY_ANSWER * limit / 24
        return ANSWER * limit * self.decode(model.parameters * 1e9, together) / together

    def load(self, model: Model) -> float:
        return TINY_LOAD if model.pretrain is not None else LOAD_SECONDS * max(0.3, model.parameters / 7)

    def decode(self, weights: float, together: int) -> float:
        """A token of each of so many sequences."""
        reading = 2 * weights / (READ_AT * self.gpu.bandwidth)
        return max(reading, 2 * weights * together / (REACHED * self.gpu.flops))


class Costs:
    """What units take, from what was observed; `measured` says of a unit whether it is."""

    def __init__(self, observed: Sequence[Observation], stated: Stated, amounts: Amounts) -> None:
        self.stated, self.amounts = stated, amounts
        steps: dict[object, list[Seconds]] = defaultdict(list)
        answers: dict[str, list[float]] = defaultdict(list)
        for seen in observed:
            if seen.amount.steps:
                each = seen.took * (1 / seen.amount.steps)
                for key in (seen.cell, seen.kind):
                    steps[key].append(replace(each, evaluation=0.0, turnover=0.0))
            if seen.amount.measured:
                answers[seen.kind.size].append(seen.took.evaluation / seen.amount.measured)
        self.steps = {key: mean(values) for key, values in steps.items()}
        self.answers = {key: fmean(values) for key, values in answers.items()}
        turnovers = [seen.took.turnover for seen in observed if seen.took.turnover]
        self.turnover = fmean(turnovers) if turnovers else 0.1
        self.cache: dict[tuple[object, ...], Seconds] = {}

    def is_measured(self, unit: Unit) -> bool:
        trained = unit.trial.is_base or kind_of(unit.trial) in self.steps
        return trained and size(unit.trial.model) in self.answers

    def ratio(self, seen: Observation) -> float | None:
        """What a recorded trained unit took, to what is expected of one of its kind; None of a base model."""
        if not seen.amount.steps:
            return None
        expected = self.steps[seen.kind] * seen.amount.steps
        answers = self.answers.get(seen.kind.size, 0.0) * seen.amount.measured
        return (seen.took.total - seen.took.turnover) / (expected.sampling + expected.training + answers)

    def of(self, unit: Unit, recorded_steps: int = 0) -> Seconds:
        trial, amount = unit.trial, self.amounts.of(unit, recorded_steps)
        kind = kind_of(trial)
        cell = trial.with_seed(0).id if self.steps else ""
        key = (cell if cell in self.steps else kind, unit.id.partition("-")[2], recorded_steps)
        if key not in self.cache:
            step = Seconds()
            if not trial.is_base:
                step = self.steps.get(cell) or self.steps.get(kind) or self.stated.step(trial)
            self.cache[key] = Seconds(
                sampling=step.sampling * amount.sampled_steps,
                training=step.training * amount.steps,
                evaluation=self.evaluation(trial, amount),
                turnover=self.turnover,
            )
        return self.cache[key]

    def evaluation(self, trial: Trial, amount: Amount) -> float:
        known, together = self.answers.get(size(trial.model)), trial.engine.max_num_seqs
        each = (known or self.stated.answer(trial.model, limit, together) for limit in amount.answers)
        return sum(count * seconds for count, seconds in zip(amount.answers.values(), each, strict=True))


def mean(values: Sequence[Seconds]) -> Seconds:
    return sum(values, Seconds()) * (1 / len(values))
