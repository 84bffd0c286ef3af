"""What the record of a unit of work holds, drawn at random from functions that say what is true of its trial.

M measurements of a unit, A answers of all of them, S steps, K samples of all steps, or answers of one measurement.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.random import default_rng
from numpy.typing import NDArray

from em.evaluation.asked import asked as places_of
from em.evaluation.graders import GRADERS
from em.store.record import EvaluationResult, Metric, StepSeconds, to_json
from em.store.schema import schema_of
from em.trial.evaluation import Evaluation, Statistics, Texts
from em.trial.identity import content_id
from em.trial.method import Need
from em.trial.sample import Sample
from em.trial.seeds import stream
from em.trial.trial import Phase, Trial
from em.trial.unit import Measurement, Unit
from tests.truth import Options, Score

PROMPTS = 4  # at most, of those that a phase trains on
PROBLEMS = 20  # of a benchmark without a limit
VOCABULARY = 256
SIGMA = 2.0  # of logits
FIXED = (  # of an EvaluationResult, whatever the answers are
    *("step", "evaluation_id", "benchmark", "temperature", "problems", "samples"),
    *("timeouts", "grader_failures", "grader_version"),
)
LOOKED = ("entropies", "probabilities", "position_tokens", "position_entropies", "distributions")  # eval.statistics


def listed(entries: pl.Series, counts: Sequence[int] | NDArray) -> pl.Series:
    """Lists of so many entries, one after the other."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    lists = pl.from_arrow(pa.LargeListArray.from_arrays(offsets, entries.rechunk().to_arrow()))
    assert isinstance(lists, pl.Series)
    return lists


def filled(columns: Mapping[str, Any] | pl.DataFrame, fields: Mapping[str, Any]) -> pl.DataFrame:
    """With all of these fields, in their order; those that are not given are null."""
    known = pl.DataFrame(columns)
    return known.select(
        (pl.col(name) if name in known.columns else pl.lit(None).alias(name)).cast(of) for name, of in fields.items()
    )


def digest(trial: Trial, step: int) -> str:
    """Of the weights after a step; before the first they are those of the phase before."""
    trial, step = trial.origin if not step and trial.before else (trial, step)
    return hashlib.sha256(f"{trial.id} {step}".encode()).hexdigest()


def prompts_of(phase: Phase | None) -> list[list[int]]:
    """Token ids; the length depends on the prompt."""
    return token_ids(content_id(phase.prompts), min(phase.prompts.most, PROMPTS)) if phase else []


@cache
def token_ids(prompts_id: str, prompts: int) -> list[list[int]]:
    rng = default_rng(stream("synthetic prompts", prompts_id))
    return [rng.integers(VOCABULARY, size=length).tolist() for length in rng.integers(8, 33, prompts)]


