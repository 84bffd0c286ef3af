"""The benchmark of coverage: its kinds of scores and the other methods are what they are called."""

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.stats import bootstrap

from bench import coverage


@pytest.mark.parametrize("kind", list(coverage.KINDS))
def test_every_kind_has_mean_zero(kind: str):
    scores = coverage.KINDS[kind](default_rng(0), (200_000,))
    assert abs(scores.mean()) < 4 * scores.std() / 200_000**0.5


@pytest.mark.parametrize(("name", "method"), [("percentile", coverage.percentile), ("BCa", coverage.bca)])
def test_other_methods_are_scipys(name: str, method):
    scores_S = default_rng(0).lognormal(size=16)
    expected = bootstrap((scores_S,), np.mean, method=name, n_resamples=20_000, rng=default_rng(1)).confidence_interval
    low_C, high_C = method(default_rng(2), scores_S[None, None])
    assert (low_C[0], high_C[0]) == pytest.approx((expected.low, expected.high), rel=0.04)


def test_the_chosen_interval_is_never_shorter_than_students():
    scores_CKS = default_rng(0).lognormal(size=(50, 1, 8))
    low_C, high_C = coverage.chosen(default_rng(1), scores_CKS)
    student_low_C, student_high_C = coverage.student(default_rng(1), scores_CKS)
    assert (low_C <= student_low_C + 1e-12).all()
    assert (high_C >= student_high_C - 1e-12).all()


def test_every_row_holds_its_bar(tmp_path):
    rows = list(coverage.rows(tmp_path))
    assert len(rows) == 14
    assert all(row.ok for row in rows), "\n".join(map(str, rows))
