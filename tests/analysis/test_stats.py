import numpy as np
import pytest
from numpy.random import default_rng

from analysis import stats


def test_interquartile_mean_leaves_out_a_quarter_at_either_end():
    assert stats.interquartile_mean(np.array([-100.0, 1, 2, 3, 4, 5, 6, 100])) == 3.5
    assert stats.interquartile_mean(np.array([0.0, 1, 5])) == 2.0  # a quarter of three seeds is none


def test_of_no_seeds_and_of_one():
    none, one = np.array([]), np.array([0.3])
    assert np.isnan([stats.mean(none), stats.interquartile_mean(none), stats.deviation(one)]).all()
    assert np.isnan(stats.interval(default_rng(0), one)).all()
    assert stats.mean(one) == stats.interquartile_mean(one) == 0.3


def test_deviation_is_of_a_sample():
    assert stats.deviation(np.array([1.0, 3.0])) == pytest.approx(2**0.5)


def test_interval_is_fixed_by_the_generator():
    scores_S = np.array([0.31, 0.42, 0.44, 0.45, 0.51, 0.58, 0.6, 0.72])
    interval = stats.interval(default_rng(0), scores_S)
    assert interval == stats.interval(default_rng(0), scores_S)
    assert interval != stats.interval(default_rng(1), scores_S)
    assert interval == pytest.approx((0.42375, 0.5875), abs=0.005)


def test_interval_of_equal_scores_is_their_value():
    assert stats.interval(default_rng(0), np.full(4, 0.25)) == (0.25, 0.25)


def test_order_of_seeds_does_not_matter():
    scores_S = default_rng(3).random(16)
    assert stats.interval(default_rng(0), scores_S) == stats.interval(default_rng(0), scores_S[::-1])


def test_interval_holds_the_true_mean_nearly_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stats, "RESAMPLES", 500)
    rng = default_rng(0)
    intervals = [stats.interval(rng, rng.normal(0.5, 0.1, size=16)) for _ in range(400)]
    held = np.mean([low <= 0.5 <= high for low, high in intervals])
    assert 0.89 <= held <= 0.97


def test_strata_are_resampled_each_by_itself():
    near, far = np.array([0.0, 0.1]), np.array([10.0, 10.1])
    low, high = stats.interval(default_rng(0), near, far)
    assert (low, high) == pytest.approx((5.0, 5.1))  # pooled, the ends would be near 2.5 and 7.6


def test_missing_scores_are_refused():
    with pytest.raises(AssertionError, match="leave out missing seeds"):
        stats.interval(default_rng(0), np.array([0.1, np.nan]))


def test_students_interval_of_known_scores():
    low, high = stats.student_interval(np.array([1.0, 2.0, 3.0]))  # t(2 degrees, 97.5%) = 4.302653
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
    assert np.isnan(stats.student_interval(np.array([1.0]))).all()


def test_students_interval_holds_the_true_mean_as_often_as_it_says():
    rng = default_rng(0)
    ends = [stats.student_interval(rng.normal(0.5, 0.1, size=12)) for _ in range(1000)]
    assert 0.935 <= np.mean([low <= 0.5 <= high for low, high in ends]) <= 0.965
