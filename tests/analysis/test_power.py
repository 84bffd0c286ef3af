"""Planned seeds against simulations and against a table; the split of variance against what it was made of."""

import numpy as np
import pytest
from numpy.random import default_rng

from analysis import power
from analysis.components import own_noise
from bench import power as bench
from em.errors import InputError

NAN = float("nan")


def test_power_is_that_of_the_paired_t_test():
    """The usual table (Cohen, 1988): half a standard deviation takes 34 pairs for 80%, a whole one 10."""
    assert [power.power(n, 0.5, 1.0) >= 0.8 for n in (33, 34)] == [False, True]
    assert [power.power(n, -2.0, 2.0) >= 0.8 for n in (9, 10)] == [False, True]
    assert power.power(20, 0.0, 1.0, error=0.01) == pytest.approx(0.01)
    assert power.power(1, 0.5, 1.0) == 0
    assert [power.power(10_000, 0.5, deviation) for deviation in (1e-9, 1e9)] == pytest.approx([1, 0.05])


def pilot_of(seeds: int) -> np.ndarray:
    """Differences whose standard deviation is 1."""
    scores_S = default_rng(0).normal(size=seeds)
    return scores_S / scores_S.std(ddof=1)


def test_a_plan_allows_for_what_few_seeds_leave_open():
    assert power.seeds_needed(0.5, pilot_of(4)) == 58  # 34 would do if the deviation were known ...
    assert power.seeds_needed(0.5, pilot_of(16)) == 36  # ... as it nearly is here
    assert power.seeds_needed(0.5, pilot_of(200)) == 200  # the pilot is enough
    assert power.expected_power(57, 0.5, pilot_of(4)) < 0.8 <= power.expected_power(58, 0.5, pilot_of(4))
    assert power.expected_power(500, 0.1, pilot_of(400)) == pytest.approx(power.power(500, 0.1, 1.0), abs=0.01)
    assert power.seeds_needed(0.5, np.append(pilot_of(4), NAN)) == 58
    assert power.seeds_needed(5e-4, pilot_of(4)) is None
    with pytest.raises(InputError, match="seeds=1: of both cells have a score; record two or more"):
        power.seeds_needed(0.5, np.array([0.1, NAN]))
    with pytest.raises(InputError, match="seeds=3: must be as many as the pilot's, 4, or more"):
        power.expected_power(3, 0.5, pilot_of(4))


def test_equal_differences_are_no_finer_than_the_scores():
    equal_S = np.full(3, 1 / 60)
    assert power.seeds_needed(0.02, equal_S) == 3
    assert power.seeds_needed(0.02, equal_S, resolution=1 / 60) == power.seeds_needed(1.2, pilot_of(3))


@pytest.mark.parametrize("kind", ["normal", "a tenth collapsed by 3"])
def test_planned_seeds_reach_the_power_that_was_asked_for(kind: str):
    """By the project's interval, averaged over pilots; `make bench-power` has more of both."""
    assert bench.reached(kind, pilot=6, plans=400)[0] == pytest.approx(0.8, abs=0.05)


def made(rng: np.random.Generator, seeds: int, problems: int, samples: int) -> np.ndarray:
    """correct_SPK with deviations 3 of seeds, 2 seed x problem, 1.5 own sampling, 1 problems, 0.5 shared sampling."""
    shape = (seeds, problems, samples)
    sizes = [(seeds, 1, 1), (seeds, problems, 1), shape, (1, problems, 1), (1, problems, samples)]
    deviations = (3, 2, 1.5, 1, 0.5)
    return sum((d * rng.normal(size=size) for d, size in zip(deviations, sizes, strict=True)), np.zeros(shape))


def test_the_split_is_unbiased_and_follows_from_the_model():
    rng, seeds, problems, samples = default_rng(0), 4, 5, 3
    found = np.mean([power.split([made(rng, seeds, problems, samples)]) for _ in range(4000)], axis=0)
    expected = power.Split(9, 4, 1.5**2, 1, 0.25).times(seeds, samples, problems)
    assert found == pytest.approx(expected, rel=0.05)
    means = [made(rng, seeds, problems, samples).mean() for _ in range(4000)]
    assert np.var(means) == pytest.approx(sum(expected), rel=0.06)


def test_benchmarks_of_unlike_size_share_the_seeds():
    """A seed moves both benchmarks alike; problems and answers are each benchmark's own."""
    rng, found = default_rng(0), []
    for _ in range(3000):
        shift_S11 = 3 * rng.normal(size=(4, 1, 1))
        found.append(power.split([shift_S11 + rng.normal(size=(4, p, k)) for p, k in ((3, 2), (6, 4))]))
    own = (1 / 6 + 1 / 24) / 4 / 4
    assert np.mean(found, axis=0) == pytest.approx((9 / 4, 0, own, 0, 0), abs=0.06)
    assert np.mean(found, axis=0)[2] == pytest.approx(own, rel=0.05)


def test_the_split_adds_up_and_has_the_noise_of_components():
    correct_SPK = (default_rng(0).random((6, 10, 4)) < 0.7).astype(float)
    found = power.split([correct_SPK])
    assert found.own == pytest.approx(own_noise(correct_SPK) / 6)
    assert found.between == pytest.approx(correct_SPK.mean(axis=(1, 2)).var(ddof=1) / 6)
    assert found.times(seeds=2).between == pytest.approx(found.between / 2)
    with pytest.raises(InputError, match=r"correct=\(6, 10, 1\): are the seeds, problems and answers; two or more"):
        power.split([correct_SPK[:, :, :1]])
