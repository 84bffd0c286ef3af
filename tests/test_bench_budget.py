"""The benchmark of the budget, on trials whose answers are drawn from known probabilities."""

import numpy as np
import pytest
from numpy.random import default_rng

from analysis.budget import Design
from bench import budget, levers
from bench.recorded import Recorded

SEEDS, BENCHMARKS, PROBLEMS, ANSWERS = 24, 6, 20, 64


def recorded(shared: float = 1.0, models: float = 0.02) -> Recorded:
    """Seeds whose answers hang on common luck, as the base model's do, to this share; problems of all difficulties."""
    rng = default_rng(3)
    problem_BP = rng.uniform(0.2, 0.8, size=(BENCHMARKS, PROBLEMS))
    true = problem_BP + models * rng.normal(size=(SEEDS + 1, 1, 1))
    luck = rng.random((1, BENCHMARKS, PROBLEMS, ANSWERS))
    own = rng.random((SEEDS + 1, BENCHMARKS, PROBLEMS, ANSWERS))
    is_common = rng.random(own.shape) < shared
    correct = (np.where(is_common, luck, own) < true[..., None]).astype(float)
    return Recorded(0, correct[:-1], correct[-1])


def test_common_numbers_give_intervals_that_miss_and_own_ones_intervals_that_hold():
    of, design = recorded(), Design(16, PROBLEMS, 2, 240, 0.0, 0.0)
    common, own = (budget.held(of, budget.sampled(of, default_rng(0), design, shared)) for shared in (True, False))
    assert common.share < 0.5
    assert 0.93 < own.share < 0.97
    assert own.half < common.needed < common.widened
    error = (0.02**2 + (0.25 - 0.03) / 240) ** 0.5  # of a seed's score, whose problems have accuracies of variance 0.03
    assert own.half == pytest.approx(100 * 1.04 * 2.13 * error / 4, rel=0.1)


def test_what_each_lever_is_worth(monkeypatch):
    monkeypatch.setattr(levers, "RESAMPLES", 2000)
    of = recorded(shared=0.8)
    worth = dict(levers.measured(of, levers.slopes([of])))
    assert worth["own numbers, all problems"] == 1
    assert worth["common numbers"] > 8  # sixteen seeds share most of the chance
    assert worth["own numbers, corrected by base's answers"] < 0.7
    assert worth["half of the problems, simple"] == pytest.approx(1.07, abs=0.1)  # 1 + 0.03 / 0.22 / 2
    assert worth["half of the problems, balanced"] == pytest.approx(1.0, abs=0.1)
    assert worth["half, simple, regression on base"] == pytest.approx(1.0, abs=0.1)


def test_the_claim_is_printed_with_and_without_models_of_which_nothing_could_hold():
    good, bad = budget.Held(3.0, 0.95, 4.0, 4.5), budget.Held(8.0, 0.80, 6.0, 10.0)
    both = [budget.Compared(of, of, of, of) for of in (good, bad)]
    rows = {row.name: row for row in budget.verdicts(both, 0.125)}
    assert rows["answers, of avg@8's"].ok
    assert (
        rows["width, of what holds with avg@8: widest"].value,
        rows["width, of what holds with avg@8: mean"].ok,
    ) == (
        pytest.approx(8 / 6),
        False,
    )
    assert rows["width, of what holds with avg@8, sound: widest"].value == pytest.approx(0.75)
    assert not rows["intervals that hold the truth: fewest"].ok
    assert rows["intervals that hold the truth, sound: fewest"].ok
