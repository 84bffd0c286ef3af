"""Two axes: values of the numbers, and what is written in which cell."""

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from numpy.random import default_rng

from analysis import stats
from analysis.figures import Figure, heatmap
from analysis.load import Headline
from em.errors import InputError
from tests.analysis.conftest import AXIS, EVALUATIONS

LR = "optimizer.lr"
FIGURE = Figure("grid", "heatmap", [AXIS, LR], Headline(10, EVALUATIONS))
Scores = dict[tuple[object, object], list[float | str]]
GRID: Scores = {
    (0.5, 1e-4): [0.2, 0.4, 0.9],
    (0.5, 1e-3): [0.5, "diverged", "diverged"],
    (1.0, 1e-4): ["missing", "failed", "missing"],
    # nothing is wanted of (1.0, 1e-3)
}


def seeds(scores: Scores, base: float | None = 0.3) -> pl.DataFrame:
    """A frame as of analysis.load.seeds; a word in place of a score is the outcome of a seed without one."""
    return pl.DataFrame(
        [
            {
                AXIS: x,
                LR: y,
                "seed": seed,
                "score": score if isinstance(score, float) else None,
                "outcome": score if isinstance(score, str) else "scored",
                "environment": "e" if isinstance(score, float) else None,
                "base_id": "b",
                "base_score": base,
            }
            for (x, y), cell in scores.items()
            for seed, score in enumerate(cell)
        ],
        schema_overrides={"score": pl.Float64, "environment": pl.String, "base_score": pl.Float64},
    )


def numbers_of(scores: Scores) -> pl.DataFrame:
    return heatmap.numbers(seeds(scores), FIGURE.axes, default_rng(0))


def drawn(scores: Scores, base: float | None = 0.3) -> tuple[Axes, Axes]:
    """The cells' axes, and the colour bar's."""
    page, frame = Page(), seeds(scores, base)
    heatmap.draw(page, FIGURE, heatmap.numbers(frame, FIGURE.axes, default_rng(0)), frame)
    page.draw_without_rendering()
    cells, bar = page.axes
    return cells, bar


def written(ax: Axes) -> dict[tuple[float, float], list[str]]:
    """What is written in each cell, by its middle."""
    texts: dict[tuple[float, float], list[str]] = {}
    for text in ax.texts:
        texts.setdefault(getattr(text, "xy", text.get_position()), []).extend(text.get_text().splitlines())
    return texts


def test_table_of_known_scores() -> None:
    numbers = numbers_of(GRID)
    assert numbers.select(AXIS, LR, "n", "mean", "diverged", "failed", "missing").rows() == [
        (0.5, 1e-4, 3, pytest.approx(0.5), 0, 0, 0),
        (0.5, 1e-3, 1, 0.5, 2, 0, 0),
        (1.0, 1e-4, 0, None, 0, 1, 2),
    ]
    low, high = stats.interval(default_rng(int(default_rng(0).integers(2**63))), np.array([0.2, 0.4, 0.9]))
    assert numbers["width"].to_list() == [pytest.approx(high - low), None, None]


def test_every_cell_says_mean_n_width_and_what_was_lost() -> None:
    width = 100 * numbers_of(GRID)["width"][0]
    assert written(drawn(GRID)[0]) == {
        (0.5, 0.5): ["50.0", "n 3", f"w {width:.1f}"],
        (0.5, 1.5): ["50.0", "n 1", "2 diverged"],
        (1.5, 0.5): ["n 0", "1 failed", "2 missing"],
    }


def test_cells_without_a_score_have_no_colour() -> None:
    ax, _ = drawn(GRID)
    means_YX = ax.collections[0].get_array()
    assert means_YX is not None
    assert np.ma.getmaskarray(means_YX).tolist() == [[False, True], [False, True]]
    assert ax.patch.get_hatch()


def test_axes_are_labelled_and_written_as_in_the_other_figures() -> None:
    ax, bar = drawn(GRID)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training temperature", "learning rate")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1e-4", "1e-3"]
    assert bar.get_ylabel() == "accuracy, %\n(mean of two benchmarks,\navg@8 at temperature 1)"


def test_colours_cover_the_means_and_the_base_model() -> None:
    scores: Scores = {(0.5, 1e-4): [0.2], (1.0, 1e-4): [0.6]}
    for base, limits in ((0.3, (20, 60)), (0.1, (10, 60)), (0.7, (20, 70)), (None, (20, 60))):
        ax, bar = drawn(scores, base)
        assert ax.collections[0].get_clim() == pytest.approx(limits)
        assert [text.get_text() for text in bar.texts] == ([] if base is None else [f"base\n{100 * base:.1f}"])


def test_one_value_is_drawn() -> None:
    ax, _ = drawn({(0.5, 1e-4): [0.5]}, base=None)
    assert ax.collections[0].get_clim() == (50, 51)


def test_words_on_an_axis_keep_the_order_of_the_sweep() -> None:
    frame = seeds({("small", 1e-4): [0.5], ("large", 1e-4): [0.6]}).cast({AXIS: pl.Enum(["small", "large"])})
    page = Page()
    heatmap.draw(page, FIGURE, heatmap.numbers(frame, FIGURE.axes, default_rng(0)), frame)
    assert [label.get_text() for label in page.axes[0].get_xticklabels()] == ["small", "large"]


def test_text_can_be_read_on_every_colour() -> None:
    """At least 4.5 to 1, which WCAG asks of small text."""
    colours_NC = matplotlib.colormaps[heatmap.COLOURS](np.linspace(0, 1, 256))[:, :3]
    linear_NC = np.where(colours_NC <= 0.04045, colours_NC / 12.92, ((colours_NC + 0.055) / 1.055) ** 2.4)
    for colour, luminance in zip(colours_NC, linear_NC @ [0.2126, 0.7152, 0.0722], strict=True):
        contrast = (luminance + 0.05) / 0.05 if heatmap.ink(colour) == "black" else 1.05 / (luminance + 0.05)
        assert contrast >= 4.5


def test_what_does_not_fit_is_refused() -> None:
    cells = pl.DataFrame({AXIS: [0.5], LR: [[1, 2]]})
    with pytest.raises(InputError, match=r"optimizer\.lr=\[1, 2\]: a heat map needs numbers or words"):
        heatmap.check(FIGURE, cells)
    with pytest.raises(InputError, match="a figure of kind heatmap has 2"):
        heatmap.check(Figure("grid", "heatmap", [AXIS], FIGURE.headline), cells)
