"""A sweep from store to files: pictures, numbers, seeds, what is printed and what a reader is warned of."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from analysis.draw import UNSAVED, draw_figures
from analysis.figures import Figure
from analysis.seeds import Headline
from analysis.tables import load
from em.errors import InputError
from em.evaluation.graders import GRADERS
from em.store import Store
from em.store.record import Status
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.trial import Trial
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, average, cells, drawn, svg, texts, trial

TRIALS = [trial(temperature, seed) for seed in range(3) for temperature in (0.5, 1.0)]
FIGURE = Figure("temperature", "axis", [AXIS], Headline(10, EVALUATIONS))


def draw(store: Store, trials: list[Trial] = TRIALS, output: StringIO | None = None, axis: str = AXIS) -> list[Path]:
    console = Console(file=output or StringIO(), width=100)
    wanted = cells(trials, axis)
    tables = load(store, {*wanted["trial_id"], *wanted["base_id"]})
    return draw_figures(tables, [replace(FIGURE, axes=[axis])], wanted, console)


@pytest.fixture
def partial(store: Store, commit: Commit) -> Store:
    """Two seeds of each cell are scored; the third of the one diverged, that of the other failed."""
    commit(trial().base, [0.1, 0.3], step=0)
    for index, wanted in enumerate(TRIALS[:4]):
        commit(wanted, [0.1 * index, 0.2 * index])
    commit(TRIALS[4], [], status=Status.diverged)
    commit(TRIALS[5], [], status=Status.failed)
    return store


def test_a_partial_sweep_from_store_to_files(partial: Store) -> None:
    output = StringIO()
    paths = draw(partial, output=output)
    made = drawn(partial, FIGURE, cells(TRIALS))
    assert average(made).select(AXIS, "n", "mean", "gain", "diverged", "failed", "missing").rows() == [
        (0.5, 2, pytest.approx(0.15), pytest.approx(-0.05), 1, 0, 0),
        (1.0, 2, pytest.approx(0.3), pytest.approx(0.1), 0, 1, 0),
    ]
    ends = (".pdf", ".png", ".svg", ".csv", "-seeds.csv")
    assert paths == [partial.root / "figures" / f"temperature{end}" for end in ends]
    assert {path.name for path in (partial.root / "figures").iterdir()} == {path.name for path in paths}
    starts = [path.read_bytes()[:8] for path in paths[:3]]
    assert [starts[0][:5], starts[1], starts[2][:4]] == [b"%PDF-", b"\x89PNG\r\n\x1a\n", b"<svg"]
    text = output.getvalue()
    assert "base model 20.0" in text
    assert "15.0" in text
    assert "warning" not in text
    assert all(str(path) in text for path in paths)


def test_the_numbers_are_saved_beside_the_picture(partial: Store) -> None:
    draw(partial)
    made = drawn(partial, FIGURE, cells(TRIALS))
    saved = pl.read_csv(partial.root / "figures" / "temperature.csv", schema=made.numbers.schema)
    assert_frame_equal(saved, made.numbers)
    seeds = pl.read_csv(partial.root / "figures" / "temperature-seeds.csv")
    assert seeds.columns == [name for name in made.seeds.columns if name not in UNSAVED]
    assert seeds["score"].to_list() == made.seeds["score"].to_list()
    assert seeds.select("trial_id", AXIS, "seed", "outcome").rows() == [
        (TRIALS[0].id, 0.5, 0, "scored"),
        (TRIALS[2].id, 0.5, 1, "scored"),
        (TRIALS[4].id, 0.5, 2, "diverged"),
        (TRIALS[1].id, 1.0, 0, "scored"),
        (TRIALS[3].id, 1.0, 1, "scored"),
        (TRIALS[5].id, 1.0, 2, "failed"),
    ]


def test_the_same_records_give_the_same_bytes(partial: Store) -> None:
    first = [path.read_bytes() for path in draw(partial)]
    assert first == [path.read_bytes() for path in draw(partial, trials=TRIALS[::-1])]
    assert b"CreationDate" not in first[0]


def test_mixed_environments_and_attempts_are_warned_of(partial: Store, commit: Commit) -> None:
    third, output = trial(0.5, seed=3), StringIO()
    commit(third, [0.2], evaluations=EVALUATIONS[:1], weights="one", environment='{"device": "other"}')
    commit(third, [0.2], evaluations=EVALUATIONS[1:], weights="two", environment='{"device": "other"}')
    draw(partial, [*TRIALS, third], output)
    assert "warning: 1 of 2 cells mix hardware or library versions" in output.getvalue()
    assert "warning: 1 scores unite attempts whose weights differ" in output.getvalue()


def test_mixed_and_uncommitted_code_is_warned_of(partial: Store, commit: Commit) -> None:
    third, output = trial(0.5, seed=3), StringIO()
    draw(partial, output=output)
    assert "warning" not in output.getvalue()
    commit(third, [0.2, 0.6], code_version="def-dirty")
    draw(partial, [*TRIALS, third], output)
    assert "warning: 1 of 2 cells mix versions of the code" in output.getvalue()
    assert "warning: 1 scores are of code with uncommitted changes" in output.getvalue()


def test_grades_of_an_older_grader_are_warned_of(partial: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRADERS, "tiny", replace(GRADERS["tiny"], version=2))
    output = StringIO()
    draw(partial, output=output)
    assert "warning: 8 measurements have grades of an older version of the grader" in output.getvalue()


def test_answers_that_could_not_be_graded_are_warned_of(partial: Store, commit: Commit) -> None:
    third, output = trial(0.5, seed=3), StringIO()
    commit(third, [0.2, 0.6], timeouts=2)
    draw(partial, [*TRIALS, third], output)
    assert "warning: 4 answers could not be graded and count as wrong" in output.getvalue()


def test_a_warning_is_part_of_the_picture(partial: Store, commit: Commit) -> None:
    commit(trial(0.5, seed=3), [0.2, 0.6], timeouts=2)
    written = texts(svg(drawn(partial, FIGURE, cells([*TRIALS, trial(0.5, seed=3)]))))
    assert "warning: 4 answers could not be graded and count as wrong" in written


def test_without_the_base_model_there_is_no_gain(store: Store, commit: Commit) -> None:
    commit(TRIALS[0], [0.2, 0.4])
    output = StringIO()
    draw(store, output=output)
    assert average(drawn(store, FIGURE, cells(TRIALS)))["gain"].to_list() == [None, None]
    assert "base model" not in output.getvalue()


def test_what_cannot_be_drawn_is_refused(partial: Store) -> None:
    with pytest.raises(InputError, match=r"varies more than rollout\.temperature, the seed"):
        draw(partial, [*TRIALS, with_value(TRIALS[0], "phase.optimizer.lr", 1e-4)])
    with pytest.raises(InputError, match="has several base models"):
        draw(partial, [*TRIALS, replace(trial(seed=7), model=Model(path="models/other"))])
    with pytest.raises(InputError, match="needs numbers"):
        draw(partial, axis="prompts.template")
    with pytest.raises(InputError, match="holds no score after step 10 of figure temperature, nothing to draw"):
        draw(partial, TRIALS[4:])


def test_an_empty_store_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"holds no record of these 7 trials; run the sweep first"):
        draw(store)
    assert not (store.root / "figures").exists()
