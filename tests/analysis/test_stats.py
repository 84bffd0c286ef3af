import numpy as np
import pytest
from numpy.random import default_rng

from analysis import stats

NAN = float("nan")


def test_mean_is_of_the_strata_that_have_scores():
    scores_CKS = np.array([[[1.0, 3, NAN], [10, NAN, NAN]], [[1, 3, NAN], [NAN] * 3], [[NAN] * 3, [NAN] * 3]])
    assert stats.mean(scores_CKS) == pytest.approx([6.0, 2.0, NAN], nan_ok=True)
    assert stats.mean(np.full((1, 1, 7), 0.1))[0] == 0.1  # exactly


def interval(scores_CKS: list | np.ndarray, seed: int = 0) -> np.ndarray:
    """Ends of cells, 2C."""
    return np.array(stats.interval(default_rng(seed), np.asarray(scores_CKS, float)))


def test_interval_is_bootstrap_t_or_students_whichever_is_wider():
    scores_S = np.exp(default_rng(5).normal(size=12))
    rng, n = default_rng(1), len(scores_S)
    error = scores_S.std(ddof=1) / n**0.5
    drawn_BS = scores_S[rng.integers(n, size=(100_000, n))]
    errors_B = np.maximum(drawn_BS.std(axis=1, ddof=1) / n**0.5, stats.FLOOR * error)
    least, most = np.quantile((drawn_BS.mean(axis=1) - scores_S.mean()) / errors_B, [0.025, 0.975])
    low, high = interval(scores_S[None, None])[:, 0]
    student_low, student_high = stats.student_interval(scores_S)
    assert scores_S.mean() - most * error > student_low  # skewed to the right: the bootstrap reaches further there
    assert low == pytest.approx(student_low, rel=1e-9)
    assert high > student_high
    assert high == pytest.approx(scores_S.mean() - least * error, rel=0.1)
    narrow, wide = stats.interval(default_rng(0), scores_S[None, None], confidence=0.5)
    assert low < narrow[0] < wide[0] < high


def test_few_seeds_have_students_interval():
    assert interval([[[1.0, 2, 3]]])[:, 0] == pytest.approx(stats.student_interval(np.array([1.0, 2, 3])))
    five_S = np.array([0.0, 0, 0, 0, 1])
    assert interval([[five_S]])[1, 0] > stats.student_interval(five_S)[1] + 0.1


def test_of_missing_and_equal_scores():
    cells = [
        [[NAN, NAN, NAN], [NAN, NAN, NAN]],
        [[0.3, NAN, NAN], [0.1, 0.2, 0.3]],  # one score
        [[0.1, 0.1, 0.1], [0.7, 0.7, NAN]],
        [[0.1, 0.2, 0.4], [NAN, NAN, NAN]],  # a stratum without scores is left out
    ]
    low_C, high_C = interval(cells)
    assert np.isnan([low_C[:2], high_C[:2]]).all()
    assert low_C[2] == high_C[2] == pytest.approx(0.4)
    assert (low_C[3], high_C[3]) == pytest.approx(stats.student_interval(np.array([0.1, 0.2, 0.4])))
    assert (interval(np.full((1, 1, 16), 0.1)) == 0.1).all()
    assert np.isnan(interval(np.empty((2, 1, 0)))).all()
    assert np.isnan(stats.mean(np.empty((2, 0, 3)))).all()
    assert interval(np.empty((0, 1, 3))).shape == (2, 0)
    with pytest.raises(AssertionError, match="finite"):
        interval([[[0.1, float("inf")]]])


def test_strata_add_their_variances():
    """Two strata far apart: the interval is of the mean of their means, not of pooled scores."""
    near_S = np.linspace(0, 1, 16)
    low, high = interval([[near_S, near_S + 100]])[:, 0]
    error = near_S.std(ddof=1) / 16**0.5 / 2**0.5
    assert (low + high) / 2 == pytest.approx(50.5, abs=0.02)
    assert high - low == pytest.approx(2 * 2.042 * error, rel=0.1)  # t of 30 degrees of freedom


