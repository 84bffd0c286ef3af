"""Logits: moments and densities of each model's answers, averaged over seeds; the base model beside them."""

import math
from dataclasses import replace

import polars as pl
import pytest

from analysis.draw import Drawn, specification
from analysis.figures import Figure, check
from analysis.figures.logits import DENSITY, as_words
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
from em.store.record import LogitDistribution, Status
from em.trial.evaluation import Statistics
from em.trial.trial import Trial
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, average, cells, drawn, marks, svg, texts, trial

TEMPLATE = "prompts.template"
[LOOKED] = [replace(EVALUATIONS[0], statistics=Statistics.logits)]
FIGURE = Figure("logits", "logits", [AXIS], Headline(10, [LOOKED]), [LOOKED], [10])
TRIALS = [trial(temperature, seed) for temperature in (0.5, 1.5) for seed in (0, 1)]


def distribution(histogram: list[int], mean: float, skewness: float = 0.5) -> LogitDistribution:
    """Bins of half a logit from -1 on, all values in them."""
    return LogitDistribution(
        name="logits",
        count=sum(histogram),
        left_out=0,
        mean=mean,
        sigma=2.0,
        skewness=skewness,
        kurtosis=3.0,
        minimum=-1.0,
        maximum=1.0,
        low=-1.0,
        width=0.5,
        below=0,
        above=0,
        histogram=histogram,
    )


@pytest.fixture
def recorded(store: Store, commit: Commit) -> Drawn:
    """The base model, two seeds of one cell; of the other cell one, and one that diverged."""
    commit(trial().base, [0.3], [LOOKED], step=0, timeouts=2, distribution=distribution([1, 1, 0, 0], mean=-0.5))
    commit(TRIALS[0], [0.4], [LOOKED], distribution=distribution([0, 3, 1, 0], mean=1.0, skewness=0.25))
    commit(TRIALS[1], [0.6], [LOOKED], distribution=distribution([0, 1, 1, 0], mean=2.0, skewness=0.75))
    commit(TRIALS[2], [0.5], [LOOKED], distribution=distribution([0, 0, 1, 0], mean=0.2, skewness=math.nan))
    commit(TRIALS[3], [], [LOOKED], status=Status.diverged)
    return drawn(store, FIGURE, cells(TRIALS))


def test_each_model_has_its_score_beside_the_base_models(recorded: Drawn) -> None:
    numbers = average(recorded).select(AXIS, "step", "n", "diverged", "mean", "base", "gain")
    assert numbers.rows() == [
        ("base", 0, 1, 0, 0.3, 0.3, 0.0),
        ("0.5", 10, 2, 0, pytest.approx(0.5), 0.3, pytest.approx(0.2)),
        ("1.5", 10, 1, 1, 0.5, 0.3, pytest.approx(0.2)),
    ]


def test_moments_are_averaged_over_seeds_and_gain_nothing(recorded: Drawn) -> None:
    """The accuracy of the base model is no base of a logit."""
    numbers = recorded.numbers.filter(pl.col("metric").is_in(["mean", "skewness"]))
    assert numbers.select(AXIS, "metric", "n", "mean", "std", "base", "gain").rows() == [
        ("base", "mean", 1, -0.5, None, None, None),
        ("base", "skewness", 1, 0.5, None, None, None),
        ("0.5", "mean", 2, 1.5, pytest.approx(math.sqrt(0.5)), None, None),
        ("0.5", "skewness", 2, 0.5, pytest.approx(math.sqrt(0.125)), None, None),
        ("1.5", "mean", 1, 0.2, None, None, None),
        ("1.5", "skewness", 0, None, None, None, None),
    ]


def test_densities_stand_at_the_middles_of_bins(recorded: Drawn) -> None:
    """Of two seeds (0.75 + 0.5) / 2 of the logits are in the second bin, of half a logit; the last bin is empty."""
    density = recorded.numbers.filter(pl.col("metric") == DENSITY).select(AXIS, "logit", "n", "mean").rows()
    assert density == [
        ("base", -0.75, 1, 1.0),
        ("base", -0.25, 1, 1.0),
        ("base", 0.25, 1, 0.0),
        ("0.5", -0.75, 2, 0.0),
        ("0.5", -0.25, 2, 1.25),
        ("0.5", 0.25, 2, 0.75),
        ("1.5", -0.75, 1, 0.0),
        ("1.5", -0.25, 1, 0.0),
        ("1.5", 0.25, 1, 2.0),
    ]


