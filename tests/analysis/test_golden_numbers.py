"""One small store, its numbers by hand for each kind of figure, and what changes them.

Two cells of three seeds, measured after steps 5 and 10 at temperatures 0 and 1.  A seed's accuracies on the two
benchmarks lie 0.1 below and above its score.  Of the second cell one seed diverged and one failed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from analysis.draw import Drawn, counted
from analysis.figures import Figure
from analysis.seeds import Headline
from em.errors import InputError
from em.evaluation.graders import GRADERS
from em.store import Store
from em.store.record import Regrade, Status
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.analysis.conftest import AXIS, EVALUATIONS, LR, Commit, average, cells, drawn, trial

GREEDY = [replace(item, temperature=0.0, samples=1) for item in EVALUATIONS]
AT_ALL = [*GREEDY, *EVALUATIONS]
HEADLINE = Headline(10, EVALUATIONS)
TRIALS = [trial(temperature, seed) for temperature in (0.5, 1.0) for seed in range(3)]
SCORES = (0.3, 0.5, 0.7, 0.2)  # after step 10 at temperature 1; after step 5 0.1 below, at temperature 0 0.2 above
FIGURES = {
    "axis": Figure("axis", "axis", [AXIS], HEADLINE),
    "heatmap": Figure("heatmap", "heatmap", [AXIS, LR], HEADLINE),
    "steps": Figure("steps", "steps", [AXIS], HEADLINE, AT_ALL, [5, 10]),
    "eval_temperature": Figure("eval_temperature", "eval_temperature", [AXIS], HEADLINE, AT_ALL, [5, 10]),
    "dynamics": Figure("dynamics", "dynamics", [AXIS], HEADLINE, AT_ALL, [5, 10]),
}
# axis, step, temperature: n, diverged, failed, missing, mean, base, gain
GOLDEN: dict[str, dict[tuple[float, int, float], tuple[int, int, int, int, float | None, float, float | None]]] = {
    "axis": {
        (0.5, 10, 1.0): (3, 0, 0, 0, 0.5, 0.2, 0.3),
        (1.0, 10, 1.0): (1, 1, 1, 0, 0.2, 0.2, 0.0),
    },
    "steps": {
        (0.5, 0, 1.0): (3, 0, 0, 0, 0.2, 0.2, 0.0),
        (0.5, 5, 1.0): (3, 0, 0, 0, 0.4, 0.2, 0.2),
        (0.5, 10, 1.0): (3, 0, 0, 0, 0.5, 0.2, 0.3),
        (1.0, 0, 1.0): (3, 0, 0, 0, 0.2, 0.2, 0.0),
        (1.0, 5, 1.0): (2, 0, 1, 0, 0.1, 0.2, -0.1),
        (1.0, 10, 1.0): (1, 1, 1, 0, 0.2, 0.2, 0.0),
    },
    "eval_temperature": {
        (0.5, 10, 0.0): (3, 0, 0, 0, 0.7, 0.4, 0.3),
        (0.5, 10, 1.0): (3, 0, 0, 0, 0.5, 0.2, 0.3),
        (1.0, 10, 0.0): (1, 1, 1, 0, 0.4, 0.4, 0.0),
        (1.0, 10, 1.0): (1, 1, 1, 0, 0.2, 0.2, 0.0),
    },
}
GOLDEN["heatmap"] = GOLDEN["dynamics"] = GOLDEN["axis"]


def around(score: float, evaluations: Sequence[object] = AT_ALL) -> list[float]:
    """Accuracies on both benchmarks, at temperature 0 before those at 1."""
    return [score + 0.1, score + 0.3, score - 0.1, score + 0.1][-len(evaluations) :]


@pytest.fixture
def recorded(store: Store, commit: Commit) -> Store:
    commit(trial().base, around(0.2), AT_ALL, step=0)
    for of, score in zip(TRIALS, SCORES, strict=False):
        commit(of, around(score - 0.1), AT_ALL, step=5, losses=[0.5])
        commit(of, around(score), AT_ALL, step=10, losses=[0.5])
    commit(TRIALS[4], around(0.1), AT_ALL, step=5, status=Status.diverged)
    commit(TRIALS[5], [], AT_ALL, status=Status.failed)
    return store


def shown(store: Store, kind: str, wanted: Sequence[Trial] = TRIALS) -> Drawn:
    figure = FIGURES[kind]
    return drawn(store, figure, cells(wanted, *figure.axes))


def numbers(of: Drawn) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    columns = ("n", "diverged", "failed", "missing", "mean", "base", "gain")
    rows = average(of).select(AXIS, "step", "temperature", *columns).rows()
    return {row[:3]: row[3:] for row in rows}


def remove(store: Store, of: Trial, step: int) -> None:
    """The record of one of a trial's units of work."""
    unit = Unit(of, tuple(Measurement(step, evaluation) for evaluation in AT_ALL))
    store.files.remove(f"records/{unit.id}.parquet")


def wrong(kind: str, of: Drawn) -> list[tuple[Any, ...]]:
    """The places at which a figure does not show the golden numbers."""
    golden, found = GOLDEN[kind], numbers(of)
    assert golden.keys() == found.keys()
    return [place for place, row in found.items() if row != pytest.approx(golden[place], abs=1e-12)]


