from dataclasses import replace
from io import StringIO

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from analysis.draw import UNSAVED, Drawn, draw_figures
from analysis.figures import Figure
from analysis.load import Headline
from em.errors import InputError
from em.evaluation.graders import GRADERS
from em.store import Store
from em.store.record import Status
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.trial import Trial
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, cells, trial

TRIALS = [trial(temperature, seed) for seed in range(3) for temperature in (0.5, 1.0)]


def draw(store: Store, trials: list[Trial] = TRIALS, axis: str = AXIS, output: StringIO | None = None) -> Drawn:
    console = Console(file=output or StringIO(), width=100)
    figure = Figure("temperature", "axis", [axis], Headline(10, EVALUATIONS))
    (drawn,) = draw_figures(store, [figure], cells(trials, axis), console)
    return drawn


@pytest.fixture
def swept(store: Store, commit: Commit) -> Store:
    commit(trial().base, [0.1, 0.3], step=0)
    for index, wanted in enumerate(TRIALS[:4]):
        commit(wanted, [0.1 * index, 0.2 * index])
    commit(TRIALS[4], [], status=Status.diverged)
    commit(TRIALS[5], [], status=Status.failed)
    return store


def test_a_partial_sweep_from_store_to_files(swept: Store):
    output = StringIO()
    drawn = draw(swept, output=output)
    assert drawn.numbers.select(AXIS, "n", "mean", "gain", "diverged", "failed", "missing").rows() == [
        (0.5, 2, pytest.approx(0.15), pytest.approx(-0.05), 1, 0, 0),
        (1.0, 2, pytest.approx(0.3), pytest.approx(0.1), 0, 1, 0),
    ]
    names = ["temperature.pdf", "temperature.png", "temperature.csv", "temperature-seeds.csv"]
    assert drawn.paths == [swept.root / "figures" / name for name in names]
    assert sorted(path.name for path in (swept.root / "figures").iterdir()) == sorted(names)
    text = output.getvalue()
    assert "base model 20.0" in text
    assert "15.0" in text
    assert "warning" not in text
    assert all(str(path) in text for path in drawn.paths)


def test_the_numbers_are_saved_beside_the_picture(swept: Store):
    drawn = draw(swept)
    assert_frame_equal(
        pl.read_csv(swept.root / "figures" / "temperature.csv", schema=drawn.numbers.schema), drawn.numbers
    )
    seeds = pl.read_csv(swept.root / "figures" / "temperature-seeds.csv")
    assert_frame_equal(seeds, drawn.seeds.drop(UNSAVED), check_dtypes=False)
    assert seeds.select(AXIS, "seed", "outcome").rows() == [
        (0.5, 0, "scored"),
        (0.5, 1, "scored"),
        (0.5, 2, "diverged"),
        (1.0, 0, "scored"),
        (1.0, 1, "scored"),
        (1.0, 2, "failed"),
    ]


def test_the_same_records_give_the_same_bytes(swept: Store):
    first = [path.read_bytes() for path in draw(swept).paths]
    assert first == [path.read_bytes() for path in draw(swept, trials=TRIALS[::-1]).paths]
    assert b"CreationDate" not in first[0]


def test_mixed_environments_and_attempts_are_warned_of(swept: Store, commit: Commit):
    third = trial(0.5, seed=3)
    commit(third, [0.2], evaluations=EVALUATIONS[:1], weights="one", environment='{"device": "other"}')
    commit(third, [0.2], evaluations=EVALUATIONS[1:], weights="two", environment='{"device": "other"}')
    output = StringIO()
    draw(swept, trials=[*TRIALS, third], output=output)
    assert "warning: 1 of 2 cells mix hardware or library versions" in output.getvalue()
    assert "warning: 1 scores unite attempts whose weights differ" in output.getvalue()


def test_mixed_and_uncommitted_code_is_warned_of(swept: Store, commit: Commit):
    third, output = trial(0.5, seed=3), StringIO()
    draw(swept, output=output)
    assert "warning" not in output.getvalue()
    commit(third, [0.2, 0.6], code_version="def-dirty")
    draw(swept, trials=[*TRIALS, third], output=output)
    assert "warning: 1 of 2 cells mix versions of the code" in output.getvalue()
    assert "warning: 1 scores are of code with uncommitted changes" in output.getvalue()


def test_grades_of_an_older_grader_are_warned_of(swept: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(GRADERS, "tiny", replace(GRADERS["tiny"], version=2))
    output = StringIO()
    draw(swept, output=output)
    assert "warning: 8 measurements have grades of an older version of the grader" in output.getvalue()


def test_answers_that_could_not_be_graded_are_warned_of(swept: Store, commit: Commit):
    third = trial(0.5, seed=3)
    commit(third, [0.2, 0.6], timeouts=2)
    output = StringIO()
    draw(swept, trials=[*TRIALS, third], output=output)
    assert "warning: 4 answers could not be graded and count as wrong" in output.getvalue()


def test_without_the_base_model_there_is_no_gain(store: Store, commit: Commit):
    commit(TRIALS[0], [0.2, 0.4])
    assert draw(store).numbers["gain"].to_list() == [None, None]


def test_what_cannot_be_drawn_is_refused(swept: Store, commit: Commit):
    with pytest.raises(InputError, match=r"varies more than rollout\.temperature, the seed"):
        draw(swept, trials=[*TRIALS, with_value(TRIALS[0], "phase.optimizer.lr", 1e-4)])
    with pytest.raises(InputError, match="has several base models"):
        draw(swept, trials=[*TRIALS, replace(trial(seed=7), model=Model(path="models/other"))])
    with pytest.raises(InputError, match="needs numbers"):
        draw(swept, axis="prompts.template")
    with pytest.raises(InputError, match="holds no score after step 10 of figure temperature"):
        draw(swept, trials=TRIALS[4:])
