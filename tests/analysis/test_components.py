import itertools

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from analysis import components
from em.errors import InputError
from em.evaluation.metrics import sampling_variance

SEEDS = 16
NAN = float("nan")


def test_components_of_known_scores():
    """Deviations -2, 0, 0, 2 have variance 8 / 3; the interval is Bonett's formula, by hand."""
    scores_S, noise_S = np.array([1.0, NAN, 3, 3, 5]), np.array([0.5, 0.5, 1, 1.5, 1])
    found = components.components(scores_S, noise_S)
    assert found[:4] == pytest.approx((8 / 3, 1, 5 / 3, 5 / 8))
    correction = 4 / (4 - 1.959964)
    error = correction * ((4 * 32 / 64 - 1 / 4) / 3) ** 0.5
    ends = correction * 8 / 3 * np.exp(np.array([-1.959964, 1.959964]) * error) - 1
    assert (found.low, found.high) == pytest.approx((max(0, ends[0]), ends[1]), rel=1e-6)


def test_components_of_noise_alone_of_equal_scores_and_of_few():
    noise = components.components(np.array([1.0, 2, 3, 4]), np.full(4, 10.0))
    assert (noise.seeds, noise.share, noise.low) == (0, 0, 0)
    assert components.components(np.full(4, 0.5), np.zeros(4)) == (0, 0, 0, 0, 0, 0)
    assert np.isnan(components.components(np.array([1.0]), np.array([1.0]))).all()
    few = components.components(np.array([1.0, 3.0]), np.zeros(2))
    assert few[:4] == (2, 0, 2, 1)
    assert np.isnan([few.low, few.high]).all()
    with pytest.raises(InputError, match="one for each score"):
        components.components(np.array([1.0, 2.0]), np.array([1.0]))


def test_interval_holds_the_variance_of_seeds():
    rng = default_rng(0)
    found = [components.components(rng.normal(0, 1.5**0.5, size=SEEDS), np.full(SEEDS, 0.5)) for _ in range(1000)]
    assert 0.93 <= np.mean([one.low <= 1 <= one.high for one in found]) <= 0.97


def normal(rng: Generator) -> np.ndarray:
    return rng.normal(size=SEEDS)


def collapsed(rng: Generator) -> np.ndarray:
    return rng.normal(size=SEEDS) - 8 * (rng.random(SEEDS) < 0.1)


@pytest.mark.parametrize("true_scores", [normal, collapsed])
@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_the_raw_best_is_too_good_and_the_corrected_one_is_not(true_scores, noise):
    rng, raw, corrected, held = default_rng(0), [], [], []
    for _ in range(500):
        true_S = true_scores(rng)
        best = components.best_of(true_S + rng.normal(0, noise**0.5, size=SEEDS), np.full(SEEDS, noise))
        raw.append(best.raw - true_S[best.seed])
        corrected.append(best.corrected - true_S[best.seed])
        held.append(best.low <= true_S[best.seed] <= best.high)
    assert np.mean(raw) > 0.6
    assert abs(np.mean(corrected)) < 0.12
    assert 0.91 <= np.mean(held) <= 0.98


def test_best_of_exact_scores_is_the_best():
    best = components.best_of(np.array([0.2, NAN, 0.7, 0.6]), np.zeros(4))
    assert best == (2, 0.7, 0.7, 0.7, 0.7)
    noisy = components.best_of(np.array([0.2, 0.7, 0.6]), np.array([0.0, 0.01, 0.01]))
    assert 0.2 < noisy.corrected < 0.7
    assert noisy.high - noisy.low == pytest.approx(2 * 1.959964 * 0.1)
    with pytest.raises(InputError, match="needs a seed with a score"):
        components.best_of(np.array([NAN]), np.array([0.1]))


def test_noise_alone_is_shrunk_to_the_mean():
    scores_S = np.linspace(-1, 1, SEEDS)
    assert components.best_of(scores_S, np.full(SEEDS, 4.0)).corrected == pytest.approx(0, abs=0.15)


def test_expected_best_is_the_mean_over_subsets():
    scores_S = np.array([0.3, NAN, 0.9, 0.1, 0.4, 0.4])
    for n in range(1, 6):
        subsets = [max(subset) for subset in itertools.combinations(scores_S[~np.isnan(scores_S)], n)]
        assert components.expected_best(scores_S, n) == pytest.approx(np.mean(subsets))
    with pytest.raises(InputError, match="from 1 to the number of scores, 5"):
        components.expected_best(scores_S, 6)


def test_noise_that_models_share_is_not_their_own() -> None:
    rng, models, problems, samples = default_rng(0), 400, 30, 8
    skill_SP1 = rng.uniform(0.2, 0.8, size=(models, problems, 1))
    apart = (rng.random((models, problems, samples)) < skill_SP1).astype(float)
    expected = np.mean([sampling_variance(correct_PK) for correct_PK in apart])
    assert components.own_noise(apart) == pytest.approx(expected, rel=0.02)
    same = (rng.random((1, problems, samples)) < np.full((models, problems, 1), 0.5)).astype(float)
    assert components.own_noise(same) == pytest.approx(0, abs=1e-12)  # one model, the same answers

    together = (rng.random((1, problems, samples)) < skill_SP1).astype(float)
    assert 0.3 * expected < components.own_noise(together) < 0.9 * expected


def test_noise_needs_several_models_and_answers() -> None:
    assert np.isnan(components.own_noise(np.ones([1, 3, 2])))
    assert np.isnan(components.own_noise(np.ones([3, 3, 1])))
