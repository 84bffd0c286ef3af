"""Means over seeds and their intervals, arrays to arrays.  A seed is the unit: a trial is what would be repeated.

C cells, K strata of a cell (such as prompts: groups with seeds of their own; not benchmarks), S seeds, B resamples.  A
score is nan where a seed has none.  The same S models answer all benchmarks, so a seed's benchmarks are averaged before
anything here: resampled one by one they would pass for independent.

The interval of a mean is the wider, at each end, of bootstrap-t (Efron and Tibshirani, 1993, section 12.5) and
Student's t.  The bootstrap follows skewed scores, t holds where few seeds hide a tail.  How often it holds the true
mean is measured by `bench.coverage`, beside other methods: percentiles of the bootstrap (rliable: Agarwal et al., 2021)
hold it in 84% of samples of five normal scores.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
FLOOR = 0.2  # of the sample's standard error, below which no resample's falls; 0.5 loses the means of skewed scores
FEWEST = 5  # seeds that are resampled where a cell has one stratum; fewer have Student's interval alone ...
MOST = 1000  # ... and so have more than so many scores, whose mean is normal
CELLS = 256  # at once: a resample of each takes 2 KB
BLOCK = 64  # cells of a product, always as many: then a cell's bits do not depend on the others
PRODUCT = 2**12  # scores of a piece of resamples: a product so small runs on one thread, and in the processor's cache


def mean(scores_CKS: NDArray) -> NDArray:
    """The mean of the means of the strata that have scores, C; nan where none has."""
    count_CK, mean_CK = _means(_sorted(scores_CKS))
    strata_C = (count_CK > 0).sum(axis=-1)
    return _sum(mean_CK) / np.where(strata_C > 0, strata_C, np.nan)


def interval(
    rng: Generator, scores_CKS: NDArray, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[NDArray, NDArray]:
    """Low and high end of the interval of that mean over seeds, C each; the strata are fixed.

    Strata without scores are left out; a cell is nan if a stratum has one score, or none has any.  A cell's interval
    depends on its scores and on one draw from `rng`: not on other cells, the order of seeds, or where nans stand.
    """
    assert not np.isinf(scores_CKS).any(), "scores must be finite, or nan where there is none"
    root = int(rng.integers(2**63))
    sorted_CKS = _sorted(scores_CKS)
    empty_CK = (~np.isnan(sorted_CKS)).sum(axis=2) == 0
    if (empty_CK[:, :-1] > empty_CK[:, 1:]).any():
        order_CK = np.argsort(empty_CK, axis=1, kind="stable")
        sorted_CKS = np.take_along_axis(sorted_CKS, order_CK[:, :, None], axis=1)
    ends_2C = np.empty((2, len(sorted_CKS)))
    for start in range(0, len(sorted_CKS), CELLS):
        cells = slice(start, start + CELLS)
        ends_2C[:, cells] = _ends(root, sorted_CKS[cells], confidence, resamples)
    return ends_2C[0], ends_2C[1]


def student_interval(scores_S: NDArray) -> tuple[float, float]:
    """Low and high end of Student's 95% interval of the mean; nan for fewer than two.

    For few units whose scores are about normal, such as base models.
    """
    if len(scores_S) < 2:
        return float("nan"), float("nan")
    from scipy.special import stdtrit

    half = float(stdtrit(len(scores_S) - 1, (1 + CONFIDENCE) / 2) * np.std(scores_S, ddof=1)) / len(scores_S) ** 0.5
    return float(np.mean(scores_S)) - half, float(np.mean(scores_S)) + half


def interquartile_mean(scores_CS: NDArray) -> NDArray:
    """The mean of the middle half, C: a quarter of the scores, rounded down, is left out at either end."""
    means_C = np.full(len(scores_CS), np.nan)
    for cells, sorted_CN in _by_count(scores_CS):
        cut = sorted_CN.shape[1] // 4
        means_C[cells] = sorted_CN[:, cut : sorted_CN.shape[1] - cut].mean(axis=1)
    return means_C


def trimmed_interval(scores_CS: NDArray) -> tuple[NDArray, NDArray]:
    """Low and high end of the 95% interval of the interquartile mean, C each (Tukey and McLaughlin, 1963).

    Of n scores h are in the middle: t with h - 1 degrees of freedom, and the winsorised variance (Yuen, 1974).  nan for
    h < 2.  It is of the population's trimmed mean, which is not its mean where scores are skewed.
    """
    from scipy.special import stdtrit

    half_C = np.full(len(scores_CS), np.nan)
    for cells, sorted_CN in _by_count(scores_CS):
        n = sorted_CN.shape[1]
        cut, middle = n // 4, n - 2 * (n // 4)
        if middle > 1:
            winsorised_CN = sorted_CN.clip(sorted_CN[:, [cut]], sorted_CN[:, [n - 1 - cut]])
            squares_C = (n - 1) * winsorised_CN.var(axis=1, ddof=1)
            half_C[cells] = stdtrit(middle - 1, (1 + CONFIDENCE) / 2) * np.sqrt(squares_C / (middle * (middle - 1)))
    centre_C = interquartile_mean(scores_CS)
    return centre_C - half_C, centre_C + half_C


def deviation(scores_CS: NDArray) -> NDArray:
    """The sample standard deviation, C; nan for fewer than two scores."""
    deviations_C = np.full(len(scores_CS), np.nan)
    for cells, sorted_CN in _by_count(scores_CS):
        if sorted_CN.shape[1] > 1:
            deviations_C[cells] = sorted_CN.std(axis=1, ddof=1)
    return deviations_C


def _by_count(scores_CS: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
    """The cells that have n scores, and these, sorted: for each n above 0."""
    sorted_CS = np.sort(scores_CS, axis=1)
    count_C = (~np.isnan(sorted_CS)).sum(axis=1)
    for n in np.unique(count_C[count_C > 0]):
        cells = np.flatnonzero(count_C == n)
        yield cells, sorted_CS[cells, :n]


def _ends(root: int, sorted_CKS: NDArray, confidence: float, resamples: int) -> tuple[NDArray, NDArray]:
    """`interval` of cells whose seeds are sorted, and whose strata without scores come last."""
    from scipy.special import stdtrit

    count_CK, mean_CK = _means(sorted_CKS)
    centred_CKS = np.nan_to_num(sorted_CKS - mean_CK[:, :, None])
    degrees_CK = np.maximum(count_CK - 1, 1)
    variance_CK = _sum(centred_CKS**2) / degrees_CK / np.maximum(count_CK, 1)  # of the stratum's mean
    error_C = np.sqrt(_sum(variance_CK))  # of the sum of the means
    unit_C = np.where(error_C > 0, error_C, 1)
    tail, scores_C = (1 - confidence) / 2, _sum(count_CK)
    share_CK = variance_CK / unit_C[:, None] ** 2
    degrees_C = 1 / np.maximum(_sum(share_CK**2 / degrees_CK), 1 / np.maximum(scores_C, 1))
    below_C = stdtrit(degrees_C, 1 - tail)  # Satterthwaite's degrees: one stratum's are n - 1
    above_C = below_C.copy()
    strata_C = (count_CK > 0).sum(axis=1)
    drawn = np.flatnonzero(((strata_C > 1) | (scores_C >= FEWEST)) & (scores_C <= MOST))
    if len(drawn):
        shift_CB, spread_CB = resampled(root, centred_CKS[drawn], count_CK[drawn], resamples)
        t_CB = shift_CB / np.maximum(np.sqrt(np.maximum(spread_CB, 0)), FLOOR * unit_C[drawn, None])
        place = max(round(tail * (resamples + 1)), 1) - 1
        t_CB.partition([place, resamples - 1 - place], axis=1)
        below_C[drawn] = np.maximum(below_C[drawn], t_CB[:, resamples - 1 - place])
        above_C[drawn] = np.maximum(above_C[drawn], -t_CB[:, place])
    few_C = (count_CK == 1).any(axis=1) | (strata_C == 0)
    strata_C = np.where(few_C, np.nan, strata_C)
    centre_C = _sum(mean_CK)
    return (centre_C - below_C * error_C) / strata_C, (centre_C + above_C * error_C) / strata_C


def resampled(root: int, centred_CKS: NDArray, count_CK: NDArray, resamples: int) -> tuple[NDArray, NDArray]:
    """The sums over strata of the resampled means and of their variances, CB each.

    The strata of a place that have as many scores share their draws: a resample's moments are products with how often
    each score was drawn.
    """
    shift_CB, spread_CB = np.zeros((2, len(count_CK), resamples))
    for k in range(count_CK.shape[1]):
        for n in np.unique(count_CK[:, k][count_CK[:, k] > 1]):
            rng, cells = default_rng([root, k, n]), np.flatnonzero(count_CK[:, k] == n)
            x_MCN = np.zeros((-(-len(cells) // BLOCK), BLOCK, n))
            x_MCN.reshape(-1, n)[: len(cells)] = centred_CKS[cells, k, :n]
            squared_MCN, step = x_MCN**2, max(1, PRODUCT // n)
            for start in range(0, resamples, step):
                piece = slice(start, min(start + step, resamples))
                share_NB = _draws(rng, piece.stop - start, n).T / n
                mean_MCB = x_MCN @ share_NB
                spread_MCB = (squared_MCN @ share_NB - mean_MCB**2) / (n - 1)
                shift_CB[cells, piece] += mean_MCB.reshape(-1, share_NB.shape[1])[: len(cells)]
                spread_CB[cells, piece] += spread_MCB.reshape(-1, share_NB.shape[1])[: len(cells)]
    return shift_CB, spread_CB


def _draws(rng: Generator, resamples: int, n: int) -> NDArray:
    """How often each of n scores is drawn, in n draws with replacement: (resamples, n)."""
    drawn_BN = rng.integers(n, size=(resamples, n), dtype=np.min_scalar_type(n))
    places_BN = drawn_BN + n * np.arange(resamples)[:, None]
    return np.bincount(places_BN.ravel(), minlength=resamples * n).reshape(resamples, n)


def _sorted(scores_CKS: NDArray) -> NDArray:
    """Seeds in order, nan last; one nan stands for no strata, or no seeds."""
    return np.sort(scores_CKS if scores_CKS.size else np.full((len(scores_CKS), 1, 1), np.nan), axis=2)


def _means(sorted_CKS: NDArray) -> tuple[NDArray, NDArray]:
    """How many scores each stratum has, and their mean (exact where they are equal), CK each; 0 of none."""
    count_CK = (~np.isnan(sorted_CKS)).sum(axis=-1)
    least_CK = np.nan_to_num(sorted_CKS[..., 0])
    above_CK = _sum(np.nan_to_num(sorted_CKS - least_CK[..., None]))
    return count_CK, least_CK + above_CK / np.maximum(count_CK, 1)


def _sum(values_XN: NDArray) -> NDArray:
    """Over the last dimension, term by term: zeros at its end change no bit, as they may in numpy's pairwise sum."""
    return np.add.accumulate(values_XN, axis=-1)[..., -1]
