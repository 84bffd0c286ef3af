"""Score against one axis: values of the numbers, and what is drawn of them."""

from dataclasses import replace
from math import sqrt

import numpy as np
import polars as pl
import pytest
from numpy.random import default_rng

from analysis import charts, stats, style
from analysis.draw import Drawn, specification
from analysis.figures import Figure, axis
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
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
    marks,
    svg,
    swept,
    texts,
    trial,
)

FIGURE = Figure("temperature", "axis", [AXIS], Headline(10, EVALUATIONS))
TWO: Scores = {(0.5,): [0.2, 0.4], (1.0,): [0.1, 0.5, 0.6, 0.8]}


def draw(store: Store, trials: list[Trial], figure: Figure = FIGURE) -> Drawn:
    return drawn(store, figure, cells(trials, *figure.axes))


def test_table_of_known_scores(store: Store, commit: Commit) -> None:
    numbers = average(draw(store, swept(commit, TWO, base=0.25)))
    assert numbers[AXIS].to_list() == [0.5, 1.0]
    assert numbers["n"].to_list() == [2, 4]
    assert numbers["mean"].to_list() == pytest.approx([0.3, 0.5])
    assert numbers["median"].to_list() == pytest.approx([0.3, 0.55])
    assert numbers["q1"].to_list() == pytest.approx([0.25, 0.4])
    assert numbers["q3"].to_list() == pytest.approx([0.35, 0.65])
    assert numbers["std"].to_list() == pytest.approx([sqrt(0.02), sqrt(0.26 / 3)])
    assert numbers["worst"].to_list() == [0.2, 0.1]
    assert numbers["best"].to_list() == [0.4, 0.8]
    assert numbers["base"].to_list() == [0.25, 0.25]
    assert numbers["gain"].to_list() == pytest.approx([0.05, 0.25])
    assert numbers["environments"].to_list() == [1, 1]
    assert numbers["iqm"].to_list() == pytest.approx(
        stats.interquartile_mean(np.array([[0.2, 0.4, np.nan, np.nan], [0.1, 0.5, 0.6, 0.8]])).tolist()
    )


def test_every_benchmark_has_rows_of_its_own(store: Store, commit: Commit) -> None:
    commit(trial().base, [0.1, 0.3], step=0)
    commit(trial(), [0.2, 0.6])
    commit(trial(seed=1), [0.3], evaluations=EVALUATIONS[:1])
    numbers = draw(store, [trial(), trial(seed=1)]).numbers
    assert numbers.select("metric", "n", "missing", "mean", "base").rows() == [
        ("average", 1, 1, pytest.approx(0.4), pytest.approx(0.2)),
        ("sum", 2, 0, pytest.approx(0.25), 0.1),
        ("max", 1, 1, 0.6, 0.3),
    ]


def test_lost_seeds_are_counted_and_not_scored(store: Store, commit: Commit) -> None:
    lost: Scores = {(0.5,): [0.2, "diverged", "failed"], (1.0,): ["diverged", "missing", "missing"]}
    numbers = average(draw(store, swept(commit, lost, base=None)))
    columns = ("n", "mean", "low", "best", "gain", "diverged", "failed", "missing", "environments")
    assert numbers.select(columns).rows() == [(1, 0.2, None, 0.2, None, 1, 1, 0, 1), (0, *[None] * 4, 1, 0, 2, 0)]


def test_a_cell_has_the_same_numbers_whichever_other_cells_there_are(store: Store, commit: Commit) -> None:
    trials = swept(commit, {(0.5,): [0.1, 0.2, 0.3], (1.0,): [0.2, 0.4, 0.5, 0.9]})
    alone, among = average(draw(store, trials[3:])), average(draw(store, trials))
    assert alone.drop("p").row(0) == among.drop("p").row(1)
    low, high = stats.interval(default_rng(0), np.array([[[0.2, 0.4, 0.5, 0.9]]]))
    assert alone.select("low", "high").row(0) == pytest.approx((low[0], high[0]))


def test_mixed_environments_are_counted(store: Store, commit: Commit) -> None:
    for seed, device in enumerate(("cpu", "gpu", "cpu")):
        commit(trial(seed=seed), [0.2, 0.2], environment=f'{{"device": "{device}"}}')
    assert draw(store, [trial(seed=seed) for seed in range(3)]).numbers["environments"].to_list() == [2, 2, 2]


def test_every_seed_is_a_point_beside_its_cell(store: Store, commit: Commit) -> None:
    trials = swept(commit, {(0.5,): [0.2, 0.4, 0.4], (1.0,): [0.1, "diverged", 0.5]})
    spec = specification(draw(store, trials))
    (points,) = marks(spec, "circle")
    assert (points["data"], points["encoding"]["y"]["field"]) == ({"name": "seeds"}, "score")
    assert points["transform"][0] == {"filter": "datum.metric == metric && isValid(datum.score)"}
    shown = [(row[AXIS], row["seed"], row["score"]) for row in spec["datasets"]["seeds"] if row["score"] is not None]
    assert shown == [(0.5, 0, 0.2), (0.5, 1, 0.4), (0.5, 2, 0.4), (1.0, 0, 0.1), (1.0, 2, 0.5)]
    (place,) = (step["calculate"] for step in points["transform"] if step.get("as") == "at")
    assert place == "datum['rollout.temperature'] + 0.5 * 0.4 * (datum.seed * 0.6180339887 % 1 - 0.5)"


