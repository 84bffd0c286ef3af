"""Training, step by step: a panel for each metric, a curve for each cell."""

import math

import polars as pl
import pytest

from analysis.draw import Drawn, specification
from analysis.figures import CURVES, Figure, check
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
from em.store.record import Status
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, average, cells, drawn, marks, svg, texts, trial

FIGURE = Figure("shots", "dynamics", [AXIS], Headline(2, EVALUATIONS), EVALUATIONS, [2])
TRIALS = [trial(temperature, seed) for temperature in (0.5, 1.5) for seed in (0, 1)]


@pytest.fixture
def recorded(store: Store, commit: Commit) -> Drawn:
    """One seed of the second cell diverges at its second step, the other is not trained yet."""
    commit(trial().base, [0.3, 0.3], step=0)
    commit(TRIALS[0], [0.4, 0.4], step=2, losses=[0.5, 0.3])
    commit(TRIALS[1], [0.6, 0.6], step=2, losses=[0.7, 0.1])
    commit(TRIALS[2], [], step=2, status=Status.diverged, losses=[0.9, math.nan])
    return drawn(store, FIGURE, cells(TRIALS, last=2))


def test_each_step_has_a_mean_over_seeds(recorded: Drawn) -> None:
    loss = recorded.numbers.filter(pl.col("metric") == "loss")
    assert loss.select(AXIS, "step", "n", "diverged", "missing", "mean", "gain").rows() == [
        (0.5, 1, 2, 0, 0, pytest.approx(0.6), None),
        (0.5, 2, 2, 0, 0, pytest.approx(0.2), None),
        (1.5, 1, 1, 0, 1, 0.9, None),
        (1.5, 2, 0, 1, 1, None, None),
    ]
    lengths = recorded.numbers.filter(pl.col("metric").is_in(["prompt length", "output length"]))
    assert lengths.filter(pl.col(AXIS) == 0.5).select("metric", "step", "n", "mean").rows() == [
        ("output length", 1, 2, 10.0),
        ("output length", 2, 2, 20.0),
        ("prompt length", 1, 2, 3.0),
        ("prompt length", 2, 2, 3.0),
    ]


def test_the_score_is_beside_them(recorded: Drawn) -> None:
    numbers = average(recorded).select(AXIS, "step", "n", "diverged", "missing", "mean", "gain")
    assert numbers.rows() == [
        (0.5, 2, 2, 0, 0, pytest.approx(0.5), pytest.approx(0.2)),
        (1.5, 2, 0, 1, 1, None, None),
    ]


def test_a_panel_for_each_with_every_seed(recorded: Drawn) -> None:
    spec = specification(recorded)
    assert [panel["layer"][0]["encoding"]["y"]["title"] for panel in spec["vconcat"]] == [
        "loss, nats",
        "prompt length, tokens",
        "output length, tokens",
    ]
    thin, thick = marks(spec["vconcat"][0], "line")
    assert (thin["data"], thin["encoding"]["detail"]["field"]) == ({"name": "seeds"}, "trial_id")
    assert "datum.metric == 'loss'" in thin["transform"][0]["filter"]
    assert (thick["encoding"]["x"]["field"], thick["encoding"]["y"]["field"]) == ("step", "mean")
    written = texts(svg(recorded))
    assert {"loss, nats", "output length, tokens", "optimiser step", "0.5", "1.5", CURVES} <= {*written}
    assert "2 of 4 trials, n = 0 to 2 a cell" in written


def test_a_longer_record_is_not_shown_beyond_what_the_sweep_wants(store: Store, commit: Commit) -> None:
    commit(TRIALS[0], [0.4, 0.4], step=2, losses=[0.5, 0.3])
    commit(TRIALS[0], [0.4, 0.4], step=3, losses=[0.5, 0.3, 0.2])
    made = drawn(store, FIGURE, cells(TRIALS[:1], last=2))
    assert made.numbers.filter(pl.col("metric") == "loss").select("step", "mean").rows() == [(1, 0.5), (2, 0.3)]


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(InputError, match="figure shots: cells=8: a figure of curves has one for each"):
        check(FIGURE, cells([trial(0.1 * k) for k in range(1, 9)]))
