import numpy as np
import polars as pl
import pytest
from numpy.random import default_rng
from scipy.stats import norm

from analysis import stats
from analysis.findings import contrasts
from analysis.findings.contrasts import ABOVE, Contrast, Interval
from analysis.findings.d import fluctuation
from analysis.findings.f2 import declines
from analysis.findings.f3 import slopes

NAN = float("nan")


def fixed(value: float, low: float, high: float) -> Contrast:
    return Contrast("c", "points", ABOVE, 3, lambda rng, confidence: Interval(value, low, high))


def arm(scores: dict[int, float | None]) -> pl.DataFrame:
    return pl.DataFrame({"seed": list(scores), "score": list(scores.values())}, schema_overrides={"score": pl.Float64})


def test_arms_are_compared_seed_by_seed():
    x_S, y_S = contrasts.aligned(arm({2: 0.2, 0: 0.5}), arm({0: 0.1, 1: 0.3, 2: None}))
    assert x_S == pytest.approx([0.5, NAN, 0.2], nan_ok=True)
    assert y_S == pytest.approx([0.1, 0.3, NAN], nan_ok=True)


def test_the_mean_is_in_points_and_wider_by_what_all_seeds_share():
    values_S = np.array([0.1, 0.3, NAN, 0.2])
    alone, found = (
        contrasts.mean("m", values_S, ABOVE, variance=variance).interval(default_rng(0), 0.99)
        for variance in (0.0, 0.05**2)
    )
    low, high = stats.interval(default_rng(0), values_S[None, None], 0.99)
    assert alone == pytest.approx((20, 100 * low[0], 100 * high[0]))
    half = 100 * 0.05 * norm.ppf(0.995)
    assert found == pytest.approx((20, 20 - np.hypot(20 - alone.low, half), 20 + np.hypot(alone.high - 20, half)))
    assert contrasts.mean("m", values_S, ABOVE).n == 3


def test_a_mean_of_one_or_of_a_base_of_unknown_noise_has_no_interval():
    one = contrasts.mean("m", np.array([0.1, NAN]), ABOVE).interval(default_rng(0), 0.95)
    assert one == pytest.approx((10, NAN, NAN), nan_ok=True)
    unknown = contrasts.mean("m", np.array([0.1, 0.2]), ABOVE, variance=NAN).interval(default_rng(0), 0.95)
    assert unknown == pytest.approx((15, NAN, NAN), nan_ok=True)


def test_the_noise_of_a_greedy_score_is_none_and_of_one_sampled_answer_unknown():
    greedy, sampled = (pl.DataFrame({"temperature": [t], "variance": [None]}) for t in (0.0, 1.0))
    assert contrasts.variance_of(greedy) == 0
    assert np.isnan(contrasts.variance_of(sampled))
    assert contrasts.variance_of(pl.DataFrame({"temperature": [1.0], "variance": [0.25]})) == 0.25


def test_the_largest_has_the_largest_ends_of_intervals_that_hold_together():
    asked = []

    def interval(rng: object, confidence: float) -> Interval:
        asked.append(confidence)
        return Interval(2, 1, 9)

    several = [fixed(3, 0, 4), Contrast("d", "points", ABOVE, 5, interval)]
    assert contrasts.largest("l", several, ABOVE).interval(default_rng(0), 0.9) == (3, 1, 9)
    assert asked == pytest.approx([0.95])
    smallest = contrasts.largest("l", several, ABOVE, np.min)
    assert (smallest.interval(default_rng(0), 0.9), smallest.n) == ((2, 0, 4), 3)
    one = contrasts.mean("one seed", np.array([0.1]), ABOVE)
    unsure = contrasts.largest("l", [*several, one], ABOVE).interval(default_rng(0), 0.9)
    assert unsure == pytest.approx((10, NAN, NAN), nan_ok=True)
    none = contrasts.mean("no seed", np.array([NAN]), ABOVE)
    assert contrasts.largest("l", [*several, none], ABOVE).interval(default_rng(0), 0.9) == (3, 1, 9)
    assert contrasts.largest("l", [none], ABOVE).n == 0


