"""What a unit of work takes where nothing alike is recorded: of the tiny model as measured on one core of a server, of
others from operations and bytes of a GPU."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from em.trial.model import Model
from em.trial.trial import Trial


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
