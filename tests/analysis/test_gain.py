"""EM against its base model, each at the temperature that validation problems choose."""

import numpy as np
import polars as pl
import pytest

from analysis import gain
from analysis.gain import Gain

SCHEMA = ["trial_id", "benchmark", "temperature", "accuracy"]


def frame(rows: list[tuple[str, str, float, list[float]]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_the_mean_is_over_benchmarks_not_problems() -> None:
    scores = frame([("a", "sum", 1.0, [1.0, 1.0, 1.0, 1.0]), ("a", "max", 1.0, [0.0])])
    assert gain.mean_scores(scores) == {1.0: 0.5}


def test_of_equal_temperatures_the_lowest_is_chosen() -> None:
    scores = frame([("a", "sum", t, [accuracy]) for t, accuracy in ((0.4, 0.7), (0.2, 0.7), (0.0, 0.1))])
    assert gain.best_temperature(scores) == 0.2


def test_the_temperature_is_chosen_on_validation_and_the_gain_measured_on_test_problems() -> None:
    em = frame(
        [
            ("s0", "valid", 0.0, [1.0]),  # chosen for EM
            ("s0", "valid", 1.0, [0.0]),
            ("s0", "test", 0.0, [0.6, 0.6]),
            ("s0", "test", 1.0, [0.9, 0.9]),  # better on test, and not chosen
        ]
    )
    base = frame(
        [
            ("b", "valid", 0.0, [0.0]),
            ("b", "valid", 1.0, [1.0]),  # chosen for the base model
            ("b", "test", 0.0, [1.0, 1.0]),
            ("b", "test", 1.0, [0.5, 0.3]),
        ]
    )
    estimate = gain.gain(em, base, ["valid"], ["test"], np.random.default_rng(0))
    assert isinstance(estimate, Gain)
    assert (estimate.temperature, estimate.base_temperature, estimate.seeds) == (0.0, 1.0, 1)
    assert (estimate.em, estimate.base) == pytest.approx((0.6, 0.4))
    assert estimate.gain == pytest.approx(0.2)
    assert (estimate.low, estimate.high) == pytest.approx(
        (0.1, 0.3)
    )  # of two problems: both the one, or both the other


def test_problems_are_paired() -> None:
    hard, easy = [0.0] * 30, [0.9] * 30  # problems differ a lot, the gain on each is the same
    em = frame([("s0", "test", 0.0, [accuracy + 0.1 for accuracy in hard + easy])])
    base = frame([("b", "test", 0.0, hard + easy)])
    low, high = gain.difference(em, base, np.random.default_rng(0))
    assert (low, high) == pytest.approx((0.1, 0.1))


def test_a_matrix_has_a_row_a_seed_and_a_column_a_problem() -> None:
    em = frame([("s1", "test", 0.0, [0.0, 0.5]), ("s0", "test", 0.0, [1.0, 0.0]), ("s0", "max", 0.0, [1.0])])
    assert gain.problem_matrix(em, "test").tolist() == [[1.0, 0.0], [0.0, 0.5]]