def test_the_base_model_has_what_its_own_record_says(recorded: Drawn) -> None:
    base = recorded.seeds.filter(pl.col(AXIS) == "base", pl.col("metric") == "average")
    assert base.select("trial_id", "seed", "step", "score", "ungraded", "outcome").rows() == [
        (trial().base.id, 0, 0, 0.3, 2, "scored")
    ]
    assert recorded.notes == ["2 answers could not be graded and count as wrong"]


def test_a_panel_for_each_model_on_one_scale(recorded: Drawn) -> None:
    spec = specification(recorded)
    areas = marks(spec, "area")
    assert [area["transform"][0]["filter"] for area in areas] == [
        f"datum.cell == \"{cell}\" && datum.metric == 'density'" for cell in ("base", "0.5", "1.5")
    ]
    assert {str(area["encoding"]["x"]["scale"]["domain"]) for area in areas} == {"[-0.75, 0.25]"}
    assert {str(area["encoding"]["y"]["scale"]["domain"]) for area in areas} == {"[0, 2.0]"}
    written = texts(svg(recorded))
    assert {"base, n = 1", "0.5, n = 2", "1.5, n = 1", "mean 1.50", "sigma 2.00", "logit", "density"} <= {*written}
    assert "small after step 10 of entropy minimisation" in written
    assert sum(text.startswith("skewness 0.50 (") for text in written) == 1  # of two seeds; of one there is no interval
    assert "skewness 0.50" in written


def test_a_base_model_that_is_not_measured_has_an_empty_panel(store: Store, commit: Commit) -> None:
    commit(TRIALS[0], [0.4], [LOOKED], distribution=distribution([0, 3, 1, 0], mean=1.0))
    made = drawn(store, FIGURE, cells(TRIALS[:1]))
    assert average(made).select(AXIS, "n", "missing", "mean").rows() == [("base", 0, 1, None), ("0.5", 1, 0, 0.4)]
    assert {"base, n = 0", "0.5, n = 1"} <= {*texts(svg(made))}


def test_whatever_a_cell_is_called_it_is_shown(store: Store, commit: Commit) -> None:
    odd = 'it\'s "{problem}" \\ \n'
    of = with_template(TRIALS[0], odd)
    commit(of, [0.4], [LOOKED], distribution=distribution([0, 3, 1, 0], mean=1.0))
    made = drawn(store, replace(FIGURE, axes=[TEMPLATE]), cells([of], TEMPLATE))
    assert any(text.startswith('it\'s "{problem}" \\ \\n, n = 1') for text in texts(svg(made)))


def with_template(of: Trial, template: str) -> Trial:
    assert of.phase is not None
    return replace(of, phase=replace(of.phase, prompts=replace(of.phase.prompts, template=template)))


def test_values_of_an_axis_are_words_in_their_order() -> None:
    numbers, words = pl.Series(AXIS, [10.0, 2.0]), pl.Series("phase", ["em", "a"], pl.Enum(["em", "a"]))
    assert as_words(numbers).to_list() == ["10", "2"]
    assert as_words(numbers).dtype == pl.Enum(["base", "2", "10"])
    assert as_words(words).dtype == pl.Enum(["base", "em", "a"])


def test_what_does_not_fit_is_refused() -> None:
    wanted = cells(TRIALS)
    with pytest.raises(InputError, match=r"eval\.statistics=none: a figure of logits needs eval\.statistics=logits"):
        check(replace(FIGURE, headline=Headline(10, EVALUATIONS[:1])), wanted)
    two = [replace(item, statistics=Statistics.logits) for item in EVALUATIONS]
    with pytest.raises(InputError, match="figure logits: benchmarks=2: a figure of logits shows those of one"):
        check(replace(FIGURE, headline=Headline(10, two)), wanted)
    with pytest.raises(InputError, match=r"figure logits: axes=\[\]: a figure of logits needs one or more"):
        check(replace(FIGURE, axes=[]), wanted)
    with pytest.raises(InputError, match="figure logits: cells=6: a figure of curves has one for each"):
        check(FIGURE, cells([trial(0.1 * k) for k in range(1, 7)]))
