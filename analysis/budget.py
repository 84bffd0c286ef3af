"""Where evaluation tells most: what the answers of some trials say of the variance of a cell's mean, and the cheapest
measurement that makes its interval as narrow as wanted.  Arrays to numbers.

S seeds, P problems of a benchmark, K answers to each; B benchmarks, whose scores are averaged.  Each seed is asked
problems of its own with random numbers of its own (`em.evaluation.asked`), so everything but the models averages out
over seeds:

    variance of the mean = (models + sum over benchmarks [answers / (n K) + problems (1 - n / P) / n] / B^2) / S

With common random numbers most of the answers' part would be the same for all seeds: no number of seeds makes it
smaller, and no spread of seeds shows it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.components import own_noise
from analysis.stats import CONFIDENCE

MOST = 4096  # seeds that are planned
WIDER = 1.04  # than Student's interval of 16 seeds, that of `analysis.stats.interval` is (python -m bench.coverage)
SAMPLES = (1, 2, 3, 4, 6, 8)  # answers to a problem that are tried, ...
STEPS = 48  # ... with so many numbers of problems


class Variance(NamedTuple):
    """Of the score of one trial, by where it comes from."""

    models: float  # true accuracies of seeds, on all problems
    answers_B: NDArray  # of a single answer, given its problem and model
    problems_B: NDArray  # of a model's true accuracies on problems of one stratum
    total_B: NDArray  # P
    common: float  # the part of the answers' variance that common random numbers give to all seeds alike, a share

    def of_seed(self, problems: float, samples: float) -> float:
        """Of one seed's score, asked so many problems of each benchmark (at most all), each so many times."""
        asked_B = np.minimum(problems, self.total_B)
        answers_B = self.answers_B / (asked_B * samples)
        drawn_B = self.problems_B * (1 - asked_B / self.total_B) / asked_B
        return self.models + float((answers_B + drawn_B).sum()) / len(self.total_B) ** 2


class Cost(NamedTuple):
    """Seconds of a lane."""

    trial: float  # to train it, and to begin to measure it
    answer: float


class Design(NamedTuple):
    """How a cell is measured, with random numbers of each seed's own."""

    seeds: int
    problems: int  # of each benchmark, at most
    samples: int
    answers: int  # of a trial
    half: float  # half the width of the 95% interval that is expected
    seconds: float  # of a lane, for the cell


def variance(cells: Sequence[Sequence[NDArray]], base: Sequence[NDArray]) -> Variance:
    """The mean over cells of which the answers to all problems are recorded, with common random numbers.

    `cells` holds of each cell correct_SPK of each benchmark, 0 or 1, S at least 2; `base` the accuracy of the base
    model's answers, accuracy_PK of each benchmark.  K is 1 of greedy answers, which have no chance in them.
    """
    models, own, sampled = (float(np.mean(part)) for part in zip(*map(_of_scores, cells), strict=True))
    answers_B = np.mean([[_of_answers(correct_SPK) for correct_SPK in cell] for cell in cells], axis=0)
    problems_B = np.mean([list(map(_of_problems, cell, base)) for cell in cells], axis=0)
    common = 1 - own / sampled if sampled > 0 else 0.0
    total_B = np.array([len(accuracy_PK) for accuracy_PK in base])
    return Variance(max(0.0, models), answers_B, np.maximum(problems_B, 0), total_B, min(max(common, 0.0), 1.0))


def is_below_resolution(cells: Sequence[Sequence[NDArray]], of: Variance) -> bool:
    """Whether scores vary by less than the share of one answer: answers that are all wrong, or nearly so, tell nothing
    of how others vary.  `cells` as of `variance`, and `of` what that is of them."""
    shapes = [correct_SPK.shape[1:] for correct_SPK in cells[0]]
    samples = shapes[0][1]
    resolution = 1 / max(problems * samples for problems, samples in shapes) / len(shapes)
    return of.of_seed(int(of.total_B.max()), samples) < resolution**2


def strata(accuracy_PK: NDArray) -> str:
    """Of each problem the accuracy of the base model's answers as a digit, 0 to 9."""
    return "".join(str(round(9 * float(share))) for share in accuracy_PK.mean(axis=1))


def _of_scores(cell: Sequence[NDArray]) -> tuple[float, float, float]:
    """Of the models' scores, without chance; of chance in the score of one, its own part and all."""
    score_S = np.mean([correct_SPK.mean(axis=(1, 2)) for correct_SPK in cell], axis=0)
    own_B = [own_noise(correct_SPK) if correct_SPK.shape[2] > 1 else 0.0 for correct_SPK in cell]
    sampled_B = [_of_answers(correct_SPK) / correct_SPK[0].size for correct_SPK in cell]
    own, sampled = (sum(part) / len(cell) ** 2 for part in (own_B, sampled_B))
    return float(np.var(score_S, ddof=1)) - own, own, sampled


