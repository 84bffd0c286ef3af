import itertools

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.stats import norm

from analysis import comparison, stats
from em.errors import InputError

NAN = float("nan")


def test_improvement_counts_ties_as_halves():
    p, low, high = comparison.improvement(np.array([1.0, 2, NAN, 3]), np.array([2.0, 0]))
    assert p == pytest.approx((1 + 1.5 + 2) / 6)
    assert 0 < low < p < high <= 1
    assert np.isnan(comparison.improvement(np.array([1.0]), np.array([1.0, 2]))).all()


def test_improvement_of_separate_scores_is_not_sure():
    """At p = 1 the interval ends where Newcombe's does: 1 - p = z error(p)."""
    p, low, high = comparison.improvement(np.arange(5) + 10.0, np.arange(5.0))
    assert (p, high) == (1, 1)
    error = (low * (1 - low) * (1 + 4 * ((1 - low) / (2 - low) + low / (1 + low))) / 25) ** 0.5
    assert 1 - low == pytest.approx(1.959964 * error, abs=2e-4)
    assert comparison.improvement(np.arange(5.0), np.arange(5) + 10.0) == pytest.approx((0, 0, 1 - low), abs=2e-4)


@pytest.mark.parametrize(("seeds", "p", "spread"), [(16, 0.8, 1), (16, 0.95, 4), (5, 0.9, 1), (5, 0.5, 4)])
def test_improvement_holds_the_true_probability(seeds: int, p: float, spread: float):
    rng = default_rng(0)
    shift = norm.ppf(p) * (1 + spread**2) ** 0.5
    pairs = [(rng.normal(shift, spread, seeds), rng.normal(size=seeds)) for _ in range(600)]
    ends = [comparison.improvement(*pair)[1:] for pair in pairs]
    assert np.mean([low <= p <= high for low, high in ends]) >= 0.925


def test_paired_finds_the_difference_and_p_of_all_flips():
    x_P, y_P = np.array([0.5, 0.75, 1.0, 0.25, NAN]), np.array([0.25, 0.5, 0.5, 0.5, 0.5])
    found = comparison.paired(default_rng(0), x_P, y_P)
    flips = [abs(np.dot(signs, [0.25, 0.25, 0.5, -0.25])) for signs in itertools.product((-1, 1), repeat=4)]
    assert found.difference == pytest.approx(0.1875)
    assert (found.low, found.high) == pytest.approx(stats.student_interval(x_P[:4] - y_P[:4]))
    assert found.p == pytest.approx(np.mean(np.array(flips) >= 0.75))


def test_paired_is_fixed_by_the_generator_and_not_by_the_order_of_problems():
    rng = default_rng(1)
    x_P, y_P, order = rng.random(60), rng.random(60), rng.permutation(60)
    found = comparison.paired(default_rng(0), x_P, y_P)
    assert found == comparison.paired(default_rng(0), x_P, y_P)
    shuffled = comparison.paired(default_rng(0), x_P[order], y_P[order])
    assert (shuffled.low, shuffled.high, shuffled.p) == (found.low, found.high, found.p)


def test_paired_p_is_about_that_of_a_t_test():
    differences_P = default_rng(2).normal(0.05, 0.3, size=200)
    found = comparison.paired(default_rng(0), differences_P, np.zeros(200))
    z = differences_P.mean() / (differences_P.std(ddof=1) / 200**0.5)
    assert found.p == pytest.approx(2 * norm.sf(abs(z)), abs=0.02)


def test_paired_of_equal_models_of_none_and_of_other_problems():
    same_P = np.array([0.1, 0.5, 0.9])
    assert comparison.paired(default_rng(0), same_P, same_P) == (0, 0, 0, 1)
    assert np.isnan(comparison.paired(default_rng(0), np.array([]), np.array([]))).all()
    with pytest.raises(InputError, match="must be the same of both models"):
        comparison.paired(default_rng(0), same_P, same_P[:2])


def test_holm_of_known_p():
    adjusted_C = comparison.holm(np.array([0.01, NAN, 0.04, 0.03, 0.6]))
    assert adjusted_C == pytest.approx([0.04, NAN, 0.09, 0.09, 0.6], nan_ok=True)
    assert comparison.holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert len(comparison.holm(np.array([]))) == 0