@pytest.mark.parametrize(
    ("contrast", "found"),
    [(fixed(-3, -4, -1), (3, 1, 4)), (fixed(1, -3, 2), (1, 0, 3)), (fixed(NAN, NAN, NAN), (NAN, NAN, NAN))],
)
def test_a_magnitude_ends_at_zero(contrast: Contrast, found: tuple[float, float, float]):
    assert contrasts.magnitude(contrast).interval(default_rng(0), 0.95) == pytest.approx(found, nan_ok=True)


def test_whole_seeds_are_resampled():
    values_SX = np.array([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0], [0.0, NAN], [1.0, 0.5], [3.0, 0.0]])
    of = contrasts.resampled("peak", values_SX, lambda of_BSX: of_BSX.mean(1).argmax(1), ABOVE, "step")
    assert of.n == 5
    assert of.interval(default_rng(0), 0.5) == (0, 0, 0)
    assert of.interval(default_rng(0), 0.999) == (0, 0, 1)
    few = contrasts.resampled("peak", values_SX[:3], lambda of_BSX: of_BSX.mean(1).argmax(1), ABOVE, "step")
    assert few.interval(default_rng(0), 0.95) == pytest.approx((0, NAN, NAN), nan_ok=True)


def test_a_ratio_is_that_of_true_scores():
    """Without much noise it is the scores' own; where noise explains all, it is near one."""
    scores_S, noise_S = np.array([0.2, 0.3, 0.5, 0.4]), np.full(4, 1e-8)
    found = contrasts.ratio("r", scores_S, noise_S, ABOVE).interval(default_rng(0), 0.95)
    half = 1e-4 * norm.ppf(1 - 0.05 / 4)
    ends = 2.5, (0.5 - half) / (0.2 + half), (0.5 + half) / (0.2 - half)
    assert found == pytest.approx(ends, rel=1e-5)
    collapsed = contrasts.ratio("r", np.array([0.0, 0.3]), np.array([0.0, 1e-8]), ABOVE).interval(default_rng(0), 0.95)
    assert collapsed.value == pytest.approx(300, rel=1e-3)
    noisy_S = 0.4 + 0.05 * default_rng(0).normal(size=16)
    equal = contrasts.ratio("r", noisy_S, np.full(16, 0.05**2), ABOVE).interval(default_rng(0), 0.95)
    assert 1 <= equal.value < 1.1 < noisy_S.max() / noisy_S.min()
    assert equal.low == 1


def test_a_decline_is_from_the_peak_of_the_other_half():
    """The even seeds have their peak at place 1, the odd ones at place 2."""
    scores_SX = np.array([[0, 5, 1, 2.0], [0, 1, 6, 3], [0, 7, 2, 1], [0, 2, 8, 4], [NAN, 9, 9, 9]])
    assert declines(scores_SX) == pytest.approx([2 - 1, 3 - 1, 1 - 2, 4 - 2])
    assert np.isnan(declines(scores_SX[:1])).all()


def test_slopes_and_fluctuations_of_lines():
    x_X = np.array([0.0, 1.0, 3.0])
    assert slopes(np.array([2 + 3 * x_X, [0, NAN, 1]]), x_X) == pytest.approx([3, NAN], nan_ok=True)
    steps_X = np.arange(7.0)
    parabola_SX = np.array([steps_X**2, steps_X])
    assert fluctuation(parabola_SX) == pytest.approx([0, 0], abs=1e-9)
    change_X = np.array([1, -1, -1, 1.0])  # orthogonal to every line
    assert fluctuation(np.cumsum(change_X)[None]) == pytest.approx(fluctuation(np.array([[1.0, 0, -1, 0]])))
    assert fluctuation(np.array([[0, 1, 0, -1, 0.0]])) == pytest.approx([(4 / 2) ** 0.5])
