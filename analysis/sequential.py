"""Intervals that hold however often one looks, and what they decide: arrays to numbers.

C cells, S seeds.  The usual interval holds in 95% of samples if it is looked at once; looked at after each of 4 to 64
seeds, it leaves out the truth at some time in 31% of all runs.  This one holds at all looks together.  It is what the
mixture of the t-statistic's likelihood ratios over effects from N(0, SCALE), in standard deviations, does not reject
(Lai, 1976; Wang and Ramdas, 2023): the mixture is an e-process for normal differences of any spread, so it passes
1 / error with a probability of at most `error` (Ville).  `bench.power` measures how often it fails for other scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

# The variance of effects.  Intervals of 4 to 64 seeds are tightest, in the mean of their logarithms, at 2.0 for an
# error of 0.05, and those of 5 to 64 at 2.9 for a seventh of it, as where eight cells share it.  4 is 2% wider at the
# most, and a seventh has an interval from five seeds on, where 2 takes six.
SCALE = 4.0
FEWEST = 4  # differences that have an interval


def widths(counts_N: NDArray, error: float) -> NDArray:
    """Half the interval of so many differences, in their standard deviations, N; inf where they say nothing yet."""
    n_N = np.asarray(counts_N, float)
    with np.errstate(all="ignore"):
        wide_N = 1 + SCALE * n_N
        limit_N = (np.sqrt(wide_N) / error) ** (2 / n_N)
        squared_N = (limit_N - 1) / (1 - limit_N / wide_N)  # of t, over its degrees of freedom
        return np.where((n_N >= FEWEST) & (limit_N < wide_N), np.sqrt(squared_N * (n_N - 1) / n_N), np.inf)


def interval(differences_S: NDArray, error: float = 0.05, resolution: float = 0.0) -> tuple[float, float]:
    """Low and high end for the mean of the differences; all there is, from -inf to inf, for fewer than FEWEST.

    nan is left out.  Scores are shares of so many answers: differences are not taken to spread less than `resolution`,
    the share of one of them, also where they are all equal.
    """
    measured_S = differences_S[np.isfinite(differences_S)]
    half = float(widths(np.array(len(measured_S)), error))
    if not np.isfinite(half):
        return -np.inf, np.inf
    mean, deviation = float(np.mean(measured_S)), max(float(np.std(measured_S, ddof=1)), resolution)
    if deviation == 0:
        return -np.inf, np.inf
    return mean - half * deviation, mean + half * deviation


class Verdict(Enum):
    undecided = "undecided"
    leads = "leads"  # the best, and all others are decided
    worse = "worse"  # than the best
    alike = "no matter"  # within the margin of the best
    lost = "without a score"


@dataclass(frozen=True)
class Race:
    """How cells stand that get seeds until each is decided."""

    seeds: list[int]  # that each cell gets, by now
    verdicts: list[Verdict]


def race(
    scores_CS: NDArray, known_CS: NDArray, looks: Sequence[int], error: float, margin: float, resolution: float = 0.0
) -> Race:
    """Looks at the cells after so many seeds (ascending), and gives the next only to those that are not decided.

    The cell with the highest mean leads.  Another one is decided where the interval of leader minus cell, seed by seed,
    lies above 0, or within +-margin, or where it has no score after a look.  Each end of an interval has a share of the
    error, so that the best cell is ever dropped with a probability of at most `error`, whichever led meanwhile: it must
    lose against one of C - 1 others, which the other end does not decide.  `known_CS` says of which seeds it is known
    what became of them; a score may be nan.  We look when all of the seeds are known, so a decision stands, in whatever
    order they come.  After the last look those that are left get all S.
    """
    cells, most = scores_CS.shape
    seeds, verdicts = [0] * cells, [Verdict.undecided] * cells
    left = list(range(cells))
    for count in [*(look for look in looks if look <= most), most]:
        for cell in left:
            seeds[cell] = count
        if count not in looks or not known_CS[left, :count].all():
            break
        scored_CN = scores_CS[:, :count]
        scored = np.isfinite(scored_CN).sum(axis=1)
        for cell in [cell for cell in left if not scored[cell]]:
            verdicts[cell] = Verdict.lost
        running = [cell for cell in left if scored[cell]]
        if not running:
            break
        leader = max(running, key=lambda cell: np.nanmean(scored_CN[cell]))
        for cell in running:
            if cell != leader:
                ends = interval(scored_CN[leader] - scored_CN[cell], 2 * error / (cells - 1), resolution)
                verdicts[cell] = _decided(*ends, margin)
        left = [cell for cell in running if cell == leader or verdicts[cell] is Verdict.undecided]
        if left == [leader] or count == most:
            verdicts[leader] = Verdict.leads if left == [leader] else Verdict.undecided
            break
    return Race(seeds, verdicts)


def _decided(low: float, high: float, margin: float) -> Verdict:
    if low > 0:
        return Verdict.worse
    return Verdict.alike if -margin <= low and high <= margin else Verdict.undecided
