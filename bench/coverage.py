"""How often `analysis.stats.interval` holds the true mean, in 4,000 samples of each kind of scores.

`python -m bench.coverage` prints it beside other methods, as a table.  C samples, S seeds, B resamples.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from analysis import stats
from bench.rows import Bar, Row, at_least, at_most

SAMPLES = 4000
BATCH = 500  # samples that share their resamples
TAIL = (1 - stats.CONFIDENCE) / 2
Ends = tuple[NDArray, NDArray]


def normal(rng: Generator, shape: tuple[int, ...]) -> NDArray:
    return rng.normal(size=shape)


def lognormal(sigma: float) -> Callable[[Generator, tuple[int, ...]], NDArray]:
    """Of mean 0."""
    return lambda rng, shape: rng.lognormal(0, sigma, shape) - np.exp(sigma**2 / 2)


def collapsed(gap: float) -> Callable[[Generator, tuple[int, ...]], NDArray]:
    """Each seed collapses with probability 0.1, by so many standard deviations of the rest; of mean 0."""
    return lambda rng, shape: rng.normal(size=shape) - gap * (rng.random(shape) < 0.1) + 0.1 * gap


KINDS = {
    "normal": normal,
    "lognormal 0.5": lognormal(0.5),
    "lognormal 1": lognormal(1.0),
    "collapsed by 3": collapsed(3),
    "collapsed by 4": collapsed(4),
    "collapsed by 5": collapsed(5),
    "collapsed by 10": collapsed(10),
}
BARS: Mapping[int, Mapping[str, tuple[Bar, ...]]] = {
    16: {"normal": (at_least(0.93), at_most(0.97)), **dict.fromkeys(list(KINDS)[1:6], (at_least(0.9),))},
    5: dict.fromkeys(list(KINDS)[:6], (at_least(0.88),)),
}
STRATA = (10, 5)  # strata, and seeds of each


def rows(folder: Path) -> Iterator[Row]:
    for seeds, kinds in BARS.items():
        for kind, bars in kinds.items():
            held, _ = measured(chosen, kind, (1, seeds))
            for bar in bars:
                yield Row(f"coverage: {seeds} seeds, {kind}", held, "", bar)
    held, _ = measured(chosen, "lognormal 1", STRATA)
    yield Row(f"coverage: {STRATA[0]} strata of {STRATA[1]} seeds, lognormal 1", held, "", at_least(0.9))


def measured(method: Callable[[Generator, NDArray], Ends], kind: str, shape: tuple[int, int]) -> tuple[float, float]:
    """The share of samples whose interval holds the mean, which is 0, and the intervals' mean width."""
    held, width = [], []
    for batch in range(SAMPLES // BATCH):
        rng = default_rng([list(KINDS).index(kind), *shape, batch])
        low_C, high_C = method(rng, KINDS[kind](rng, (BATCH, *shape)))
        held.append(np.mean((low_C <= 0) & (high_C >= 0)))
        width.append(np.mean(high_C - low_C))
    return float(np.mean(held)), float(np.mean(width))


def chosen(rng: Generator, scores_CKS: NDArray) -> Ends:
    return stats.interval(rng, scores_CKS)


def student(rng: Generator, scores_CKS: NDArray) -> Ends:
    low_C, high_C = np.transpose([stats.student_interval(scores_S) for scores_S in scores_CKS[:, 0]])
    return low_C, high_C


def percentile(rng: Generator, scores_CKS: NDArray) -> Ends:
    mean_C, _, shift_CB, _ = bootstrap(rng, scores_CKS)
    low_C, high_C = np.quantile(shift_CB, [TAIL, 1 - TAIL], axis=1)
    return mean_C + low_C, mean_C + high_C


def bca(rng: Generator, scores_CKS: NDArray) -> Ends:
    """Bias-corrected and accelerated (Efron, 1987)."""
    from scipy.stats import norm

    mean_C, _, shift_CB, _ = bootstrap(rng, scores_CKS)
    centred_CS = scores_CKS[:, 0] - mean_C[:, None]
    acceleration_C = (centred_CS**3).sum(axis=1) / (6 * (centred_CS**2).sum(axis=1) ** 1.5)
    bias_C = norm.ppf((shift_CB < 0).mean(axis=1))
    ends = []
    for z in norm.ppf([TAIL, 1 - TAIL]):
        share_C = norm.cdf(bias_C + (bias_C + z) / (1 - acceleration_C * (bias_C + z)))
        at_C = [np.quantile(shift_B, share) for shift_B, share in zip(shift_CB, share_C, strict=True)]
        ends.append(mean_C + at_C)
    return ends[0], ends[1]


def bootstrap_t(rng: Generator, scores_CKS: NDArray) -> Ends:
    """With the floor of `analysis.stats`, but not made as wide as Student's."""
    mean_C, error_C, shift_CB, error_CB = bootstrap(rng, scores_CKS)
    t_CB = shift_CB / np.maximum(error_CB, stats.FLOOR * error_C[:, None])
    low_C, high_C = np.quantile(t_CB, [TAIL, 1 - TAIL], axis=1)
    return mean_C - high_C * error_C, mean_C - low_C * error_C


def bootstrap(rng: Generator, scores_CKS: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Of one stratum: mean_C and its standard error, then the resamples' means, less mean_C, and standard errors."""
    scores_CS = scores_CKS[:, 0]
    mean_C = scores_CS.mean(axis=1)
    counts_CK = np.full((len(scores_CS), 1), scores_CS.shape[1])
    centred_CKS = scores_CKS - mean_C[:, None, None]
    shift_CB, spread_CB = stats.resampled(int(rng.integers(2**63)), centred_CKS, counts_CK, stats.RESAMPLES)
    error_C = scores_CS.std(axis=1, ddof=1) / scores_CS.shape[1] ** 0.5
    return mean_C, error_C, shift_CB, np.sqrt(np.maximum(spread_CB, 0))


METHODS = {
    "percentile": percentile,
    "BCa": bca,
    "Student t": student,
    "bootstrap-t": bootstrap_t,
    "the wider of the last two": chosen,
}


def table() -> Iterator[str]:
    """Coverage in %, and mean width in standard deviations of the rest, as Markdown."""
    yield f"| seeds | scores | {' | '.join(METHODS)} |"
    yield "|---|---|" + "---|" * len(METHODS)
    for seeds in BARS:
        for kind in KINDS:
            cells = (measured(method, kind, (1, seeds)) for method in METHODS.values())
            yield f"| {seeds} | {kind} | {' | '.join(f'{100 * held:.1f} ({width:.2f})' for held, width in cells)} |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
