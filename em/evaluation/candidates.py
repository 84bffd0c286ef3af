"""Which prompt to train on: the paper's rule (2.2), from graded answers of the base model to a pool of prompts.

K answers to a prompt are graded 0 or 1.  Where p is the mean of these scores, the prompt with the highest variance
p(1-p) is taken: the model gets it right about half the time.  Of several the one with the highest mean token entropy is
taken, and of these the first in the pool.  The references serve this alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Candidate:
    """A prompt of the pool, and what the answers to it say."""

    text: str
    answer: str  # the reference
    correct: int  # of so many samples
    samples: int
    entropy: float  # nats, mean over all tokens of the answers
    length: float = 0.0  # tokens, mean over the answers

    @property
    def accuracy(self) -> float:
        return self.correct / self.samples

    @property
    def variance(self) -> float:
        """Of the samples' scores, in [0, 1/4]."""
        return self.correct * (self.samples - self.correct) / self.samples**2

    def variances(self, confidence: float) -> tuple[float, float]:
        """What the variance may be where p is in its interval (Wilson, 1927): the least and the greatest."""
        n, p, z = self.samples, self.accuracy, NormalDist().inv_cdf((1 + confidence) / 2)
        middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
        ends = low * (1 - low), high * (1 - high)
        return min(ends), 0.25 if low <= 0.5 <= high else max(ends)


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, each with as many samples, in the order in which the rule prefers them."""
    return sorted(candidates, key=lambda candidate: (-candidate.variance, -candidate.entropy))  # keeps the pool's order


def contenders(candidates: Sequence[Candidate], top: int, confidence: float) -> list[int]:
    """The places of those that may still be among the `top`: their variance may reach what so many have at least."""
    bounds = [candidate.variances(confidence) for candidate in candidates]
    least = sorted((low for low, _ in bounds), reverse=True)[min(top, len(bounds)) - 1]
    return [place for place, (_, high) in enumerate(bounds) if high >= least]