@pytest.mark.parametrize("kind", FIGURES)
def test_numbers_are_those_by_hand(recorded: Store, kind: str) -> None:
    of = shown(recorded, kind)
    assert wrong(kind, of) == []
    assert of.notes == []
    assert len(of.seeds.filter(pl.col("metric") == "average")) == 3 * len(GOLDEN[kind])


def test_subtitles_count_trials_and_seeds(recorded: Store) -> None:
    said = {kind: counted(shown(recorded, kind)) for kind in FIGURES}
    usual = "4 of 6 trials, n = 1 to 3 a cell"
    assert said == dict.fromkeys(FIGURES, usual) | {"steps": "5 of 6 trials, n = 1 to 3 a cell"}


@pytest.mark.parametrize("kind", FIGURES)
def test_a_seed_that_is_dropped_is_missed(recorded: Store, kind: str) -> None:
    remove(recorded, TRIALS[2], step=10)
    of = shown(recorded, kind)
    assert wrong(kind, of) == [place for place in GOLDEN[kind] if place[:2] == (0.5, 10)]
    assert numbers(of)[0.5, 10, 1.0] == (2, 0, 0, 1, *map(pytest.approx, (0.4, 0.2, 0.2)))


@pytest.mark.parametrize("kind", FIGURES)
def test_a_seed_that_is_not_wanted_is_not_counted(recorded: Store, kind: str) -> None:
    assert numbers(shown(recorded, kind, TRIALS[:5]))[1.0, 10, 1.0][:4] == (1, 1, 0, 0)


@pytest.mark.parametrize("kind", FIGURES)
def test_a_cell_that_is_wanted_twice_is_refused(recorded: Store, kind: str) -> None:
    with pytest.raises(InputError, match=rf"figure {kind}: the sweep varies more than rollout\.temperature, "):
        shown(recorded, kind, [*TRIALS, TRIALS[0]])


def test_a_measurement_that_was_made_twice_counts_once(recorded: Store, commit: Commit) -> None:
    commit(TRIALS[0], around(0.9, EVALUATIONS), EVALUATIONS, step=10, started="2026-01-02T00:00:00+00:00")
    assert wrong("axis", shown(recorded, "axis")) == []


@pytest.mark.parametrize("kind", FIGURES)
def test_a_measurement_of_another_step_is_not_taken(recorded: Store, commit: Commit, kind: str) -> None:
    remove(recorded, TRIALS[2], step=10)
    for step in (9, 11):
        commit(TRIALS[2], around(0.7), AT_ALL, step=step, losses=[0.5])
    assert numbers(shown(recorded, kind))[0.5, 10, 1.0][:4] == (2, 0, 0, 1)


def test_a_score_of_another_setting_is_not_taken(recorded: Store, commit: Commit) -> None:
    remove(recorded, TRIALS[2], step=10)
    fewer = [replace(item, samples=4) for item in AT_ALL]
    commit(TRIALS[2], around(0.7), fewer, step=10)
    assert numbers(shown(recorded, "axis"))[0.5, 10, 1.0][:4] == (2, 0, 0, 1)


@pytest.mark.parametrize("kind", FIGURES)
def test_grades_of_an_older_grader_are_warned_of_until_they_are_given_again(
    recorded: Store, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GRADERS, "tiny", replace(GRADERS["tiny"], version=2))
    outdated = shown(recorded, kind).notes
    measurements = sum(row[0] for row in GOLDEN[kind].values()) * 2
    again = "`python -m em.evaluation.grade` gives them again"
    assert outdated == [f"{measurements} measurements have grades of an older version of the grader: {again}"]
    unit = Unit(TRIALS[0], tuple(Measurement(10, evaluation) for evaluation in AT_ALL))
    regrades = [
        Regrade(
            accuracy=0.9,
            correct=[True],
            extracted=["2"],
            grader_version=2,
            unit_id=unit.id,
            attempt_id="a",
            step=10,
            evaluation_id=evaluation.id,
            graded="2026-01-03T00:00:00+00:00",
            code_version="abc",
        )
        for evaluation in EVALUATIONS
    ]
    recorded.commit_grades(regrades)
    of = shown(recorded, kind)
    assert of.notes == [outdated[0].replace(str(measurements), str(measurements - 2), 1)]
    assert numbers(of)[0.5, 10, 1.0][4] == pytest.approx((0.9 + 0.5 + 0.7) / 3)


def test_an_axis_that_the_sweep_does_not_have_is_named(recorded: Store) -> None:
    figure = replace(FIGURES["axis"], axes=["rollout.temprature"])
    with pytest.raises(InputError, match=r"unknown axis of figure axis 'rollout\.temprature': did you mean 'rollout"):
        drawn(recorded, figure, cells(TRIALS))


def test_a_record_that_is_damaged_is_named(recorded: Store) -> None:
    unit = Unit(TRIALS[0], tuple(Measurement(10, evaluation) for evaluation in AT_ALL))
    (recorded.root / "records" / f"{unit.id}.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"record {unit.id}: damaged; the next launch of the sweep sets it aside"):
        shown(recorded, "axis")
