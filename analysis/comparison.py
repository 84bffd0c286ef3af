"""Comparisons: two sets of seeds, two models on the same problems, and many comparisons at once.

S seeds or T of another, P problems, C comparisons.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from analysis import stats
from em.errors import require

PERMUTATIONS = 9999
BATCH = 2**21  # differences whose signs are drawn at once: 16 MB


def improvement(x_S: NDArray, y_T: NDArray) -> tuple[float, float, float]:
    """P(X > Y) + P(X = Y) / 2 with a 95% interval; nan scores are left out, and fewer than two of either give nan.

    The interval holds the p from which the estimate is at most 1.96 standard errors away, as Wilson's does for shares.
    The error at p is the larger of Hanley and McNeil's (Newcombe, 2006, method 5), which does not vanish at 0 and 1,
    and of what these scores say (Brunner and Munzel, 2000), which holds where one side varies more.

    In simulations (16 and 5 a side; equal and fourfold spread, constant, exponential, bimodal and tied scores; p from
    0.5 to 0.99) it held p in 94% to 98%.  Newcombe's alone fell to 88%, Brunner and Munzel's on the logit scale to 53%,
    percentiles of the bootstrap (rliable) to 15%, all towards the ends.
    """
    from scipy.special import ndtri

    x_S, y_T = x_S[~np.isnan(x_S)], y_T[~np.isnan(y_T)]
    if min(len(x_S), len(y_T)) < 2:
        return float("nan"), float("nan"), float("nan")
    wins_ST = (x_S[:, None] > y_T) + 0.5 * (x_S[:, None] == y_T)
    p = float(wins_ST.mean())
    own = wins_ST.mean(axis=1).var(ddof=1) / len(x_S) + wins_ST.mean(axis=0).var(ddof=1) / len(y_T)
    least = 1 / (2 * wins_ST.size)
    own /= np.clip(p, least, 1 - least) * (1 - np.clip(p, least, 1 - least))  # of p (1 - p)
    grid = np.append(np.linspace(0, 1, 10_001), p)
    pairs = (len(x_S) + len(y_T)) / 2 - 1
    known = (1 + pairs * ((1 - grid) / (2 - grid) + grid / (1 + grid))) / wins_ST.size
    error = np.sqrt(grid * (1 - grid) * np.maximum(known, own))
    held = grid[np.abs(grid - p) <= ndtri((1 + stats.CONFIDENCE) / 2) * error + 1e-12]
    return p, float(held.min()), float(held.max())


class Paired(NamedTuple):
    difference: float  # mean of x - y
    low: float  # 95% interval
    high: float
    p: float  # of no difference, two-sided


def paired(rng: Generator, x_P: NDArray, y_P: NDArray) -> Paired:
    """Compare two models on common problems: accuracies in [0, 1], each a mean over samples.

    Problems are the unit.  p is of flipping the signs of the differences at random; of all flips, where they are few.
    Problems that either has not answered (nan) are left out.
    """
    require(x_P.shape == y_P.shape, "problems", f"{x_P.shape} and {y_P.shape}", "must be the same of both models")
    differences_P = (x_P - y_P)[~np.isnan(x_P - y_P)]
    low, high = stats.interval(rng, differences_P[None, None])
    return Paired(
        float(stats.mean(differences_P[None, None])[0]), float(low[0]), float(high[0]), _flipped(rng, differences_P)
    )


def _flipped(rng: Generator, differences_P: NDArray) -> float:
    from scipy.stats import permutation_test

    if not len(differences_P):
        return float("nan")
    changed_P = np.sort(differences_P[differences_P != 0])
    if not len(changed_P):
        return 1.0
    batch = max(1, BATCH // len(changed_P))
    test = permutation_test(
        (changed_P,), np.mean, permutation_type="samples", n_resamples=PERMUTATIONS, batch=batch, rng=rng
    )
    return float(test.pvalue)


def holm(p_C: NDArray) -> NDArray:
    """p adjusted for how many comparisons there are (Holm, 1979): below 0.05, none is false in 95% of such families.

    nan stays and does not count.
    """
    adjusted_C, order = np.full(len(p_C), np.nan), np.argsort(p_C)
    order = order[: (~np.isnan(p_C)).sum()]  # nan is last
    adjusted_C[order] = np.minimum(np.maximum.accumulate(p_C[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted_C


def no_gain(scores_CKS: NDArray, base_C: NDArray, variance_C: NDArray) -> NDArray:
    """p of a mean (`stats.mean`) that equals the base's score, two-sided, C: Welch's t.

    `variance_C` is that of the base's score over draws of its answers.  nan where a stratum has one score, there is no
    base, or nothing varies.
    """
    from scipy.special import stdtr

    count_CK = np.isfinite(scores_CKS).sum(axis=2)
    mean_CK1 = np.nansum(scores_CKS, axis=2, keepdims=True) / np.maximum(count_CK, 1)[:, :, None]
    squares_CK = np.nansum((scores_CKS - mean_CK1) ** 2, axis=2)
    strata_C = (count_CK > 0).sum(axis=1)
    few_C = (count_CK == 1).any(axis=1) | (strata_C == 0)
    degrees_CK = np.maximum(count_CK - 1, 1)
    own_CK = squares_CK / degrees_CK / np.maximum(count_CK, 1) / np.maximum(strata_C, 1)[:, None] ** 2
    total_C = own_CK.sum(axis=1) + variance_C
    total_C = np.where(few_C | (total_C == 0), np.nan, total_C)
    degrees_C = total_C**2 / np.maximum((own_CK**2 / degrees_CK).sum(axis=1), np.finfo(float).tiny)
    return 2 * stdtr(degrees_C, -np.abs(stats.mean(scores_CKS) - base_C) / np.sqrt(total_C))
