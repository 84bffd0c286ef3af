"""What a unit of work leaves behind, as plain data.  One Record becomes one Parquet file (em.store)."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from em.config import Unit

SCHEMA_VERSION = 2  # 2 added: schema_version, measurements, log, provenance.replayed; texts that were not kept are null


class Status(StrEnum):
    done = "done"
    diverged = "diverged"  # loss, gradient or weights became non-finite: a result
    failed = "failed"  # an exception: an attempt, kept apart from the results


@dataclass(kw_only=True)
class MeasurementKey:
    step: int
    evaluation_id: str


@dataclass(kw_only=True)
class StepMetrics:
    """One optimiser step; `step` counts from 1, the metrics are of the weights before it."""

    step: int
    loss: float  # what was minimised: mean token entropy at objective.loss_temperature, nats
    entropy: float  # mean token entropy at temperature 1, nats
    logprob: float  # mean log-probability of the sampled tokens at temperature 1, nats
    tokens: int  # generated tokens that count in the loss
    mean_length: float  # generated tokens of a sample
    truncated: float  # share of samples that met the token limit
    grad_norm: float  # before clipping


@dataclass(kw_only=True)
class StepSeconds:
    step: int
    sample: float
    train: float
    push: float


@dataclass(kw_only=True)
class Sample:
    """One sample that was trained on: enough, with the config, to train again without sampling."""

    step: int
    prompt: int  # row of Record.prompts
    token_ids: list[int]
    truncated: bool


@dataclass(kw_only=True)
class WeightDigest:
    step: int
    sha256: str


@dataclass(kw_only=True)
class EvaluationResult:
    """All answers of one measurement, problem by problem: entry `problem * samples + sample` of each list."""

    step: int
    evaluation_id: str
    benchmark: str
    temperature: float
    problems: int
    samples: int
    accuracy: float  # share of correct answers, in [0, 1]
    correct: list[bool]
    extracted: list[str | None]  # what the grader took for the answer
    lengths: list[int]  # generated tokens
    truncated: list[bool]
    texts: list[str | None]  # null: not kept (eval.texts)


@dataclass(kw_only=True)
class Provenance:
    """Where, when and with what a record was made: compared by policy, never part of an id."""

    attempt_id: str
    node: str
    pid: int
    lane: str
    started: str  # UTC, ISO 8601
    seconds: float
    turnover_seconds: float | None  # from the commit of the lane's previous record to this trial's first sampling
    code_version: str
    environment: str  # JSON: python, platform, device, versions of libraries
    replayed: str | None = None  # attempt whose recorded tokens were trained on again, its digests found equal


@dataclass(kw_only=True)
class Record:
    trial_id: str
    unit_id: str
    status: Status
    schema_version: int = SCHEMA_VERSION
    attempt: int  # 1 is the first
    trial: str  # JSON of the whole config of the trial
    evaluations_config: str  # JSON: evaluation id -> its whole config
    measurements: list[MeasurementKey] = field(default_factory=list)  # what the unit of work was to measure
    error: str | None = None  # of a failed attempt: traceback; of a diverged trial: what became non-finite, and when
    log: str | None = None  # of a failed attempt: the last that its process wrote
    prompts: list[list[int]] = field(default_factory=list)  # token ids
    steps: list[StepMetrics] = field(default_factory=list)
    rollouts: list[Sample] = field(default_factory=list)
    digests: list[WeightDigest] = field(default_factory=list)
    evaluations: list[EvaluationResult] = field(default_factory=list)
    seconds: list[StepSeconds] = field(default_factory=list)
    provenance: Provenance

    @classmethod
    def of(cls, unit: Unit, **fields: Any) -> "Record":
        """The record of a unit of work, its identity and configs filled in."""
        return cls(
            trial_id=unit.trial.id,
            unit_id=unit.id,
            trial=to_json(unit.trial),
            evaluations_config=to_json({m.evaluation.id: m.evaluation for m in unit.measurements}),
            measurements=[MeasurementKey(step=m.step, evaluation_id=m.evaluation.id) for m in unit.measurements],
            **fields,
        )


def to_json(value: Any) -> str:
    """JSON of a dataclass, or of a dictionary of them, with enums by their value."""
    plain = {key: asdict(item) for key, item in value.items()} if isinstance(value, dict) else asdict(value)
    return json.dumps(plain, default=lambda item: item.value, sort_keys=True)


NOT_REPRODUCED = ("attempt", "seconds", "provenance")  # the fields that two runs of one unit need not share
