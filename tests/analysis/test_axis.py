from math import sqrt

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from numpy.random import default_rng

from analysis import stats
from analysis.figures import Figure, axis
from analysis.load import Headline
from tests.analysis.conftest import AXIS, EVALUATIONS


def seeds(scores: dict[float, list[float | str]], path: str = AXIS, base: float | None = None) -> pl.DataFrame:
    """A frame as of analysis.load.seeds; a word in place of a score is the outcome of a seed without one."""
    return pl.DataFrame(
        [
            {
                path: value,
                "seed": seed,
                "score": score if isinstance(score, float) else None,
                "outcome": score if isinstance(score, str) else "scored",
                "environment": "e" if isinstance(score, float) else None,
                "base_id": "b",
                "base_score": base,
            }
            for value, cell in scores.items()
            for seed, score in enumerate(cell)
        ],
        schema_overrides={"score": pl.Float64, "environment": pl.String, "base_score": pl.Float64},
    )


def numbers_of(frame: pl.DataFrame) -> pl.DataFrame:
    return axis.numbers(frame, [AXIS], default_rng(0))


def drawn(scores: dict[float, list[float | str]], base: float | None = 0.3, path: str = AXIS) -> Axes:
    page, frame = Page(), seeds(scores, path, base)
    figure = Figure("f", "axis", [path], Headline(10, EVALUATIONS))
    axis.draw(page, figure, axis.numbers(frame, [path], default_rng(0)), frame)
    return page.axes[0]


def points(ax: Axes, label: str) -> np.ndarray:
    return next(np.asarray(item.get_offsets()) for item in ax.collections if item.get_label() == label)


def test_table_of_known_scores():
    numbers = numbers_of(seeds({0.5: [0.2, 0.4], 1.0: [0.1, 0.5, 0.6, 0.8]}, base=0.25))
    assert numbers[AXIS].to_list() == [0.5, 1.0]
    assert numbers["n"].to_list() == [2, 4]
    assert numbers["mean"].to_list() == pytest.approx([0.3, 0.5])
    assert numbers["iqm"].to_list() == pytest.approx([0.3, 0.55])
    assert numbers["std"].to_list() == pytest.approx([sqrt(0.02), sqrt(0.26 / 3)])
    assert numbers["worst"].to_list() == [0.2, 0.1]
    assert numbers["best"].to_list() == [0.4, 0.8]
    assert numbers["gain"].to_list() == pytest.approx([0.05, 0.25])
    assert numbers["environments"].to_list() == [1, 1]
    assert (numbers["low"][0], numbers["high"][0]) == (0.2, 0.4)


def test_lost_seeds_are_counted_and_not_scored():
    numbers = numbers_of(seeds({0.5: [0.2, "diverged", "failed"], 1.0: ["diverged", "missing", "missing"]}))
    lost = numbers.select("n", "mean", "low", "best", "gain", "diverged", "failed", "missing", "environments").rows()
    assert lost == [(1, 0.2, None, 0.2, None, 1, 1, 0, 1), (0, None, None, None, None, 1, 0, 2, 0)]


def test_a_cell_has_the_same_interval_whichever_other_cells_there_are():
    cell: list[float | str] = [0.2, 0.4, 0.5, 0.9]
    alone = numbers_of(seeds({1.0: cell}))
    among = numbers_of(seeds({0.5: [0.1, 0.2, 0.3], 1.0: cell}))
    assert alone.row(0) == among.row(1)
    resampling = default_rng(int(default_rng(0).integers(2**63)))
    assert alone.select("low", "high").row(0) == stats.interval(resampling, np.array(cell, float))


def test_mixed_environments_are_counted():
    frame = seeds({0.5: [0.2, 0.4, 0.6]}).with_columns(environment=pl.Series(["a", "a+b", "a"]))
    assert numbers_of(frame)["environments"].to_list() == [2]


def test_every_seed_is_a_point_beside_its_cell():
    scores: dict[float, list[float | str]] = {0.5: [0.2, 0.4, 0.4], 1.0: [0.1, "diverged", 0.5]}
    ax = drawn(scores)
    at = points(ax, "seed")
    assert at[:, 1].tolist() == pytest.approx([20, 40, 40, 10, 50])
    assert abs(at[:, 0] - [0.5, 0.5, 0.5, 1.0, 1.0]).max() <= 0.5 * axis.JITTER * 0.5
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
    ax = drawn({1e-6: [0.2, 0.4], 2e-5: [0.5, 0.6]}, path="optimizer.lr")
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "learning rate")
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1e-6", "2e-5"]
    assert (points(ax, "seed")[:, 0] > 0).all()