def test_lines_stand_at_the_base_and_at_the_means(store: Store, commit: Commit) -> None:
    made = draw(store, swept(commit, {(0.5,): [0.2, 0.4], (1.0,): [0.5, 0.7]}, base=0.37))
    spec = specification(made)
    shown = [(row[AXIS], row["mean"], row["iqm"], row["base"]) for row in spec["datasets"]["numbers"]]
    assert shown == [(0.5, *[pytest.approx(0.3)] * 2, 0.37), (1.0, *[pytest.approx(0.6)] * 2, 0.37)]
    (mean,), (middle,), (base,) = (marks(spec, kind) for kind in ("line", "tick", "rule"))
    assert [layer["encoding"]["y"]["field"] for layer in (mean, middle, base)] == ["centre", "iqm", "base"]
    (band,) = marks(spec, "area")
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("lower", "upper")
    legend = mean["encoding"]["color"]["scale"]
    assert legend["domain"] == ["seed", "mean", "95% interval", "interquartile mean"]
    assert legend["range"][:2] == [style.SKY, style.BLUE]


def test_the_picture_says_what_it_shows(store: Store, commit: Commit) -> None:
    lost: Scores = {(0.5,): [0.2, 0.4, "failed"], (1.0,): [0.5, "diverged", "failed"]}
    written = texts(svg(draw(store, swept(commit, lost, base=0.441))))
    title = ["small after step 10 of entropy minimisation", "3 of 6 trials, n = 1 to 2 a cell"]
    assert {*title, "training temperature", "base 44.1%", *axis.LOOKS} <= {*written}
    assert {"accuracy", "(mean of two benchmarks,", "avg@8 at temperature 1)"} <= {*written}
    counts = {name: written[written.index(name) - 2 : written.index(name)] for name in ("seeds", "diverged", "failed")}
    assert counts == {"seeds": ["2", "1"], "diverged": ["0", "1"], "failed": ["1", "1"]}
    assert "missing" not in written


def test_partial_sweeps_draw(store: Store, commit: Commit) -> None:
    made = draw(store, swept(commit, {(0.5,): [0.2], (1.0,): ["missing"], (1.5,): ["diverged"]}, base=None))
    spec = specification(made)
    assert marks(spec, "line")[0]["encoding"]["x"]["scale"]["domain"] == [0.25, 1.75]
    assert [row["score"] for row in spec["datasets"]["seeds"]] == [0.2, None, None]
    written = texts(svg(made))
    assert {"0.5", "1", "1.5", "1 of 3 trials, n = 0 to 1 a cell"} <= {*written}
    assert not [text for text in written if text.startswith("base")]


def test_learning_rates_are_logarithmic(store: Store, commit: Commit) -> None:
    scores: Scores = {(1e-6,): [0.2, 0.4], (2e-5,): [0.5, 0.6]}
    made = draw(store, swept(commit, scores, [LR]), replace(FIGURE, axes=[LR]))
    x = marks(specification(made), "line")[0]["encoding"]["x"]
    assert (x["scale"]["type"], x["title"], x["axis"]["values"]) == ("log", "learning rate", [1e-6, 2e-5])
    assert x["scale"]["domain"] == pytest.approx([1e-6 / sqrt(20), 2e-5 * sqrt(20)])
    assert {"1e-6", "2e-5"} <= {*texts(svg(made))}


def test_pooled_fields_are_strata_of_a_cell(store: Store, commit: Commit) -> None:
    """The mean is that of the strata's means: two seeds of the one weigh as much as one seed of the other."""
    trials = swept(commit, {(0.5, 1e-4): [0.2, 0.4], (0.5, 1e-3): [0.9, "failed"]}, [AXIS, LR])
    made = drawn(store, replace(FIGURE, pool=[LR]), cells(trials, AXIS, LR))
    assert average(made).select("n", "failed", "strata", "mean", "median").rows() == [
        (3, 1, 2, pytest.approx(0.6), pytest.approx(0.4))
    ]


def test_more_seeds_than_can_be_seen_are_not_drawn_one_by_one(
    store: Store, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = draw(store, swept(commit, TWO))
    monkeypatch.setattr(charts, "MOST", 5)
    assert marks(specification(made), "circle") == []


def test_what_does_not_fit_is_refused(store: Store) -> None:
    one = cells([trial()])
    with pytest.raises(InputError, match=r"figure temperature: axes=\[\]: a figure of kind axis has 1"):
        axis.check(replace(FIGURE, axes=[]), one)
    with pytest.raises(InputError, match=r"rollout\.temperature=a: a figure against an axis needs numbers on it"):
        axis.check(FIGURE, one.with_columns(pl.lit("a").alias(AXIS)))
    two = cells([trial(0.5), trial(1.0)]).with_columns(base_id=pl.Series(["a", "b"]))
    with pytest.raises(InputError, match=r"several base models, a figure against rollout\.temperature shows one"):
        axis.check(FIGURE, two)
