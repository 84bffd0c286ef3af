"""docs/notebook.py runs from top to bottom, and what it shows is what the analysis says."""

import re
import runpy
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analysis.draw import computed
from analysis.tables import load
from em.store import Store
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.figures import figures_of
from tests.synthetic import fill
from tests.truth import Options, Peak

DOCS = Path(__file__).parents[1] / "docs"
AXIS = "rollout.temperature"
SEEDS = 3


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """A store in which one seed of the lowest temperature diverged before it was measured."""
    folder = tmp_path_factory.mktemp("notebook") / "results"
    config = compose_launch(["sweep=temperature", f"sweep.seeds={SEEDS}", f"store={folder}"])
    lost = expand.frame(config).filter(pl.col("seed") == 1).sort(AXIS)["trial_id"][0]
    fill(Store(folder), config, Peak(), Options(diverges=lambda trial: 2 if trial.id == lost else 0))
    return config


def run(folder: Path | str) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """What each cell shows, and what all of them define."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["notebook.py", f"--store={folder}"])
        return runpy.run_path(str(DOCS / "notebook.py"))["app"].run()


@pytest.fixture(scope="module")
def defined(sweep: Launch) -> Mapping[str, Any]:
    return run(sweep.store)[1]


@pytest.fixture(scope="module")
def numbers(sweep: Launch) -> pl.DataFrame:
    """Those of the sweep's own figure."""
    cells = expand.frame(sweep)
    (figure,) = figures_of(sweep, cells)
    drawn = computed(figure, cells, load(sweep.store)).numbers
    return drawn.filter(pl.col("metric") == "average").sort(AXIS)


def test_figure_3_by_hand_has_the_means_of_the_figure(defined, numbers):
    assert len(defined["seeds"]) == numbers["n"].sum() == 8 * SEEDS - 1
    assert defined["means"].sort(AXIS)["accuracy"].to_list() == pytest.approx(numbers["mean"].to_list(), abs=1e-12)


def test_the_intervals_are_those_of_the_figure(defined, numbers):
    assert defined["intervals"].equals(numbers.select(AXIS, "mean", "low", "high"))
    assert defined["cells"]["n"].to_list() == [SEEDS - 1] + [SEEDS] * 7
    assert defined["cells"]["diverged"].to_list() == [1] + [0] * 7


def by_hand(defined: Mapping[str, Any], temperature: float) -> np.ndarray:
    return defined["seeds"].filter(pl.col(AXIS) == temperature)["accuracy"].to_numpy()


def test_two_cells_are_compared_by_all_pairs_of_seeds(defined):
    high, low = (by_hand(defined, chosen) for chosen in (2.0, 0.25))
    wins = [(x > y) + (x == y) / 2 for x in high for y in low]
    assert len(wins) == SEEDS * (SEEDS - 1)
    estimate, below, above = defined["improvement"]
    assert estimate == pytest.approx(np.mean(wins))
    assert below <= estimate <= above


def test_two_models_differ_by_what_their_scores_do(defined):
    scores = dict(defined["own"].select("trial_id", "score").iter_rows())
    paired = defined["paired"]
    assert paired.difference == pytest.approx(scores[defined["first"]] - scores[defined["second"]])
    assert paired.low < paired.difference < paired.high
    assert len(defined["answered"](defined["first"])) == 6 * 20  # problems of all benchmarks


def test_the_spread_is_the_variance_of_the_seeds(defined):
    spread = defined["spread"]
    expected = [np.var(by_hand(defined, temperature), ddof=1) for temperature in spread[AXIS]]
    assert spread["total"].to_list() == pytest.approx(expected)
    highest = [by_hand(defined, temperature).max() for temperature in spread[AXIS]]
    assert spread["best"].to_list() == pytest.approx(highest)
    assert (spread["corrected"] <= spread["best"]).all()


def test_an_empty_store_is_answered_by_the_command_that_fills_it(tmp_path):
    shown, defined = run(tmp_path / "none")
    assert "tables" not in defined
    (said,) = [output.text for output in shown if "holds no trial" in getattr(output, "text", "")]
    assert "<code>make sweep-temperature</code>" in said


def blocks() -> list[str]:
    """The pieces of Python on docs/analysis.md."""
    indented = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (DOCS / "analysis.md").read_text(), re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") for block in indented if not re.search(r"make |\.venv/", block)]


def test_the_page_has_the_five_lines_of_the_notebook(defined, sweep):
    loading, by_hand = blocks()
    assert len(by_hand.splitlines()) == 5
    assert textwrap.indent(by_hand, "    ") in (DOCS / "notebook.py").read_text()
    names: dict[str, Any] = {}
    exec(loading.replace('"results"', repr(str(sweep.store))), names)
    exec(by_hand, names)
    assert_frame_equal(names["means"], defined["means"], check_row_order=False)
