"""EM against its base models, each at the temperature that validation problems choose."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from analysis import gain, load, seeds, stats, style
from analysis.draw import Drawn, specification
from analysis.figures import Figure
from analysis.figures import gain as kind
from analysis.seeds import AVERAGE, Headline
from bench.gain import verdicts
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.model import Model
from em.trial.trial import Trial
from sweeps.config import compose_launch
from sweeps.expand import frame
from sweeps.figures import check, figures_of
from tests.analysis.conftest import Commit, cells, drawn, marks, svg, texts, trial

AXIS = "model.path"
TEMPERATURES = (0.0, 0.2, 1.0)


def evaluation(split: str, temperature: float) -> Evaluation:
    benchmark = Benchmark(name=split, suite="sum", split=split, digest=split, grader="tiny")
    return Evaluation(benchmark=benchmark, temperature=temperature, top_p=1.0, samples=1, seed=0)


EVALUATIONS = [evaluation(split, t) for t in TEMPERATURES for split in ("validation", "test")]
HEADLINE = Headline(10, [item for item in seeds.tested(EVALUATIONS) if item.temperature == 1.0])
FIGURE = Figure("gain", "gain", [AXIS], HEADLINE, EVALUATIONS)

# by base model accuracies, its own and then each seed's, at each of TEMPERATURES: on validation, on test problems
Accuracies = Mapping[str, list[tuple[tuple[float, ...], tuple[float, ...]]]]
WINS: Accuracies = {
    "tiny-0": [
        ((0.5, 0.5, 0.1), (0.50, 0.60, 0.20)),  # equal at 0 and 0.2: the lowest is taken
        ((0.1, 0.9, 0.3), (0.95, 0.70, 0.40)),  # best at 0.2 on validation; better at 0 on test, and not chosen
        ((0.6, 0.6, 0.3), (0.95, 0.80, 0.50)),  # best at 0 by itself; all trials of a base model share one
    ]
}
LOSES: Accuracies = {
    "tiny-1": [
        ((0.2, 0.8, 0.1), (0.10, 0.90, 0.30)),
        ((0.7, 0.1, 0.1), (0.80, 0.10, 0.40)),
        ((0.7, 0.1, 0.1), (0.80, 0.10, 0.40)),
    ]
}
BOTH = {**WINS, **LOSES}


def recorded(commit: Commit, accuracies: Accuracies, missing: tuple[str, int, float] | None = None) -> list[Trial]:
    """All trials; `missing` is a model, the place of one of its rows, and where its test problems are not measured."""
    trials = []
    for model, rows in accuracies.items():
        for place, row in enumerate(rows):
            of = replace(trial(seed=max(place - 1, 0)), model=Model(path=f"models/{model}"))
            by_split = {"validation": row[0], "test": row[1]}
            made = [
                (by_split[item.benchmark.split][TEMPERATURES.index(item.temperature)], item)
                for item in EVALUATIONS
                if (model, place, item.temperature) != missing or item.benchmark.split == "validation"
            ]
            scores, evaluations = zip(*made, strict=True)
            commit(of if place else of.base, scores, evaluations, step=10 if place else 0)
            trials += [of] * (place > 0)
    return trials


def draw(store: Store, trials: list[Trial]) -> Drawn:
    return drawn(store, FIGURE, cells(trials, AXIS))


def test_the_temperature_is_chosen_on_validation_and_the_gain_measured_on_test_problems(
    store: Store, commit: Commit
) -> None:
    numbers = draw(store, recorded(commit, BOTH)).numbers
    shown = ("model", "metric", "n", "base_temperature", "temperature", "base", "mean", "gain")
    assert numbers.select(shown).rows() == [
        ("tiny-0", AVERAGE, 2, 1.0, 1.0, 0.2, *map(pytest.approx, (0.45, 0.25))),
        ("tiny-0", gain.OWN, 2, 0.0, 0.2, 0.5, *map(pytest.approx, (0.75, 0.25))),
        ("tiny-1", AVERAGE, 2, 1.0, 1.0, 0.3, *map(pytest.approx, (0.4, 0.1))),
        ("tiny-1", gain.OWN, 2, 0.2, 0.0, 0.9, *map(pytest.approx, (0.8, -0.1))),
    ]


def test_a_score_that_is_not_measured_on_all_problems_is_none(store: Store, commit: Commit) -> None:
    trials = recorded(commit, BOTH, missing=("tiny-1", 2, 0.0))
    shown = draw(store, trials).seeds
    assert shown.filter(pl.col("metric") == gain.OWN)["score"].to_list() == [0.7, 0.8, 0.8, None]
    assert shown.filter(pl.col("metric") == AVERAGE)["score"].to_list() == [0.4, 0.5, 0.4, 0.4]


def test_without_a_base_model_there_is_no_gain(store: Store, commit: Commit) -> None:
    trials = recorded(commit, WINS)
    tables = load(store, [of.id for of in trials])
    compared = gain.compared(cells(trials, AXIS), tables, EVALUATIONS, HEADLINE)
    assert compared.select("score", "base_score").rows() == [(0.4, None), (0.5, None), (0.7, None), (0.8, None)]


def test_gains_over_base_models() -> None:
    gains = gain.over_models(np.array([1.0, -1.0, 6.0]))
    assert gains[:2] == (3, 2.0)
    assert (gains.low, gains.high) == stats.student_interval(np.array([1.0, -1.0, 6.0]))
    assert gains[4:] == (-1.0, 1)
    said = str(gain.Gains(3, 2.0, -7.0, 11.0, -1.0, 1))
    assert said == "+2.0 points (95% interval over 3 base models -7.0 to 11.0), the worst -1.0, 1 of 3 lose"


def test_the_bench_holds_the_numbers_of_the_figure_to_its_bars(
    store: Store, commit: Commit, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row.name: (row.value, row.ok) for row in verdicts(draw(store, recorded(commit, BOTH)).numbers)}
    assert rows["at temperature 1: mean gain"] == (pytest.approx(17.5), True)
    assert rows["best against best: mean gain"] == (pytest.approx(7.5), False)
    lows = [stats.student_interval(np.array(gains))[0] for gains in ([25, 10], [25, -10])]
    names = [f"{said}: low end over base models" for said in ("at temperature 1", "best against best")]
    assert [rows[name] for name in names] == [(pytest.approx(low), low >= 0) for low in lows]
    printed = capsys.readouterr().out
    assert "tiny-1: 30.0 -> 40.0 (+10.0) at 1 and 1; 2 seeds" in printed
    assert "tiny-1: 90.0 -> 80.0 (-10.0) at 0.2 and 0; 2 seeds" in printed
    assert "the worst -10.0, 1 of 2 lose" in printed


def test_every_base_model_is_a_line_and_losers_are_named(store: Store, commit: Commit) -> None:
    made = draw(store, recorded(commit, BOTH))
    spec = specification(made)
    assert [panel["title"]["text"][0] for panel in spec["hconcat"]] == ["at temperature 1", gain.OWN]
    said = [panel["title"]["text"][1] for panel in spec["hconcat"]]
    assert [text.partition(" (")[0] for text in said] == ["+17.5 points", "+7.5 points"]
    assert [text.partition("), ")[2] for text in said] == ["0 of 2 lose", "1 of 2 lose"]
    each, mean = marks(spec["hconcat"][1], "line")
    assert each["encoding"]["detail"]["field"] == "model"
    assert each["encoding"]["color"]["scale"] == {
        "domain": [kind.KEPT, kind.LOSES, kind.MEAN],
        "range": [style.SKY, style.VERMILION, style.BLUE],
    }
    assert {"aggregate": [{"as": "score", "field": "score", "op": "mean"}], "groupby": ["at"]} in mean["transform"]
    [interval] = marks(spec["hconcat"][1], "rule")
    low, high = stats.student_interval(np.array([25.0, -10.0]))
    assert spec["datasets"][interval["data"]["name"]] == [
        {"at": "EM", "low": pytest.approx(0.7 + low / 100), "high": pytest.approx(0.7 + high / 100)}
    ]
    picture = svg(made)
    assert sum("low" in (item.get("aria-label") or "") for item in picture.iter()) == 2  # one in each panel
    written = texts(picture)
    assert written.count("tiny-1") == 1  # in the panel in which it loses
    assert "tiny-0" not in written
    assert {"base", "EM", "accuracy on test problems", "2 models after step 10 of entropy minimisation"} <= {*written}


def test_a_base_model_without_a_score_is_left_out(store: Store, commit: Commit) -> None:
    trials = recorded(commit, BOTH, missing=("tiny-1", 0, 1.0))
    titles = [panel["title"]["text"][1] for panel in specification(draw(store, trials))["hconcat"]]
    assert titles[0] == "+25.0 points, 0 of 1 lose"  # of one there is no interval
    assert titles[1].partition(", ")[2] == "1 of 2 lose"


def test_without_any_base_model_the_figure_says_so(store: Store, commit: Commit) -> None:
    trials = recorded(commit, WINS)
    unmeasured = [replace(of, model=Model(path="models/new")) for of in trials]
    for of in unmeasured:
        commit(of, [0.5] * 6, EVALUATIONS)
    written = texts(svg(draw(store, unmeasured)))
    assert written.count("no base model has both scores") == 2


def test_the_sweep_is_checked_before_anything_is_trained() -> None:
    launch = compose_launch(["sweep=gain"])
    [figure] = figures_of(launch, frame(launch))
    check(launch, frame(launch))
    assert len(frame(launch)) == 12 * 16
    assert (figure.kind, figure.headline.temperature) == ("gain", 1.0)
    assert len(gain.validated(figure.measured)) == len(seeds.tested(figure.measured)) == 6 * 6
    of_models = ["sweep=smoke", "sweep.axes=[{field:model.pretrain.seed,values:[1,2]}]", "sweep.figures=[{kind:gain}]"]
    for words, message in [
        (of_models, "gain needs benchmarks of both kinds"),
        (["sweep=gain", "sweep.axes=[{field:rollout.temperature,values:[1,2]}]"], "more than the base model"),
    ]:
        other = compose_launch(words)
        with pytest.raises(InputError, match=message):
            check(other, frame(other))
