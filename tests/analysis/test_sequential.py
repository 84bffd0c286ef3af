"""The always-valid interval against its definition, under continuous looking, and the decisions of a race."""

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.integrate import quad
from scipy.stats import nct, norm, t

from analysis import sequential
from analysis.sequential import Verdict, interval, race, widths
from bench import power as bench

NAN = float("nan")


@pytest.mark.parametrize(("n", "error"), [(5, 0.05), (16, 0.05), (12, 0.05 / 7)])
def test_at_its_ends_the_mixture_of_likelihood_ratios_is_one_over_the_error(n: int, error: float):
    """The ratio of the noncentral t's density to t's, averaged over effects from N(0, SCALE)."""
    at = float(widths(np.array(n), error)) * n**0.5
    mixed, _ = quad(
        lambda d: nct.pdf(at, n - 1, d * n**0.5) * norm.pdf(d, 0, sequential.SCALE**0.5), -12, 12, limit=200
    )
    assert mixed / t.pdf(at, n - 1) == pytest.approx(1 / error, rel=1e-4)


def test_width_falls_with_seeds_and_few_have_no_interval():
    wide_N = widths(np.arange(1, 65), 0.05)
    assert np.isinf(wide_N[:3]).all()
    assert wide_N[[3, 7, 15, 63]] == pytest.approx([3.61, 1.49, 0.93, 0.44], abs=0.006)
    assert (np.diff(wide_N[3:]) < 0).all()
    assert np.isinf(widths(np.array([4]), 0.05 / 7)).all()  # none of four seeds reaches so far


def test_the_interval_leaves_out_nan_and_scales_with_the_scores():
    scores_S = np.array([0.1, 0.3, NAN, 0.2, 0.4, 0.25])
    low, high = interval(scores_S)
    half = float(widths(np.array(5), 0.05)) * np.nanstd(scores_S, ddof=1)
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half))
    assert interval(10 * scores_S + 1) == pytest.approx((10 * low + 1, 10 * high + 1))
    assert interval(scores_S[:4]) == (-np.inf, np.inf)


def test_equal_differences_are_not_certain():
    assert interval(np.full(8, 0.1)) == (-np.inf, np.inf)
    low, high = interval(np.full(8, 0.1), resolution=1 / 60)
    assert high - 0.1 == pytest.approx(1.49 / 60, abs=1e-4)
    assert 0.1 - low == pytest.approx(high - 0.1)


def test_errors_under_continuous_looking():
    rates = {kind: bench.error_rate(bench.KINDS[kind], 0.05, 2000) for kind in bench.KINDS}
    assert all(0.005 < rate <= 0.05 for rate in rates.values()), rates


def test_the_usual_interval_looked_at_as_often_fails():
    x_RS, count_S = default_rng(0).normal(size=(2000, 64)), np.arange(1, 65)
    mean_RS = x_RS.cumsum(axis=1) / count_S
    deviation_RS = np.sqrt(np.maximum((x_RS**2).cumsum(axis=1) - count_S * mean_RS**2, 0) / np.maximum(count_S - 1, 1))
    out_RS = np.abs(mean_RS) > t.ppf(0.975, np.maximum(count_S - 1, 1)) * deviation_RS / count_S**0.5
    assert out_RS[:, 3:].any(axis=1).mean() > 0.25


SCORES_CS = np.stack(
    [
        0.50 + 0.01 * default_rng(0).normal(size=16),  # far worse
        0.80 + 0.01 * default_rng(1).normal(size=16),
        0.70 + 0.06 * default_rng(2).normal(size=16),  # worse, but spread
        np.full(16, NAN),  # diverged
    ]
)
SCORES_CS = np.vstack([SCORES_CS, SCORES_CS[1] + 0.002 * default_rng(3).normal(size=16)])  # as good as the best
LOOKS = range(4, 17, 2)


def run(scores_CS: np.ndarray, known_CS: np.ndarray | None = None) -> sequential.Race:
    known_CS = np.ones(scores_CS.shape, bool) if known_CS is None else known_CS
    return race(scores_CS, known_CS, LOOKS, 0.05, 0.01)


def test_a_race_ends_cells_as_soon_as_they_are_decided():
    done = run(SCORES_CS)
    assert done.verdicts[0] is Verdict.worse
    assert done.verdicts[3] is Verdict.lost
    assert {done.verdicts[1], done.verdicts[4]} == {Verdict.alike, Verdict.leads}
    assert done.seeds[3] == 4
    assert done.seeds[0] < done.seeds[2]
    assert max(done.seeds) <= 16


def test_decisions_stand_whatever_comes_in_which_order():
    """Seeds are recorded at random; what is decided by some of them is decided by all of them too."""
    final, rng = run(SCORES_CS), default_rng(4)
    for _ in range(20):
        known_CS, decided, now = np.zeros(SCORES_CS.shape, bool), {}, None
        for place in rng.permutation(known_CS.size):
            known_CS.flat[place] = True
            now = run(np.where(known_CS, SCORES_CS, NAN), known_CS)
            for cell, verdict in enumerate(now.verdicts):
                if verdict is not Verdict.undecided:
                    assert decided.setdefault(cell, (now.seeds[cell], verdict)) == (now.seeds[cell], verdict)
            assert all(seeds <= most for seeds, most in zip(now.seeds, final.seeds, strict=True))
        assert now == final


def test_a_round_waits_for_what_is_not_known_and_for_nothing_else():
    known_CS = np.ones(SCORES_CS.shape, bool)
    known_CS[0, 3] = False
    assert run(SCORES_CS, known_CS).seeds == [4] * 5
    lost_CS = SCORES_CS.copy()
    lost_CS[0, :3] = NAN  # known to be lost
    assert run(lost_CS).verdicts[0] is Verdict.worse


def test_more_seeds_change_no_decision():
    scores_CS = default_rng(5).normal(size=(6, 32)) * 0.02 + np.linspace(0.5, 0.53, 6)[:, None]
    short, long = (race(scores_CS[:, :n], np.ones((6, n), bool), range(4, n + 1, 2), 0.05, 0.01) for n in (15, 32))
    for cell, verdict in enumerate(short.verdicts):
        if verdict is not Verdict.undecided:
            assert (long.verdicts[cell], long.seeds[cell]) == (verdict, short.seeds[cell])
    assert max(short.seeds) == 15


def test_the_best_is_seldom_dropped():
    assert bench.dropped(50) <= 0.05
