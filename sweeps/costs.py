"""What a unit of work costs: how much is sampled, trained and measured, and how long that takes.

From recorded timings of like trials where there are any, else as `sweeps.stated` reckons.
Needs neither Ray nor torch nor vLLM.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import polars as pl

from em.errors import InputError
from em.store import Store
from em.trial.model import Model
from em.trial.trial import Trial
from em.trial.unit import Unit
from em.trial.written import trial_from
from sweeps.amounts import Amount, Amounts
from sweeps.stated import Seconds, Stated

READ = 24  # records of one kind whose timings are read, spread over all that there are
OTHERS = 64  # records of trials that the sweep does not want, in which like ones are looked for: the latest
LEAVES = [f"seconds.list.element.{part}" for part in ("sample", "train", "push")]


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
    made, engine = size(trial.model), trial.engine.engine.value
    if phase is None:
        return Kind(made, engine, "", (0, 0, False))
    rollout = phase.rollout
    shape = (rollout.samples, rollout.max_new_tokens, bool(rollout.samples_per_prompt))
    return Kind(made, engine, phase.objective.name, shape)


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
    for row in others.iter_rows(named=True):
        with suppress(InputError, OSError):  # of another version, damaged, or gone since
            [leaf] = store.leaves([row["unit_id"]], ["trial"])
            trials[row["unit_id"]] = trial_from(json.loads(leaf["trial"]))
            read[kind_of(trials[row["unit_id"]])].append(row)
    made = []
    for kind, found in read.items():
        chosen = {row["unit_id"]: row for row in found[:: max(1, len(found) // READ)][:READ]}
        for unit_id, row in chosen.items():
            try:
                [leaf] = store.leaves([unit_id], LEAVES)
            except (InputError, OSError):
                continue
            steps = leaf["seconds"] or []
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


class Costs:
    """What units take, from what was observed; `measured` says of a unit whether it is."""

    def __init__(self, observed: Sequence[Observation], stated: Stated, amounts: Amounts) -> None:
        self.stated, self.amounts = stated, amounts
        steps: dict[object, list[Seconds]] = defaultdict(list)
        answers: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for seen in observed:
            if seen.amount.steps:
                each = seen.took * (1 / seen.amount.steps)
                for key in (seen.cell, seen.kind):
                    steps[key].append(replace(each, evaluation=0.0, turnover=0.0))
            if seen.amount.measured:
                answers[seen.kind.size].append((seen.amount.measured, seen.took.evaluation))
        self.steps = {key: mean(values) for key, values in steps.items()}
        self.answers = {key: line(points) for key, points in answers.items()}
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
        fixed, each = self.answers.get(seen.kind.size, (0.0, 0.0))
        answers = fixed + each * seen.amount.measured
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
        if known := self.answers.get(size(trial.model)):
            return known[0] + known[1] * amount.measured
        together = trial.engine.max_num_seqs
        return sum(count * self.stated.answer(trial.model, limit, together) for limit, count in amount.answers.items())


def line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds of a unit's measurements before any answer, and of each answer: the line of least squares, neither of
    them negative.  Where all have as many answers, all is the answers'."""
    counts, seconds = zip(*points, strict=True)
    about, middle = fmean(counts), fmean(seconds)
    variance = sum((count - about) ** 2 for count in counts)
    covariance = sum((count - about) * (took - middle) for count, took in points)
    slope = min(max(covariance / variance, 0.0), middle / about) if variance else middle / about
    return middle - slope * about, slope


def mean(values: Sequence[Seconds]) -> Seconds:
    return sum(values, Seconds()) * (1 / len(values))
