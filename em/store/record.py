"""What a unit of work leaves behind, as plain data.  One Record becomes one Parquet file (em.store)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from em.evaluation.graders import TIMEOUT, Grade
from em.masking import masked
from em.trial.identity import added
from em.trial.sample import Sample
from em.trial.unit import Unit
from em.trial.written import plain

# 2 added: schema_version, measurements, log, provenance.replayed; texts that were not kept are null
# 3 added: paper_rules and grading_errors of an evaluation; `correct` is null where nobody could say
SCHEMA_VERSION = 3

GradeKey = tuple[str, str | None, int, str]  # what later grades are of: unit, attempt, step, evaluation


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
class Metric:
    """What a method wants known of a step, by a name of its own."""

    step: int
    name: str
    value: float


@dataclass(kw_only=True)
class StepSeconds:
    step: int
    sample: float
    train: float
    push: float


@dataclass(kw_only=True)
class WeightDigest:
    """Two are of the same weights exactly if they are equal, kind and all; of two kinds nothing can be said."""

    step: int
    sha256: str
    kind: str | None = added(default=None)  # what is hashed: em.train.weights.DIGESTS; null: of all weights in one


@dataclass(kw_only=True)
class Grades:
    """Of all answers of one measurement, problem by problem: entry `problem * samples + sample` of each list."""

    accuracy: float  # share of correct answers, in [0, 1]; those that could not be graded count as wrong, and here:
    timeouts: int | None = 0  # answers that could not be graded in time ...
    grader_failures: int | None = 0  # ... and those at which the grader failed
    paper_accuracy: float | None = None  # by the rules of the paper's grader, where it has its own for the benchmark
    correct: list[bool | None]  # null: could not be graded
    paper_rules: list[bool | None] | None = None
    grading_errors: list[str | None] | None = None  # why an answer could not be graded
    extracted: list[str | None]  # what the grader took for the answer
    grader_version: int | None = added(default=None)  # of the grader's code; null: the first


@dataclass(kw_only=True)
class LogitDistribution:
    """Of all logits of all tokens of a measurement's answers, or of what `name` says; moments are the population's."""

    name: str
    count: int
    left_out: int  # values that are not finite
    mean: float
    sigma: float
    skewness: float
    kurtosis: float  # not the excess: 3 for a normal distribution
    minimum: float
    maximum: float
    low: float  # edge of the first bin
    width: float  # of a bin
    below: int  # values before the first bin ...
    above: int  # ... and after the last
    histogram: list[int]


@dataclass(kw_only=True)
class EvaluationResult(Grades):
    """All answers of one measurement, in the order of their grades."""

    step: int
    evaluation_id: str
    benchmark: str
    temperature: float
    problems: int
    samples: int
    lengths: list[int]  # generated tokens
    truncated: list[bool]  # how an answer ended: at the token limit or by a rule, or by itself
    texts: list[str | None]  # null: not kept (eval.texts)
    ended: list[str | None] | None = added(default=None)  # by which rule of eval.ends; null: by none
    entropies: list[float] | None = added(default=None)  # mean over an answer's tokens, nats (eval.statistics)
    probabilities: list[float] | None = added(default=None)  # the same of the tokens' probabilities: its confidence
    position_tokens: list[int] | None = added(default=None)  # answers that have a first, second, ... token ...
    position_entropies: list[float] | None = added(default=None)  # ... and the mean entropy at it, nats
    distributions: list[LogitDistribution] | None = added(default=None)
    asked: list[int] | None = added(default=None)  # places of the problems in the benchmark; null: all, in its order

    def with_grades(self, later: Grades) -> "EvaluationResult":
        return replace(self, **{item.name: getattr(later, item.name) for item in fields(Grades)})


@dataclass(kw_only=True)
class Regrade(Grades):
    """Grades that were given later to the recorded answers of a measurement (em.evaluation.grade)."""

    unit_id: str
    attempt_id: str | None = None  # whose texts were graded; null, of a version before: these grades count no more
    step: int
    evaluation_id: str
    graded: str  # UTC, ISO 8601
    code_version: str

    @property
    def key(self) -> GradeKey:
        return self.unit_id, self.attempt_id, self.step, self.evaluation_id


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
    replayed: str | None = None  # attempt whose recorded tokens were trained on again, its digests equal
    resumed: int | None = added(default=None)  # step from whose kept state this process went on
    model_commit: str | None = added(default=None)  # of the hub, that the base model's checkpoint was


@dataclass(kw_only=True)
class Record:
    trial_id: str
    unit_id: str
    status: Status
    schema_version: int | None = SCHEMA_VERSION  # null: 1
    attempt: int  # 1 is the first
    trial: str  # JSON of the whole config of the trial
    evaluations_config: str  # JSON: evaluation id -> its whole config
    measurements: list[MeasurementKey] = field(default_factory=list)  # what the unit of work was to measure
    error: str | None = None  # of a failed attempt: traceback; of a diverged trial: what became non-finite, and when
    log: str | None = None  # of a failed attempt: the end of what its process wrote
    prompts: list[list[int]] = field(default_factory=list)  # token ids
    steps: list[StepMetrics] = field(default_factory=list)
    rollouts: list[Sample] = field(default_factory=list)
    digests: list[WeightDigest] = field(default_factory=list)
    evaluations: list[EvaluationResult] = field(default_factory=list)
    seconds: list[StepSeconds] = field(default_factory=list)
    metrics: list[Metric] = added(default_factory=list)
    provenance: Provenance

    @classmethod
    def of(cls, unit: Unit, provenance: Provenance, attempt: int = 1, **fields: Any) -> "Record":
        """The record of a unit of work, its identity and configs filled in; `fields` are those of what happened.

        No key is recorded with what an error says.
        """
        if fields.get("error"):
            fields["error"] = masked(fields["error"])
        return cls(
            trial_id=unit.trial.id,
            unit_id=unit.id,
            trial=to_json(unit.trial),
            evaluations_config=to_json({m.evaluation.id: m.evaluation for m in unit.measurements}),
            attempt=attempt,
            provenance=provenance,
            measurements=[MeasurementKey(step=m.step, evaluation_id=m.evaluation.id) for m in unit.measurements],
            **fields,
        )


def grades(graded: Sequence[Grade], version: int) -> Mapping[str, Any]:
    """The fields of Grades."""
    errors = [grade.error for grade in graded]
    paper_rules = [grade.paper_rules for grade in graded]
    has_paper_rules = any(verdict is not None for verdict in paper_rules)
    timeouts = errors.count(TIMEOUT)
    return {
        "accuracy": sum(grade.correct is True for grade in graded) / len(graded),
        "timeouts": timeouts,
        "grader_failures": sum(error is not None for error in errors) - timeouts,
        "paper_accuracy": sum(verdict is True for verdict in paper_rules) / len(graded) if has_paper_rules else None,
        "correct": [grade.correct for grade in graded],
        "paper_rules": paper_rules if has_paper_rules else None,
        "grading_errors": errors if any(errors) else None,
        "extracted": [grade.extracted for grade in graded],
        "grader_version": version if version != 1 else None,
    }


def to_json(config: object) -> str:
    """JSON of a config, or of a dictionary of them; `em.store.recorded` reads it back."""
    return json.dumps(plain(config), sort_keys=True)
