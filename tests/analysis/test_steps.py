"""Score against step: where a curve starts, what its points are, which sweeps have one."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure as Page
from numpy.random import default_rng

from analysis import load, stats
from analysis.figures import Figure, check, scored, steps
from analysis.load import Headline
from em.errors import InputError
from em.trial.trial import Earlier, Trial
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, trial
from tests.trials import phase_of

FIGURE = Figure("phases", "steps", [AXIS], Headline(10, EVALUATIONS))


def after(of: Trial, first: Trial, steps: int) -> Trial:
    earlier = Earlier(phase=phase_of(first), steps=steps, seed=first.seed)
    return dataclasses.replace(of, before=(earlier,))


def cells(trials: list[Trial]) -> pl.DataFrame:
    return load.cells(trials, {AXIS: [phase_of(of).rollout.temperature for of in trials]})


@pytest.fixture
def recorded(store, commit: Commit) -> pl.DataFrame:
    """Two seeds that start from step 5 of a first phase, two that start from the base model."""
    first = trial(1.5, seed=7)
    later = [after(trial(0.5, seed), first, 5) for seed in (0, 1)]
    alone = [trial(1.0, seed) for seed in (0, 1)]
    commit(first.base, [0.1, 0.3], step=0)
    commit(first, [0.5, 0.7], step=5)
    for seed, of in enumerate(later):
        commit(of, [0.6 + seed / 10, 0.8], step=2)
        commit(of, [0.4, 0.4 + seed / 5], step=10)
    commit(alone[0], [0.2, 0.4], step=10)
    wanted = cells([*later, *alone])
    records = load.records(store, {*wanted["trial_id"], *wanted["base_id"], *wanted["start_id"]})
    scores = load.scores(records)
    return scored(FIGURE, load.seeds(wanted, scores, FIGURE.headline, [], []), scores).sort(AXIS, "seed")


def test_a_curve_starts_where_its_phase_does(recorded):
    assert recorded.select("step_0", "step_2", "step_10").rows() == [
        pytest.approx((0.6, 0.7, 0.4)),
        pytest.approx((0.6, 0.75, 0.5)),
        (pytest.approx(0.2), None, pytest.approx(0.3)),
        (pytest.approx(0.2), None, None),
    ]


def test_what_other_sweeps_measured_is_no_point_of_this_one(store, commit: Commit):
    commit(trial(0.5).base, [0.1, 0.3], step=0)
    for step in (2, 5, 10, 30):
        commit(trial(0.5), [step / 100, step / 100], step=step)
    wanted = cells([trial(0.5)])
    scores = load.scores(load.records(store, {*wanted["trial_id"], *wanted["base_id"]}))
    seeds = load.seeds(wanted, scores, FIGURE.headline, [], [])
    shown = scored(dataclasses.replace(FIGURE, steps=[5, 10]), seeds, scores)
    assert [name for name in shown.columns if name.startswith("step_")] == ["step_5", "step_10", "step_0"]


def test_points_are_means_with_intervals_over_seeds(recorded):
    rows = steps.numbers(recorded, [AXIS], default_rng(0)).rows(named=True)
    assert [row[AXIS] for row in rows] == [0.5, 1.0]
    first = rows[0]
    assert (first["step_0_low"], first["step_0_mean"], first["step_0_high"]) == pytest.approx((0.6, 0.6, 0.6))
    assert first["step_2_mean"] == pytest.approx(0.725)
    assert (first["step_2_low"], first["step_2_high"]) == pytest.approx((0.7, 0.75))
    assert (first["n"], first["mean"]) == (2, pytest.approx(0.45))
    second = rows[1]
    assert (second["n"], second["missing"], second["step_10_mean"]) == (1, 1, pytest.approx(0.3))
    assert (second["step_2_mean"], second["step_2_low"]) == (None, None)


def test_it_is_drawn_with_every_seed(recorded):
    page = Page()
    steps.draw(page, FIGURE, steps.numbers(recorded, [AXIS], default_rng(0)), recorded)
    (ax,) = page.axes
    curves = {line.get_label(): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}
    assert list(curves) == ["0.5", "1"]
    assert np.asarray(curves["0.5"].get_xdata()).tolist() == [0, 2, 10]
    assert np.asarray(curves["0.5"].get_ydata()).tolist() == pytest.approx([60, 72.5, 45])
    assert len(ax.get_lines()) == 2 + 3  # a mean for each cell, and the seeds that have a score


def test_too_many_cells_and_several_models_are_refused():
    many = cells([trial(0.1 * k) for k in range(1, 9)])
    with pytest.raises(InputError, match=r"figure phases: cells=8: a figure of curves has one for each"):
        check(FIGURE, many)
    two = cells([trial(0.5), trial(1.0)]).with_columns(base_id=pl.Series(["a", "b"]))
    with pytest.raises(InputError, match=r"several base models"):
        check(FIGURE, two)


def test_intervals_are_those_of_the_other_figures(recorded):
    scores = recorded.filter(pl.col(AXIS) == 0.5)["step_10"].to_numpy()
    row = steps.numbers(recorded, [AXIS], default_rng(0)).row(0, named=True)
    low, high = stats.interval(default_rng(0), scores)
    assert (row["step_10_low"], row["step_10_high"]) == pytest.approx((low, high), abs=0.03)