class Asked:
    """What units that measure the same have in common: the measurements, step by step, and their answers."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = sorted(measurements, key=lambda measurement: measurement.step)
        asked = [measurement.evaluation for measurement in self.measurements]
        keys = {
            "step": [item.step for item in measurements],
            "evaluation_id": [item.evaluation.id for item in measurements],
        }
        self.keys = pl.DataFrame(keys)  # in the order of the unit
        self.written = to_json({item.evaluation.id: item.evaluation for item in measurements})
        self.steps = {item.step for item in measurements}
        self.rows = pl.DataFrame([fixed(item) for item in self.measurements], schema=fields_of(FIXED))
        self.answers_M = (self.rows["problems"] * self.rows["samples"]).to_numpy()
        self.of_A = np.repeat(np.arange(len(asked)), self.answers_M)  # the measurement
        place_A = np.arange(len(self.of_A)) - (self.answers_M.cumsum() - self.answers_M)[self.of_A]
        self.problem_A, sample_A = np.divmod(place_A, self.rows["samples"].to_numpy()[self.of_A])
        kept = {Texts.all: math.inf, Texts.sample: 1.0, Texts.none: 0.0}
        self.is_kept_A = sample_A < np.array([kept[item.texts] for item in asked])[self.of_A]  # its text
        self.step_A = self.rows["step"].to_numpy()[self.of_A]
        self.most_A = np.array([item.benchmark.max_new_tokens for item in asked], dtype=int)[self.of_A]
        self.are_looked_at = any(item.statistics is not Statistics.none for item in asked)

    def before(self, step: int) -> "Asked":
        return Asked([measurement for measurement in self.measurements if measurement.step < step])


def fields_of(names: Sequence[str]) -> dict[str, pl.DataType]:
    """The types of fields of an EvaluationResult."""
    return {name: schema_of(EvaluationResult)[name] for name in names}


def total(evaluation: Evaluation) -> int:
    """Problems of its benchmark."""
    return evaluation.benchmark.limit or PROBLEMS


def fixed(measurement: Measurement) -> dict[str, Any]:
    """What an EvaluationResult says of a measurement, whatever its answers are."""
    evaluation = measurement.evaluation
    version = GRADERS[evaluation.benchmark.grader].version
    return {
        "step": measurement.step,
        "evaluation_id": evaluation.id,
        "benchmark": evaluation.benchmark.name,
        "temperature": evaluation.temperature,
        "problems": min(evaluation.problems or total(evaluation), total(evaluation)),
        "samples": evaluation.samples,
        "timeouts": 0,
        "grader_failures": 0,
        "grader_version": version if version != 1 else None,
    }


class Draw:
    """What the record of one unit holds."""

    def __init__(self, unit: Unit, asked: Asked, score: Score, options: Options) -> None:
        self.trial, self.phase, self.score, self.options = unit.trial, unit.trial.phase, score, options
        self.rng = default_rng(stream("synthetic", options.seed, unit.id))
        diverges = options.diverges(self.trial) if self.phase else 0
        self.has_diverged = 0 < diverges <= unit.last_step
        self.steps = diverges if self.has_diverged else unit.last_step
        self.error = f"step {diverges}: loss is nan" if self.has_diverged else None
        self.keys = asked.keys
        self.asked = asked.before(diverges) if self.has_diverged else asked
        self.prompts = prompts_of(self.phase)

    def lists(self) -> dict[str, pl.DataFrame]:
        """The lists of the record by name, as frames with a row for each entry."""
        rollouts = self.rollouts()
        digested = sorted(self.asked.steps | ({0} if self.trial.before else set[int]()))
        finished = range(1, self.steps + (not self.has_diverged))
        return {
            "measurements": self.keys,
            "steps": self.step_metrics(rollouts),
            "rollouts": rollouts,
            "digests": pl.DataFrame({"step": digested, "sha256": [digest(self.trial, step) for step in digested]}),
            "evaluations": self.evaluations(),
            "seconds": pl.DataFrame(
                [(step, 0.2, 0.1, 0.01) for step in finished], schema_of(StepSeconds), orient="row"
            ),
            "metrics": pl.DataFrame(self.metrics(rollouts), schema=schema_of(Metric), orient="row"),
        }

    def lengths(self, steps: NDArray, most: NDArray | int) -> NDArray:
        """Generated tokens of an answer after each of these steps, at most so many."""
        known, places = np.unique(steps, return_inverse=True)
        means = np.array([self.options.length(self.trial, step) for step in known.tolist()])
        return np.clip(self.rng.poisson(means[places]), 1, most)

    def rollouts(self) -> pl.DataFrame:
        if self.phase is None:
            return pl.DataFrame(schema=schema_of(Sample))
        needs, most = self.phase.objective.needs, self.phase.rollout.max_new_tokens
        step_K = np.repeat(np.arange(1, self.steps + 1), self.options.samples)
        length_K = self.lengths(step_K - 1, most)
        tokens = self.rng.integers(VOCABULARY, size=length_K.sum())
        columns = {
            "step": step_K,
            "prompt": (step_K - 1) % len(self.prompts),
            "token_ids": listed(pl.Series(tokens), length_K),
            "truncated": length_K == most,
        }
        if Need.logprobs in needs:
            columns["logprobs"] = listed(pl.Series(-self.rng.exponential(size=len(tokens))), length_K)
        if Need.rewards in needs:
            mean_K = np.array([self.options.reward(self.trial, step - 1) for step in step_K.tolist()])
            columns["reward"] = (self.rng.random(len(step_K)) < mean_K).astype(float)
            columns["extracted"] = np.where(columns["reward"], "1", "-1")
        return pl.DataFrame(columns)

    def step_metrics(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        """A step that diverges has nothing finite."""
        loss_S = np.array([self.options.loss(self.trial, step) for step in range(self.steps)])
        if self.has_diverged:
            loss_S[-1] = math.nan
        shape = self.steps, self.options.samples
        length_SK, truncated_SK = (
            values.to_numpy().reshape(shape) for values in (rollouts["token_ids"].list.len(), rollouts["truncated"])
        )
        columns = {
            "step": np.arange(1, self.steps + 1),
            "loss": loss_S,
            "entropy": loss_S,
            "logprob": -loss_S,
            "tokens": length_SK.sum(1).astype(int),
            "mean_length": length_SK.mean(1),
            "truncated": truncated_SK.mean(1),
            "grad_norm": loss_S + 0.1,
        }
        return pl.DataFrame(columns)

    def metrics(self, rollouts: pl.DataFrame) -> list[tuple[int, str, float]]:
        """Step, name and value: what the method says of the step's samples, and how long their prompt is."""
        rows = list[tuple[int, str, float]]()
        if self.phase is not None and Need.rewards in self.phase.objective.needs:
            for (step,), of_step in rollouts.group_by("step", maintain_order=True):
                samples = [Sample(**row) for row in of_step.iter_rows(named=True)]
                own = {**self.phase.method.metrics(samples), "clipped": 0.0, "kl": 0.001 * step}
                rows += [(step, name, value) for name, value in own.items()]
        if len(self.prompts) > 1:
            lengths = [len(self.prompts[step % len(self.prompts)]) for step in range(self.steps)]
            rows += [(step, "prompt_length", float(length)) for step, length in enumerate(lengths, 1)]
        return rows

    def evaluations(self) -> pl.DataFrame:
        """Answers are correct with the probability of the measurement, each by itself."""
        asked = self.asked
        p_M = np.array([self.score(self.trial, item.step, item.evaluation) for item in asked.measurements])
        correct_A = self.rng.random(len(asked.of_A)) < p_M[asked.of_A]
        said_A = np.where(correct_A, asked.problem_A + 1, -self.rng.integers(1, 4, len(correct_A)))
        length_A = self.lengths(asked.step_A, asked.most_A)
        extracted = pl.Series(said_A).cast(pl.String)
        answers = {
            "correct": pl.Series(correct_A),
            "extracted": extracted,
            "lengths": pl.Series(length_A),
            "truncated": pl.Series(length_A == asked.most_A),
            "texts": extracted.set(~pl.Series(asked.is_kept_A), None),
        }
        accuracy_M = np.bincount(asked.of_A, correct_A, len(p_M)) / asked.answers_M
        lists = [listed(values, asked.answers_M).alias(name) for name, values in answers.items()]
        of_M = [item.evaluation for item in asked.measurements]
        places = [places_of(of, self.trial.seed, total(of)) if of.problems else None for of in of_M]
        lists.append(pl.Series("asked", places, fields_of(["asked"])["asked"]))
        rows = asked.rows.hstack([pl.Series("accuracy", accuracy_M), *lists])
        if not asked.are_looked_at:
            return rows
        looked = [
            self.looked(item, lengths)
            for item, lengths in zip(asked.measurements, np.split(length_A, asked.answers_M.cumsum()), strict=False)
        ]
        return rows.hstack(pl.DataFrame(looked, schema=fields_of(LOOKED)))

    def looked(self, measurement: Measurement, length_K: NDArray) -> dict[str, Any]:
        """What `eval.statistics` asks for: an answer's tokens all have the answer's entropy."""
        kind = measurement.evaluation.statistics
        if kind is Statistics.none:
            return {}
        if kind is Statistics.logits_of_shortest:
            length_K = np.full_like(length_K, length_K.min())
        entropy_K = self.options.loss(self.trial, measurement.step) * self.rng.uniform(0.5, 1.5, len(length_K))
        has_TK = np.arange(length_K.max())[:, None] < length_K
        columns = {
            "entropies": entropy_K.tolist(),
            "probabilities": np.exp(-entropy_K).tolist(),
            "position_tokens": has_TK.sum(1).tolist(),
            "position_entropies": (has_TK @ entropy_K / has_TK.sum(1)).tolist(),
        }
        if kind.has_logits:
            skewness = self.options.skewness(self.trial, measurement.step, measurement.evaluation)
            columns["distributions"] = distributions(int(length_K.sum()), skewness)
        return columns


def distributions(tokens: int, skewness: float) -> list[dict[str, Any]]:
    """LogitDistributions of so many tokens: Pearson's type III of this skewness, each with another mean."""
    from scipy.stats import pearson3

    from em.evaluation.distribution import Distribution
    from em.evaluation.statistics import BINS, TOP

    found = []
    for name, mean, values in (("logits", 0.0, VOCABULARY), ("top_k", 10.0, TOP), ("logprobs", -40.0, VOCABULARY)):
        low, width, bins = Distribution(BINS[name]).edges
        count, of = tokens * values, pearson3(skewness, mean, SIGMA)
        below = np.rint(count * of.cdf(low + width * np.arange(bins + 1))).astype(int)
        found.append(
            {
                "name": name,
                "count": count,
                "left_out": 0,
                "mean": mean,
                "sigma": SIGMA,
                "skewness": skewness,
                "kurtosis": 3 + 1.5 * skewness**2,
                "minimum": float(of.ppf(0.5 / count)),
                "maximum": float(of.ppf(1 - 0.5 / count)),
                "low": low,
                "width": width,
                "below": int(below[0]),
                "above": int(count - below[-1]),
                "histogram": np.diff(below).tolist(),
            }
        )
    return found
