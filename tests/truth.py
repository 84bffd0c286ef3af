"""What is true of the trials of a synthetic store (tests.synthetic): functions of trial, step and evaluation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from em.trial.evaluation import Evaluation
from em.trial.seeds import SPACING, stream
from em.trial.trial import Trial

Score = Callable[[Trial, int, Evaluation], float]  # the probability that an answer is correct, after a step


def uniform(*words: str | int) -> float:
    """A number in (0, 1), the same for the same words."""
    return (stream(*words) + SPACING / 2) / 2**62


def normal(*words: str | int) -> float:
    """A standard normal number, the same for the same words."""
    return NormalDist().inv_cdf(uniform(*words))


def falling(trial: Trial, step: int) -> float:
    return 0.02 + 0.5 * math.exp(-step / 10)


def shorter(trial: Trial, step: int) -> float:
    return 8 + 6 * math.exp(-step / 10)


def never(trial: Trial) -> int:
    return 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is true of trials beside their scores.  A step is the number of those that the weights have behind them."""

    loss: Callable[[Trial, int], float] = falling  # and mean token entropy, nats
    length: Callable[[Trial, int], float] = shorter  # mean tokens of an answer, before it is cut at the limit
    reward: Callable[[Trial, int], float] = lambda trial, step: 0.5  # mean of samples, where the method needs rewards
    skewness: Callable[[Trial, int, Evaluation], float] = lambda trial, step, evaluation: 0.5  # of logits
    diverges: Callable[[Trial], int] = never  # at which step, counted from 1; 0: never
    fails: Callable[[Trial], int] = never  # how many attempts, all that there are of it; 0: it has a record
    is_missing: Callable[[Trial], bool] = lambda trial: False
    code_version: Callable[[Trial], str] = lambda trial: "synthetic"
    device: Callable[[Trial], str] = lambda trial: "none"
    samples: int = 2  # of a step, all to one prompt
    seed: int = 0  # of everything that is drawn


class Peak:
    """A score that rises to a height: highest at temperature 0.5 and rate 5e-4, another for each prompt and seed."""

    def __init__(self) -> None:
        self.heights: dict[str, float] = {}  # by trial id

    def __call__(self, trial: Trial, step: int, evaluation: Evaluation) -> float:
        if trial.id not in self.heights:
            self.heights[trial.id] = height(trial)
        return start(evaluation.benchmark.name) + self.heights[trial.id] * (1 - math.exp(-step / 10))


def height(trial: Trial) -> float:
    if trial.phase is None:
        return 0.0
    rollout, optimizer, prompts = trial.phase.rollout, trial.phase.optimizer, trial.phase.prompts
    away = (rollout.temperature - 0.5) ** 2 + math.log10(optimizer.lr / 5e-4) ** 2
    return 0.4 * math.exp(-away) - 0.01 * prompts.rank + 0.03 * normal("height", trial.id)


@cache
def start(benchmark: str) -> float:
    return 0.3 + 0.05 * normal("start", benchmark)
