"""EM against its base models, each at the temperature that validation problems choose."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure as Page
from numpy.random import default_rng

from analysis import figures, gain, style
from analysis.figures import Figure
from analysis.figures import gain as kind
from analysis.load import Headline
from bench.gain import verdicts
from em.errors import InputError
from em.trial.evaluation import Benchmark, Evaluation
from sweeps.config import compose_launch
from sweeps.expand import frame
from sweeps.figures import check, figures_of

AXIS = "model.pretrain.seed"
TEMPERATURES = (0.0, 0.2, 1.0)


def evaluation(split: str, temperature: float) -> Evaluation:
    benchmark = Benchmark(name=split, suite="sum", split=split, digest=split, grader="tiny")
    return Evaluation(benchmark=benchmark, temperature=temperature, top_p=1.0, samples=1, seed=0)


EVALUATIONS = [evaluation(split, t) for t in TEMPERATURES for split in ("validation", "test")]
HEADLINE = Headline(10, [item for item in EVALUATIONS if item.temperature == 1.0])
FIGURE = Figure("gain", "gain", [AXIS], HEADLINE, EVALUATIONS)

# accuracy by trial, at each of TEMPERATURES: on validation, on test problems
Accuracies = Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
WINS: Accuracies = {
    "b0": ((0.5, 0.5, 0.1), (0.50, 0.60, 0.20)),  # equal at 0 and 0.2: the lowest is taken
    "b0-0": ((0.1, 0.9, 0.3), (0.95, 0.70, 0.40)),  # best at 0.2 on validation; better at 0 on test, and not chosen
    "b0-1": ((0.6, 0.6, 0.3), (0.95, 0.80, 0.50)),  # best at 0 by itself; all trials of a base model share one
}
LOSES: Accuracies = {
    "b1": ((0.2, 0.8, 0.1), (0.10, 0.90, 0.30)),
    "b1-0": ((0.7, 0.1, 0.1), (0.80, 0.10, 0.40)),
    "b1-1": ((0.7, 0.1, 0.1), (0.80, 0.10, 0.40)),
}


def scores(accuracies: Accuracies) -> pl.DataFrame:
    """As of analysis.load.scores."""
    rows: list[dict[str, Any]] = [
        {
            "trial_id": trial,
            "step": 10 if "-" in trial else 0,
            "evaluation_id": item.id,
            "benchmark": item.benchmark.name,
            "temperature": item.temperature,
            "accuracy": by_split[item.benchmark.split == "test"][TEMPERATURES.index(item.temperature)],
            "ungraded": 0,
            "grader_version": 1,
            "environment": "e",
            "code_version": "c",
            "weights": trial,
        }
        for trial, by_split in accuracies.items()
        for item in EVALUATIONS
    ]
    return pl.DataFrame(rows)


def seeds(accuracies: Accuracies) -> pl.DataFrame:
    """As of analysis.load.seeds; its scores are over all problems, and are replaced."""
    trials = [trial for trial in accuracies if "-" in trial]
    rows = [
        {
            "trial_id": trial,
            "base_id": trial[:2],
            "model": f"tiny-{trial[1]}",
            "seed": int(trial[3:]),
            AXIS: int(trial[1]),
            "score": 0.99,
            "base_score": 0.99,
            "outcome": "scored",
            "environment": "e",
        }
        for trial in trials
    ]
    return pl.DataFrame(rows)


def numbers(accuracies: Accuracies) -> pl.DataFrame:
    compared = kind.scored(FIGURE, seeds(accuracies), scores(accuracies))
    return kind.numbers(compared, [AXIS], default_rng(0))


def test_the_temperature_is_chosen_on_validation_and_the_gain_measured_on_test_problems() -> None:
    shown = numbers({**WINS, **LOSES})
    columns = ("model", "n", "base_score", "mean", "own_base_temperature", "own_temperature", "own_base_score")
    assert shown.select(*columns, "own_mean", "own_gain").rows() == [
        ("tiny-0", 2, 0.2, pytest.approx(0.45), 0.0, 0.2, 0.5, pytest.approx(0.75), pytest.approx(0.25)),
        ("tiny-1", 2, 0.3, pytest.approx(0.4), 0.2, 0.0, 0.9, pytest.approx(0.8), pytest.approx(-0.1)),
    ]


def test_a_score_that_is_not_measured_on_all_problems_is_none() -> None:
    partial = scores({**WINS, **LOSES}).filter(
        ~((pl.col("trial_id") == "b1-1") & (pl.col("benchmark") == "test") & (pl.col("temperature") == 0.0))
    )
    compared = gain.compared(seeds({**WINS, **LOSES}), partial, EVALUATIONS, HEADLINE)
    assert compared["own_score"].to_list() == [0.7, 0.8, 0.8, None]
    assert compared["score"].to_list() == [0.4, 0.5, 0.4, 0.4]
    without_base = gain.compared(seeds(WINS), scores(WINS).filter(pl.col("step") > 0), EVALUATIONS, HEADLINE)
    assert without_base["own_base_score"].to_list() == [None, None]


def test_gains_over_base_models() -> None:
    gains = gain.over_models(np.array([1.0, -1.0, 6.0]))  # t(2 degrees, 97.5%) = 4.302653, deviation 13 ** 0.5
    half = 4.302653 * (13 / 3) ** 0.5
    assert gains == (3, 2.0, pytest.approx(2 - half), pytest.approx(2 + half), -1.0, 1)
    assert str(gains) == ("+2.0 points (95% interval over 3 base models -7.0 to 11.0), the worst -1.0, 1 of 3 lose")


def test_the_bench_holds_the_numbers_of_the_figure_to_its_bars(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row.name: (pytest.approx(row.value), row.ok) for row in verdicts(numbers({**WINS, **LOSES}))}
    half = 12.7062 * 17.5  # t(1 degree, 97.5%), of gains 25 and -10
    assert rows == {
        "at temperature 1: mean gain": (17.5, True),
        "at temperature 1: low end over base models": (pytest.approx(17.5 - 12.7062 * 7.5, rel=1e-4), False),
        "best against best: mean gain": (7.5, False),
        "best against best: low end over base models": (pytest.approx(7.5 - half, rel=1e-4), False),
    }
    printed = capsys.readouterr().out
    assert "tiny-1: 30.0 -> 40.0 (+10.0) at temperature 1; 90.0 -> 80.0 (-10.0) at 0.2 and 0; 2 seeds" in printed
    assert "the worst -10.0, 1 of 2 lose" in printed


def test_every_base_model_is_a_line_and_losers_are_named() -> None:
    page, both = Page(), {**WINS, **LOSES}
    compared = kind.scored(FIGURE, seeds(both), scores(both))
    with style.paper():
        kind.draw(page, FIGURE, kind.numbers(compared, [AXIS], default_rng(0)), compared)
    left, right = page.axes
    titles = [ax.get_title().splitlines() for ax in page.axes]
    assert [title[0] for title in titles] == ["at temperature 1", "each at its best temperature"]
    assert titles[1][1].startswith("+7.5 points (")
    assert titles[1][1].endswith("), 1 of 2 lose")
    lines = {tuple(map(round, np.asarray(line.get_ydata()).tolist(), [1, 1])): line.get_color() for line in right.lines}
    assert lines[(50.0, 75.0)] == style.SKY
    assert lines[(90.0, 80.0)] == style.VERMILION
    assert lines[(70.0, 77.5)] == style.BLUE
    assert [[text.get_text() for text in ax.texts] for ax in (left, right)] == [[], ["tiny-1"]]


def test_the_sweep_is_checked_before_anything_is_trained() -> None:
    launch = compose_launch(["sweep=gain"])
    [figure] = figures_of(launch, frame(launch))
    check(launch, frame(launch))
    assert len(frame(launch)) == 12 * 16
    assert (figure.kind, figure.headline.temperature) == ("gain", 1.0)
    chosen, reported = gain.divided(figure.measured)
    assert len(chosen) == len(reported) == 6 * 6
    for words, message in [
        (
            ["sweep=smoke", f"sweep.axes=[{{field:{AXIS},values:[1,2]}}]", "sweep.figures=[{kind:gain}]"],
            "gain needs benchmarks of both kinds",
        ),
        (["sweep=gain", "sweep.axes=[{field:rollout.temperature,values:[1,2]}]"], "more than the base model"),
    ]:
        other = compose_launch(words)
        with pytest.raises(InputError, match=message):
            check(other, frame(other))


def test_other_kinds_show_the_scores_as_they_are() -> None:
    plain = seeds(WINS)
    assert figures.scored(Figure("f", "axis", [AXIS], HEADLINE), plain, scores(WINS)) is plain
