"""Scores of one model on one benchmark: P problems, K answers each; `correct_PK` holds 0 and 1.

The interval is that of a mean over problems, whose answers belong together (Miller, 2024, "Adding error bars to evals",
section 2.2): what the score would be on other problems of the kind.  How it varies over seeds is analysis.stats' part.
"""

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959964  # standard errors on either side of a 95% interval


def avg_at_n(correct_PK: NDArray) -> float:
    """The share of correct answers, in [0, 1]: avg@8 in the paper's tables."""
    return float(np.mean(correct_PK))


def pass_at_k(correct_PK: NDArray, k: int) -> float:
    """The probability that at least one of k answers is correct, unbiased (Chen et al., 2021, eq. 1), in [0, 1].

    Raises ValueError where there are fewer than k answers a problem.
    """
    samples = correct_PK.shape[1]
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k}: there are {samples} answers a problem")
    all_wrong = [math.comb(samples - int(right), k) / math.comb(samples, k) for right in correct_PK.sum(axis=1)]
    return 1 - float(np.mean(all_wrong))


def sampling_variance(correct_PK: NDArray) -> float:
    """The variance of avg@K over draws of the answers to these same problems, unbiased; nan for a single answer each.

    It is what is left between two measurements of one model; between two models there is what training made, too.
    """
    problems, samples = correct_PK.shape
    if samples < 2:
        return math.nan
    share_P = correct_PK.mean(axis=1)
    return float((share_P * (1 - share_P)).sum()) / (samples - 1) / problems**2


def interval(*benchmarks_PK: NDArray) -> tuple[float, float]:
    """95% interval of the mean of the benchmarks' scores, each the mean over its problems; nan for a single problem."""
    variances = [np.var(b.mean(axis=1), ddof=1) / len(b) if len(b) > 1 else math.nan for b in benchmarks_PK]
    mean = float(np.mean([avg_at_n(b) for b in benchmarks_PK]))
    half = Z95 * math.sqrt(sum(map(float, variances))) / len(benchmarks_PK)
    return mean - half, mean + half
