"""How many seeds a comparison needs, and where the variance of a cell's mean comes from; arrays to numbers.

S seeds (trials), P problems, K answers to each, B benchmarks.

Two cells are compared seed by seed, as everywhere (`analysis.findings.contrasts`): they differ if the interval of the
mean of the differences (`analysis.stats.interval`) leaves out 0.  That is planned for by the paired t-test's power.  A
pilot of few seeds leaves open how far the differences spread, and a plan that takes its standard deviation for the true
one falls short: after four seeds it reaches 70% where 80% are asked for.  So what is planned is the mean power over the
standard deviations that the pilot leaves open.  `bench.power` measures what comes of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.components import own_noise
from em.errors import require

MOST = 10_000  # seeds that are planned
FARTHEST = 35.0  # shift of t that scipy has the power for; it is 1 there
OPEN = (np.arange(64) + 0.5) / 64  # shares of a distribution, whose quantiles stand for it


def power(seeds: int, difference: float, deviation: float, error: float = 0.05) -> float:
    """The probability that so many seeds of two cells tell them apart, where the true difference is this one.

    `deviation`, above 0, is the standard deviation of the differences between equal seeds; `error` is the test's, for
    both sides together.  0 for fewer than two seeds.
    """
    from scipy.stats import nct, t

    if seeds < 2:
        return 0.0
    limit, shift = t.ppf(1 - error / 2, seeds - 1), min(abs(difference) / deviation * seeds**0.5, FARTHEST)
    return float(nct.sf(limit, seeds - 1, shift) + nct.cdf(-limit, seeds - 1, shift))


def expected_power(
    seeds: int, difference: float, differences_S: NDArray, error: float = 0.05, resolution: float = 0.0
) -> float:
    """The mean power of so many seeds, a pilot among them, over what the pilot leaves open.

    `differences_S` are the pilot's, seed by seed; nan where either cell has no score.  The true variance is its own
    times S - 1 over chi-squared; what the other seeds add to the squares is chi-squared too.  Scores are not finer than
    `resolution`, and neither is their deviation.  Raises InputError for a pilot of fewer than two, or more than
    `seeds`.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    measured_S = differences_S[np.isfinite(differences_S)]
    pilot = len(measured_S)
    require(pilot > 1, "seeds", pilot, "of both cells have a score; record two or more")
    require(seeds >= pilot, "seeds", seeds, f"must be as many as the pilot's, {pilot}, or more")
    deviation = max(float(np.std(measured_S, ddof=1)), resolution, np.finfo(float).tiny)
    squares_V = chdtri(pilot - 1, OPEN)  # of the pilot, over the true variance
    added_A = chdtri(seeds - pilot, OPEN) if seeds > pilot else np.zeros(1)
    shift_V = seeds**0.5 * abs(difference) / deviation * np.sqrt(squares_V / (pilot - 1))
    limit_VA = stdtrit(seeds - 1, 1 - error / 2) * np.sqrt((squares_V[:, None] + added_A) / (seeds - 1))
    return float((ndtr(shift_V[:, None] - limit_VA) + ndtr(-shift_V[:, None] - limit_VA)).mean())


def seeds_needed(
    difference: float, differences_S: NDArray, reached: float = 0.8, error: float = 0.05, resolution: float = 0.0
) -> int | None:
    """The least number of seeds, those of the pilot among them, whose `expected_power` reaches a power.

    None where that is more than MOST.  Raises InputError for a pilot of fewer than two.
    """

    def enough(seeds: int) -> bool:
        return expected_power(seeds, difference, differences_S, error, resolution) >= reached

    pilot = int(np.isfinite(differences_S).sum())
    low, high = pilot - 1, pilot  # too few, and maybe enough
    while not enough(high):
        if high >= MOST:
            return None
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


class Split(NamedTuple):
    """The variance of the mean of a cell's seeds, by where it comes from; estimates without bias, so maybe below 0."""

    seeds: float  # models differ, by their training seed
    interaction: float  # and by which problems they are better at
    own: float  # sampled answers, what each model has for itself
    problems: float  # other problems would be harder or easier for all
    shared: float  # sampled answers, what common random numbers make alike for all models

    @property
    def between(self) -> float:
        """What the spread of these seeds' scores shows: on these problems, with these random numbers."""
        return self.seeds + self.interaction + self.own

    def times(self, seeds: float = 1, samples: float = 1, problems: float = 1) -> "Split":
        """What it would be with so many times the seeds, the answers to each problem, the problems."""
        return Split(
            self.seeds / seeds,
            self.interaction / (seeds * problems),
            self.own / (seeds * problems * samples),
            self.problems / problems,
            self.shared / (problems * samples),
        )


def split(correct: Sequence[NDArray]) -> Split:
    """The split for one cell, whose score is the mean over benchmarks; `correct` holds correct_SPK of each of these.

    Seeds and problems are crossed and answers nested in problems: answer k to a problem is drawn with the same random
    numbers by all models, so that its share in them all is told apart from each model's own
    (`analysis.components.own_noise`).  Benchmarks are fixed; problems stand for others of their benchmark.  Raises
    InputError for fewer than two seeds, problems or answers.
    """
    for correct_SPK in correct:
        said = "are the seeds, problems and answers; two or more of each are needed"
        require(min(correct_SPK.shape) > 1, "correct", correct_SPK.shape, said)
    score_S = np.mean([correct_SPK.mean(axis=(1, 2)) for correct_SPK in correct], axis=0)
    parts_B4, residual_B = zip(*map(_within, correct), strict=True)
    interaction, own, problems, shared = np.sum(parts_B4, axis=0) / len(correct) ** 2
    between = float(np.var(score_S, ddof=1)) / len(score_S)
    return Split(between - sum(residual_B) / len(correct) ** 2, interaction, own, problems, shared)


def _within(correct_SPK: NDArray) -> tuple[tuple[float, float, float, float], float]:
    """Of one benchmark's mean: interaction, own, problems and shared of `Split`, and interaction and own together."""
    models, problems, samples = correct_SPK.shape
    mean_SP, mean_PK = correct_SPK.mean(axis=2), correct_SPK.mean(axis=0)
    mean_P = mean_SP.mean(axis=0)
    apart_SP = mean_SP - mean_P - mean_SP.mean(axis=1, keepdims=True) + mean_SP.mean()
    crossed = float((apart_SP**2).sum()) / ((models - 1) * (problems - 1)) / (models * problems)
    answers = float(((mean_PK - mean_P[:, None]) ** 2).sum()) / (samples - 1) / samples / problems**2
    own = own_noise(correct_SPK) / models
    of_problems = float(np.var(mean_P, ddof=1)) / problems
    return (crossed - own, own, of_problems - answers - crossed + own, answers - own), crossed
