"""Score against step: where a curve starts, what its points are, which sweeps have one."""

import dataclasses
import math

import polars as pl
import pytest

from analysis.draw import Drawn, specification
from analysis.figures import CURVES, Figure, check
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
from em.store.record import Status
from em.trial.trial import Earlier, Trial
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, average, cells, drawn, marks, svg, texts, trial
from tests.trials import phase_of

FIGURE = Figure("phases", "steps", [AXIS], Headline(10, EVALUATIONS), EVALUATIONS, [2, 10])
ALONE = dataclasses.replace(FIGURE, axes=[])


def after(of: Trial, first: Trial, steps: int) -> Trial:
    earlier = Earlier(phase=phase_of(first), steps=steps, seed=first.seed)
    return dataclasses.replace(of, before=(earlier,))


@pytest.fixture
def recorded(store: Store, commit: Commit) -> Drawn:
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
    return drawn(store, FIGURE, cells([*later, *alone]))


def test_a_curve_starts_where_its_phase_does(recorded: Drawn) -> None:
    seeds = recorded.seeds.select(AXIS, "seed", "step", "score", "outcome").sort(AXIS, "seed", "step").rows()
    assert seeds == [
        (0.5, 0, 0, pytest.approx(0.6), "scored"),
        (0.5, 0, 2, pytest.approx(0.7), "scored"),
        (0.5, 0, 10, pytest.approx(0.4), "scored"),
        (0.5, 1, 0, pytest.approx(0.6), "scored"),
        (0.5, 1, 2, pytest.approx(0.75), "scored"),
        (0.5, 1, 10, pytest.approx(0.5), "scored"),
        (1.0, 0, 0, pytest.approx(0.2), "scored"),
        (1.0, 0, 2, None, "missing"),
        (1.0, 0, 10, pytest.approx(0.3), "scored"),
        (1.0, 1, 0, pytest.approx(0.2), "scored"),
        (1.0, 1, 2, None, "missing"),
        (1.0, 1, 10, None, "missing"),
    ]


def test_what_other_sweeps_measured_is_no_point_of_this_one(store: Store, commit: Commit) -> None:
    commit(trial(0.5).base, [0.1, 0.3], step=0)
    for step in (2, 5, 10, 30):
        commit(trial(0.5), [step / 100, step / 100], step=step)
    numbers = average(drawn(store, dataclasses.replace(FIGURE, steps=[5, 10]), cells([trial(0.5)])))
    assert numbers.select("step", "mean").rows() == [(0, 0.2), (5, 0.05), (10, 0.1)]


def test_points_are_means_over_seeds(recorded: Drawn) -> None:
    numbers = average(recorded).select(AXIS, "step", "n", "missing", "mean", "base", "gain")
    assert numbers.rows() == [
        (0.5, 0, 2, 0, pytest.approx(0.6), pytest.approx(0.2), pytest.approx(0.4)),
        (0.5, 2, 2, 0, pytest.approx(0.725), pytest.approx(0.2), pytest.approx(0.525)),
        (0.5, 10, 2, 0, pytest.approx(0.45), pytest.approx(0.2), pytest.approx(0.25)),
        (1.0, 0, 2, 0, pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0)),
        (1.0, 2, 0, 2, None, pytest.approx(0.2), None),
        (1.0, 10, 1, 1, pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.1)),
    ]


def test_it_is_drawn_with_every_seed(recorded: Drawn) -> None:
    spec = specification(recorded)
    thin, thick = marks(spec, "line")
    assert (thin["data"], thin["encoding"]["detail"]["field"]) == ({"name": "seeds"}, "trial_id")
    assert thin["transform"] == [{"filter": "datum.metric == metric"}]  # a seed without a score is a gap
    assert (thick["data"], thick["encoding"]["y"]["field"]) == ({"name": "numbers"}, "centre")
    assert thick["encoding"]["color"]["scale"]["domain"] == ["0.5", "1"]
    (band,) = marks(spec, "area")
    assert [band["encoding"][name]["field"] for name in ("x", "y", "y2")] == ["step", "lower", "upper"]
    written = texts(svg(recorded))
    assert {"optimiser step of the last phase", "accuracy", "0.5", "1", CURVES} <= {*written}
    assert {"small after step 10 of entropy minimisation", "3 of 4 trials, n = 0 to 2 a cell"} <= {*written}


def test_one_curve_has_the_loss_beside_it(store: Store, commit: Commit) -> None:
    commit(trial().base, [0.2, 0.2], step=0)
    for seed, losses in enumerate(([0.5, 0.25], [0.3, 0.15])):
        commit(trial(seed=seed), [0.4, 0.4], step=2, losses=losses)
    made = drawn(store, dataclasses.replace(ALONE, steps=[2]), cells([trial(seed=seed) for seed in (0, 1)], last=2))
    loss = made.numbers.filter(pl.col("metric") == "loss").select("step", "n", "mean", "base", "gain")
    assert loss.rows() == [
        (1, 2, pytest.approx(0.4), None, None),
        (2, 2, pytest.approx(0.2), None, None),
    ]
    written = texts(svg(made))
    assert {"training loss, nats", "accuracy"} <= {*written}
    assert specification(made)["resolve"] == {"scale": {"y": "independent"}}


def test_a_seed_that_diverged_has_the_steps_before(store: Store, commit: Commit) -> None:
    """The loss that was not finite is no number of the curve."""
    commit(trial(), [0.4, 0.4], step=2, status=Status.diverged, losses=[0.5, 0.25, math.nan])
    made = drawn(store, ALONE, cells([trial()]))
    assert made.seeds.filter(pl.col("metric") == "average").select("step", "score", "outcome").rows() == [
        (0, None, "diverged"),
        (2, pytest.approx(0.4), "scored"),
        (10, None, "diverged"),
    ]
    loss = made.numbers.filter(pl.col("metric") == "loss", pl.col("step") <= 4).select("step", "n", "diverged", "mean")
    assert loss.rows() == [(1, 1, 0, 0.5), (2, 1, 0, 0.25), (3, 0, 1, None), (4, 0, 1, None)]


def test_too_many_cells_and_several_models_are_refused() -> None:
    many = cells([trial(0.1 * k) for k in range(1, 9)])
    with pytest.raises(InputError, match=r"figure phases: cells=8: a figure of curves has one for each"):
        check(FIGURE, many)
    two = cells([trial(0.5), trial(1.0)]).with_columns(base_id=pl.Series(["a", "b"]))
    with pytest.raises(InputError, match=r"several base models"):
        check(FIGURE, two)


def test_curves_beyond_four_are_dashed_and_the_legend_names_the_axis(store: Store, commit: Commit) -> None:
    wanted = [trial(temperature / 10) for temperature in range(1, 7)]
    commit(wanted[0].base, [0.1, 0.3], step=0)
    for of in wanted:
        commit(of, [0.2, 0.4], step=2)
        commit(of, [0.4, 0.6], step=10)
    picture = svg(drawn(store, FIGURE, cells(wanted)))
    lines = [path for path in picture.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width") == "1.7"]
    assert [line.get("stroke-dasharray") for line in lines] == ["1,0"] * 4 + ["6,2", "2,2"]
    assert "training temperature" in texts(picture)
