from math import sqrt

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.random import default_rng

from analysis import stats
from analysis.figures import axis as figure
from tests.analysis.conftest import AXIS


def seeds(scores: dict[float, list[float | str]], axis: str = AXIS) -> pl.DataFrame:
    """A frame as of analysis.load.seeds; a word in place of a score is the outcome of a seed without one."""
    return pl.DataFrame(
        [
            {
                axis: value,
                "seed": seed,
                "score": score if isinstance(score, float) else None,
                "outcome": score if isinstance(score, str) else "scored",
                "environment": "e" if isinstance(score, float) else None,
            }
            for value, cell in scores.items()
            for seed, score in enumerate(cell)
        ],
        schema_overrides={"score": pl.Float64, "environment": pl.String},
    )


def drawn(scores: dict[float, list[float | str]], base: float | None = 0.3, axis: str = AXIS) -> Axes:
    ax = Figure().subplots()
    frame = seeds(scores, axis)
    figure.draw(ax, axis, figure.table(frame, axis, base, default_rng(0)), frame, base)
    return ax


def points(ax: Axes, label: str) -> np.ndarray:
    return next(np.asarray(item.get_offsets()) for item in ax.collections if item.get_label() == label)


def test_table_of_known_scores():
    table = figure.table(seeds({0.5: [0.2, 0.4], 1.0: [0.1, 0.5, 0.6, 0.8]}), AXIS, 0.25, default_rng(0))
    assert table[AXIS].to_list() == [0.5, 1.0]
    assert table["n"].to_list() == [2, 4]
    assert table["mean"].to_list() == pytest.approx([0.3, 0.5])
    assert table["iqm"].to_list() == pytest.approx([0.3, 0.55])
    assert table["std"].to_list() == pytest.approx([sqrt(0.02), sqrt(0.26 / 3)])
    assert table["worst"].to_list() == [0.2, 0.1]
    assert table["best"].to_list() == [0.4, 0.8]
    assert table["gain"].to_list() == pytest.approx([0.05, 0.25])
    assert table["environments"].to_list() == [1, 1]
    assert (table["low"][0], table["high"][0]) == (0.2, 0.4)


def test_lost_seeds_are_counted_and_not_scored():
    table = figure.table(
        seeds({0.5: [0.2, "diverged", "failed"], 1.0: ["diverged", "missing", "missing"]}), AXIS, None, default_rng(0)
    )
    lost = table.select("n", "mean", "low", "best", "gain", "diverged", "failed", "missing", "environments").rows()
    assert lost == [(1, 0.2, None, 0.2, None, 1, 1, 0, 1), (0, None, None, None, None, 1, 0, 2, 0)]


def test_a_cell_has_the_same_interval_whichever_other_cells_there_are():
    cell: list[float | str] = [0.2, 0.4, 0.5, 0.9]
    alone = figure.table(seeds({1.0: cell}), AXIS, None, default_rng(0))
    among = figure.table(seeds({0.5: [0.1, 0.2, 0.3], 1.0: cell}), AXIS, None, default_rng(0))
    assert alone.row(0) == among.row(1)
    resampling = default_rng(int(default_rng(0).integers(2**63)))
    assert alone.select("low", "high").row(0) == stats.interval(resampling, np.array(cell, float))


def test_mixed_environments_are_counted():
    frame = seeds({0.5: [0.2, 0.4, 0.6]}).with_columns(environment=pl.Series(["a", "a+b", "a"]))
    assert figure.table(frame, AXIS, None, default_rng(0))["environments"].to_list() == [2]


def test_every_seed_is_a_point_beside_its_cell():
    scores: dict[float, list[float | str]] = {0.5: [0.2, 0.4, 0.4], 1.0: [0.1, "diverged", 0.5]}
    ax = drawn(scores)
    at = points(ax, "seed")
    assert at[:, 1].tolist() == pytest.approx([20, 40, 40, 10, 50])
    assert abs(at[:, 0] - [0.5, 0.5, 0.5, 1.0, 1.0]).max() <= 0.5 * figure.JITTER * 0.5
    assert len(set(at[:, 0])) == 5
    assert at[2, 0] - 0.5 == pytest.approx(at[4, 0] - 1.0)  # seed 2 stands at its own place in each cell
    assert len(points(ax, "diverged")) == 1
    assert (points(drawn(scores), "seed") == at).all()


def test_lines_stand_at_the_base_and_at_the_means():
    ax = drawn({0.5: [0.2, 0.4], 1.0: [0.5, 0.7]}, base=0.37)
    base, mean = ax.lines
    assert list(base.get_ydata()) == [37, 37]  # type: ignore[arg-type]
    assert np.asarray(mean.get_xydata()) == pytest.approx(np.array([[0.5, 30], [1.0, 60]]))
    assert points(ax, "interquartile mean")[:, 1].tolist() == pytest.approx([30, 60])
    assert "base\n37.0" in [text.get_text() for text in ax.texts]


def test_counts_stand_above_the_cells():
    ax = drawn({0.5: [0.2, 0.4], 1.0: [0.5, "failed"]})
    assert [text.get_text() for text in ax.texts] == ["base\n30.0", "failed", "·", "1", "seeds", "2", "1"]


def test_partial_sweeps_draw():
    ax = drawn({0.5: [0.2], 1.0: ["missing"], 1.5: ["diverged"]}, base=None)
    assert ax.get_xlim() == (0.25, 1.75)
    assert len(points(ax, "seed")) == 1
    assert len(ax.lines) == 1  # the mean; no base
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]


def test_learning_rates_are_logarithmic():
    ax = drawn({1e-6: [0.2, 0.4], 2e-5: [0.5, 0.6]}, axis="optimizer.lr")
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "learning rate")
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1e-6", "2e-5"]
    assert (points(ax, "seed")[:, 0] > 0).all()
