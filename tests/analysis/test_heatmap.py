"""Two axes: values of the numbers, and what is written in which cell."""

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

import polars as pl
import pytest

from analysis.draw import Drawn, specification
from analysis.figures import Figure, heatmap
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
from em.trial.fields import with_value
from em.trial.model import Model
from em.trial.trial import Trial
from tests.analysis.conftest import (
    AXIS,
    EVALUATIONS,
    LR,
    Commit,
    Scores,
    average,
    cells,
    drawn,
    layers,
    marks,
    svg,
    swept,
    texts,
    trial,
)

FIGURE = Figure("grid", "heatmap", [AXIS, LR], Headline(10, EVALUATIONS))
GRID: Scores = {
    (0.5, 1e-4): ["missing", "failed", "missing"],
    (0.5, 1e-3): [0.5, "diverged", "diverged"],
    (1.0, 1e-4): [0.2, 0.4, 0.9],
    # nothing is wanted of (1.0, 1e-3)
}
NAMED = {"black": "#000000", "white": "#ffffff"}


def draw(store: Store, trials: list[Trial], figure: Figure = FIGURE) -> Drawn:
    return drawn(store, figure, cells(trials, *figure.axes))


def luminance(colour: str) -> float:
    """Relative, of #rrggbb (WCAG 2.1)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def filled(picture: Element, tag: str, holds: str) -> list[str]:
    """The colours, as #rrggbb, of all elements of a kind that say, or are said to be, `holds`."""
    found = [item for item in picture.iter() if item.tag.endswith(tag)]
    fills = [item.get("fill", "") for item in found if holds in item.get("aria-label", item.text or "")]
    return [NAMED.get(fill) or "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", fill)) for fill in fills]


def test_table_of_known_scores(store: Store, commit: Commit) -> None:
    numbers = average(draw(store, swept(commit, GRID, FIGURE.axes)))
    assert numbers.select(AXIS, LR, "n", "mean", "diverged", "failed", "missing", "gain").rows() == [
        (0.5, 1e-4, 0, None, 0, 1, 2, None),
        (0.5, 1e-3, 1, 0.5, 2, 0, 0, pytest.approx(0.2)),
        (1.0, 1e-4, 3, pytest.approx(0.5), 0, 0, 0, pytest.approx(0.2)),
    ]
    assert [low is None for low in numbers["low"]] == [True, True, False]


def test_every_cell_says_mean_n_width_and_what_was_lost(store: Store, commit: Commit) -> None:
    made = draw(store, swept(commit, GRID, FIGURE.axes))
    low, high = average(made).select("low", "high").row(2)
    width = f"w {100 * (min(high, 1) - max(low, 0)):.1f}"  # of the band as it is drawn, within the scale
    written = texts(svg(made))
    assert written.count("50.0") == 2
    assert {"n 3", width, "n 1", "2 diverged", "1 failed", "2 missing"} <= {*written}
    assert not {"n 0", "0 failed", "w 0.0"} & {*written}
    title = ["small after step 10 of entropy minimisation", "4 of 9 trials, n = 0 to 3 a cell"]
    assert {*title, "base 30.0%", heatmap.KEY} <= {*written}


def test_cells_without_a_score_have_no_colour(store: Store, commit: Commit) -> None:
    spec = specification(draw(store, swept(commit, GRID, FIGURE.axes)))
    coloured, empty = marks(spec, "rect")
    assert "isValid(datum.centre)" in [step.get("filter") for step in coloured["transform"]]
    assert "!isValid(datum.centre)" in [step.get("filter") for step in empty["transform"]]
    assert empty["mark"]["style"] == "gap"
    assert "color" not in empty["encoding"]
    assert "centre" in coloured["encoding"]["color"]["field"]


def test_axes_are_labelled_and_written_as_in_the_other_figures(store: Store, commit: Commit) -> None:
    made = draw(store, swept(commit, GRID, FIGURE.axes))
    written = texts(svg(made))
    assert {"training temperature", "learning rate", "accuracy", "(mean of two benchmarks,"} <= {*written}
    assert [text for text in written if text in ("0.5", "1", "1e-4", "1e-3")] == ["0.5", "1", "1e-3", "1e-4"]


def test_an_empty_cell_moves_no_value_of_the_axes(store: Store, commit: Commit) -> None:
    """The first cell of either axis is empty: both stay in order, upwards and from left to right, in every layer."""
    spec = specification(draw(store, swept(commit, GRID, FIGURE.axes)))
    domains = {
        (str(layer["encoding"]["x"]["scale"]["domain"]), str(layer["encoding"]["y"]["scale"]["domain"]))
        for layer in layers(spec)
        if "scale" in layer["encoding"]["x"]
    }
    assert domains == {("[0.5, 1.0]", "[0.001, 0.0001]")}


def test_the_base_model_is_named_where_there_is_one(store: Store, commit: Commit) -> None:
    axes = ["model.path", AXIS]
    one, other = with_value(trial(), "model.path", "models/small"), with_value(trial(), "model.path", "models/other")
    for of, base in ((one, 0.441), (other, 0.2)):
        commit(of.base, [base, base], step=0)
        commit(of, [0.5, 0.5])
    figure = replace(FIGURE, axes=axes)
    assert "base 44.1%" in texts(svg(draw(store, [one], figure)))
    assert not [text for text in texts(svg(draw(store, [one, other], figure))) if text.startswith("base")]


def test_one_value_is_drawn(store: Store, commit: Commit) -> None:
    written = texts(svg(draw(store, swept(commit, {(0.5, 1e-4): [0.5]}, FIGURE.axes, base=None))))
    assert {"50.0", "n 1", "1 trial, n = 1 a cell"} <= {*written}


def test_words_on_an_axis_keep_the_order_of_the_sweep(store: Store, commit: Commit) -> None:
    models = [replace(trial(), model=Model(path=f"models/{size}")) for size in ("small", "large", "huge")]
    for of in models:
        commit(of, [0.5, 0.5])
    written = texts(svg(draw(store, models, replace(FIGURE, axes=["model.path", AXIS]))))
    assert [text for text in written if text.startswith("models/")] == ["models/small", "models/large", "models/huge"]


def test_text_can_be_read_on_every_colour(store: Store, commit: Commit) -> None:
    """At least 4.5 to 1, which WCAG asks of small text."""
    shades = 24
    scores: Scores = {(place / 16, 1e-4): [place / (shades - 1)] for place in range(shades)}
    picture = svg(draw(store, swept(commit, scores, FIGURE.axes, base=None)))
    grounds, inks = filled(picture, "path", "centre"), filled(picture, "text", "n 1")
    assert (len({*grounds}), len(inks)) == (shades, shades)
    assert grounds[0] == "#440154"
    for ground, ink in zip(grounds, inks, strict=True):
        dark, light = sorted([luminance(ground), luminance(ink)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_what_does_not_fit_is_refused() -> None:
    wanted = pl.DataFrame({AXIS: [0.5], LR: [[1, 2]]})
    with pytest.raises(InputError, match=r"optimizer\.lr=\[1, 2\]: a heat map needs numbers or words"):
        heatmap.check(FIGURE, wanted)
    with pytest.raises(InputError, match="a figure of kind heatmap has 2"):
        heatmap.check(replace(FIGURE, axes=[AXIS]), wanted)