def test_interval_of_a_cell_depends_on_nothing_but_its_scores_and_the_generator():
    rng = default_rng(3)
    scores_CKS = rng.random((70, 3, 9))
    scores_CKS[rng.random(scores_CKS.shape) < 0.2] = np.nan
    ends_2C = interval(scores_CKS)
    assert np.isfinite(ends_2C).all()
    assert (ends_2C == interval(scores_CKS)).all()
    assert (ends_2C != interval(scores_CKS, seed=1)).any()
    for cell in (0, 33, 69):
        alone_KS = np.concatenate([rng.permuted(scores_CKS[cell], axis=1), np.full((3, 4), np.nan)], axis=1)[:, ::-1]
        padded_KS = np.concatenate([np.full((1, 13), np.nan), alone_KS])
        assert (interval([alone_KS])[:, 0] == ends_2C[:, cell]).all()
        assert (interval([padded_KS])[:, 0] == ends_2C[:, cell]).all()


def test_interval_does_not_depend_on_how_cells_are_divided(monkeypatch: pytest.MonkeyPatch):
    scores_CKS = default_rng(4).random((9, 2, 6))
    ends_2C = interval(scores_CKS)
    monkeypatch.setattr(stats, "CELLS", 4)
    assert (interval(scores_CKS) == ends_2C).all()


def test_resamples_are_the_moments_of_draws_with_replacement():
    x_S = np.array([-1.0, 0.0, 1.0])
    shift_CB, spread_CB = stats.resampled(0, x_S[None, None], np.array([[3]]), 5000)
    possible = {  # mean and its variance, of the sorted draws
        (round(np.mean(draw), 9), round(np.var(draw, ddof=1) / 3, 9))
        for draw in np.array(np.meshgrid(x_S, x_S, x_S)).reshape(3, -1).T
    }
    found = set(zip(shift_CB[0].round(9) + 0.0, spread_CB[0].round(9) + 0.0, strict=True))
    assert found == {(mean + 0.0, variance + 0.0) for mean, variance in possible}
    assert shift_CB.mean() == pytest.approx(0, abs=0.03)
    assert shift_CB.var() == pytest.approx(2 / 9, rel=0.05)


@pytest.mark.parametrize("seeds", [3, 5, 16])
def test_interval_holds_the_true_mean_as_often_as_it_says(seeds: int):
    low_C, high_C = interval(default_rng(0).normal(0.5, 0.1, size=(2000, 1, seeds)))
    assert 0.935 <= np.mean((low_C <= 0.5) & (high_C >= 0.5)) <= 0.975


def test_interquartile_mean_leaves_out_a_quarter_at_either_end():
    scores_CS = np.array(
        [[-100.0, 1, 2, 3, 4, 5, 6, 100], [0, 1, 5, *[NAN] * 5], [NAN] * 8]  # a quarter of three seeds is none
    )
    assert stats.interquartile_mean(scores_CS) == pytest.approx([3.5, 2.0, NAN], nan_ok=True)


def test_trimmed_interval_of_known_scores():
    """Of eight, four are in the middle; winsorised they are 2 2 2 3 4 5 5 5, of variance 2; t(3) is 3.182446."""
    scores_CS = np.array([[-100.0, 1, 2, 3, 4, 5, 6, 100], [5.0, *[NAN] * 7]])
    low_C, high_C = stats.trimmed_interval(scores_CS)
    half = 3.182446 * (7 * 2 / (4 * 3)) ** 0.5
    assert (low_C[0], high_C[0]) == pytest.approx((3.5 - half, 3.5 + half), abs=1e-5)
    assert np.isnan([low_C[1], high_C[1]]).all()


def test_trimmed_interval_holds_the_middle_as_often_as_it_says():
    low_C, high_C = stats.trimmed_interval(default_rng(0).standard_t(3, size=(2000, 16)))
    assert 0.935 <= np.mean((low_C <= 0) & (high_C >= 0)) <= 0.975


def test_deviation_is_of_a_sample():
    scores_CS = np.array([[1.0, NAN, 3.0], [NAN, 1.0, NAN]])
    assert stats.deviation(scores_CS) == pytest.approx([2**0.5, NAN], nan_ok=True)


def test_students_interval_of_known_scores():
    low, high = stats.student_interval(np.array([1.0, 2.0, 3.0]))  # t(2 degrees, 97.5%) = 4.302653
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
    assert np.isnan(stats.student_interval(np.array([1.0]))).all()
