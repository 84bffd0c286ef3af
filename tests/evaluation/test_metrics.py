"""avg@n, pass@k and intervals against enumeration and closed forms."""

from itertools import combinations

import numpy as np
import pytest

from em.evaluation.metrics import avg_at_n, interval, pass_at_k

CORRECT_PK = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=float)


def test_avg_at_n_is_the_share_of_correct_answers():
    assert avg_at_n(CORRECT_PK) == 8 / 20


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_pass_at_k_is_the_mean_over_all_choices_of_k_answers(k):
    chosen = [[row[list(c)].any() for c in combinations(range(5), k)] for row in CORRECT_PK]
    assert pass_at_k(CORRECT_PK, k) == pytest.approx(np.mean(chosen), abs=1e-12)


def test_pass_at_1_is_avg_at_n():
    assert pass_at_k(CORRECT_PK, 1) == pytest.approx(avg_at_n(CORRECT_PK))


@pytest.mark.parametrize("k", [0, 6])
def test_pass_at_k_needs_k_answers(k):
    with pytest.raises(ValueError, match=f"pass@{k}: there are 5 answers a problem"):
        pass_at_k(CORRECT_PK, k)


def test_the_interval_treats_the_answers_to_a_problem_as_one():
    """Eight equal answers a problem tell no more than one."""
    one_PK = np.array([[1.0], [0.0], [1.0], [1.0], [0.0]])
    assert interval(np.repeat(one_PK, 8, axis=1)) == pytest.approx(interval(one_PK))
    half = 1.959964 * np.std(one_PK, ddof=1) / np.sqrt(5)
    assert interval(one_PK) == pytest.approx((0.6 - half, 0.6 + half))


def test_the_interval_of_several_benchmarks_is_that_of_the_mean_of_their_scores():
    rng = np.random.default_rng(0)
    truth = [0.3, 0.8]
    held = 0
    for _ in range(2000):
        low, high = interval(*(rng.binomial(1, p, (n, 1)).astype(float) for p, n in zip(truth, (200, 40), strict=True)))
        held += low <= np.mean(truth) <= high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