def _of_answers(correct_SPK: NDArray) -> float:
    """Of one answer, given its model and problem."""
    share_SP, samples = correct_SPK.mean(axis=2), correct_SPK.shape[2]
    return float((share_SP * (1 - share_SP)).mean()) * samples / (samples - 1) if samples > 1 else 0.0


def _of_problems(correct_SPK: NDArray, accuracy_PK: NDArray) -> float:
    """Of a model's true accuracies within a stratum.

    Strata are made of the first half of the answers, since what common random numbers do to the base model's answers
    they do to the others, too, and the variance is taken of the second.
    """
    half = correct_SPK.shape[2] // 2
    stratum_P, later_SPK = np.array(list(strata(accuracy_PK[:, : half or None]))), correct_SPK[:, :, half:]
    groups = [later_SPK.mean(axis=2)[:, stratum_P == stratum] for stratum in np.unique(stratum_P)]
    squares = sum(float(((group - group.mean(axis=1, keepdims=True)) ** 2).sum()) for group in groups)
    degrees = len(correct_SPK) * (len(stratum_P) - len(groups))
    return squares / degrees - _of_answers(later_SPK) / later_SPK.shape[2] if degrees else 0.0


def half_width(variance: float, seeds: NDArray) -> NDArray:
    """Half of what the 95% interval of the mean of so many seeds is expected to be, of scores of that variance; inf for
    fewer than two."""
    from scipy.special import stdtrit

    several = np.maximum(seeds, 2)
    half = WIDER * stdtrit(several - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance / several)
    return np.where(seeds < 2, np.inf, half)


def with_score(seeds: NDArray, share: float) -> NDArray:
    """How many of so many seeds are expected to have a score, where this share has: whole seeds."""
    return np.floor(seeds * share + 1e-9)


def seconds(cost: Cost, seeds: int, answers: int, share: float = 1.0) -> float:
    """Of a lane for a cell, of so many answers a trial; seeds without a score are trained, and not measured."""
    return seeds * (cost.trial + share * answers * cost.answer)


def common_half_width(of: Variance, seeds: int, samples: int) -> float:
    """Half of what holds the true mean at 95% where all seeds answer everything with common random numbers.

    The spread of the seeds shows `models` and what is each seed's own of the answers' variance, and not the rest.
    """
    from scipy.special import ndtri

    answers = of.of_seed(int(of.total_B.max()), samples) - of.models
    shown = half_width(of.models + answers * (1 - of.common), np.array(seeds))
    return float(np.hypot(shown, ndtri((1 + CONFIDENCE) / 2) * (answers * of.common) ** 0.5))


def plan(
    of: Variance,
    target: float,
    cost: Cost,
    seeds: int,
    samples: Sequence[int] = SAMPLES,
    problems: Sequence[int] = (),
    scored: float = 1.0,
) -> Design | None:
    """The design of the least time whose interval is at most `target` to either side; None where there is none.

    It has no fewer than `seeds`: how far models spread is what a sweep is for, and what a pilot knows least about.
    `samples` and `problems` are what may be chosen; without `problems` any number.  The interval is of the seeds that
    have a score, which are the share `scored` of those that are planned: a mean leaves out what diverged or failed.
    """
    seeds_N = np.arange(seeds, MOST + 1)
    scored_N = with_score(seeds_N, scored)
    seeds_N, scored_N = seeds_N[scored_N > 1], scored_N[scored_N > 1]
    unit_N = half_width(1.0, scored_N)
    best = None
    for number in problems or counts(of):
        asked = int(np.minimum(number, of.total_B).sum())
        for each in samples:
            half_N = unit_N * of.of_seed(number, each) ** 0.5
            enough = np.flatnonzero(half_N <= target * (1 + 1e-9))
            if len(enough):
                at, answers = enough[0], asked * each
                needed, half = int(seeds_N[at]), float(half_N[at])
                made = Design(needed, number, each, answers, half, seconds(cost, needed, answers, scored))
                if best is None or (made.seconds, made.half, each) < (best.seconds, best.half, best.samples):
                    best = made
    return best


def counts(of: Variance) -> list[int]:
    """Numbers of problems of each benchmark that are tried, evenly spaced by ratio; the last are all."""
    most = int(of.total_B.max())
    return sorted({round(number) for number in np.geomspace(min(5, most), most, STEPS)})
