"""What a search chooses from: numbers as they are written, types of fields, what cannot be searched."""

import math
import warnings
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from em.errors import InputError
from em.store import Store
from em.trial.fields import type_in
from sweeps.config import compose_launch
from sweeps.search.config import SearchConfig
from sweeps.search.source import Search
from sweeps.search.space import holds, sampler_of, space_of, unvaried, written
from sweeps.source import source_of
from tests.sweeps.test_search_study import World, composed


def drawn(kind: FloatDistribution, points: int = 400) -> set[float]:
    """As they are written down; each is told to a study, which takes no number off the range."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [written({"x": kind}, study.ask({"x": kind}).params) for _ in range(points)]
    for own in values:
        study.add_trial(optuna.trial.create_trial(value=0.0, params=own, distributions={"x": kind}))
        assert holds({"x": kind}, own)
    return {own["x"] for own in values}


@pytest.mark.parametrize(
    ("low", "high", "step", "number"),
    [(0.5, 1.5, 0.0625, 17), (0.1, 0.75, 0.1, 7), (1000, 1000.5, 0.0125, 41), (-1, 1, 0.1, 21), (0, 1, 1 / 3, 4)],
)
def test_a_range_in_steps_is_kept_to_its_steps(low, high, step, number):
    """As decimals, as people write them: no sum of floats, no rounding off the steps."""
    axis = f"sweep.axes=[{{field: rollout.temperature, low: {low}, high: {high}, step: {step!r}}}]"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [kind] = space_of(compose_launch(["search=random", axis])).values()
    assert isinstance(kind, FloatDistribution)
    values = drawn(kind)
    assert len(values) == number
    assert all(len(f"{value!r}".replace("-", "")) <= 9 for value in values if step != 1 / 3)


def test_a_search_in_steps_is_asked_and_told():
    axes = "sweep.axes=[{field: rollout.temperature, low: 0.5, high: 1.5, step: 0.0625}]"
    world = World(composed("search=tpe", axes, "search.points=12"), lambda values: values["rollout.temperature"])
    points = world.run(0)
    assert len(points) == 12
    assert any(len(str(point.values["rollout.temperature"])) > 5 for point in points)


@pytest.mark.parametrize(
    ("low", "high", "log", "longest"),
    [(0.2, 2, False, 6), (1e-4, 1e-2, True, 9), (1000, 1001, False, 8), (0.99901, 0.99909, False, 10),
     (1000, 1001, True, 8), (-1001, -1000, False, 9), (0, 1e-3, False, 9)],
)  # fmt: skip
def test_numbers_have_the_digits_that_tell_them_apart(low, high, log, longest):
    kind = FloatDistribution(low, high, log=log)
    values = drawn(kind)
    assert len(values) > 300
    assert max(len(f"{value:.17g}" if value == 0 else repr(value)) for value in values) <= longest
    assert {written({"x": kind}, {"x": value})["x"] for value in values} == values


def test_a_number_off_the_ends_is_none_of_the_space():
    """Which a study would refuse."""
    kind = FloatDistribution(0.1, 0.3)
    assert holds({"x": kind}, {"x": 0.3})
    assert not holds({"x": kind}, {"x": 0.1 + 0.2})
    assert holds({"x": FloatDistribution(-1, 1)}, {"x": -1.0})


GRPO = ["phase=grpo", "sweep.axes=[{field: objective.max_tokens, low: 8, high: 64}]"]
AVERAGED = ["stabiliser=[averaging]", "sweep.axes=[{field: stabilisers.averaging.steps, low: 2, high: 8}]"]


@pytest.mark.parametrize("words", [GRPO, AVERAGED])
def test_whole_numbers_of_objectives_and_stabilisers_are_whole(words):
    launch = compose_launch(["search=random", *words])
    [(name, kind)] = space_of(launch).items()
    assert isinstance(kind, IntDistribution)
    assert type_in(launch, name) is int
    assert type_in(launch, "optimizer.lr") is float
    assert type_in(launch, f"{name}.more") is None
    assert type_in(launch, "objective.nothing") is None


def searched(folder: Path, *words: str) -> Search:
    source = source_of(compose_launch(["search=tpe", *words, f"store={folder}"]), Store(folder, decides=True))
    assert isinstance(source, Search)
    return source


SAMPLES = ["phase=grpo", "sweep.axes=[{field: rollout.samples, low: 5, high: 64}]"]


def test_an_end_that_is_no_trial_is_a_point_like_others(tmp_path):
    """With GRPO samples are a multiple of 8; the study's name tells configs apart all the same."""
    source = searched(tmp_path, *SAMPLES)
    made = source.settled(source.store.records()[0]).settled
    assert made
    assert source.refused
    assert searched(tmp_path, *SAMPLES, "search.points=50", "sweep.seeds=3").name == source.name
    others = (["rollout.top_p=0.9"], ["seed=7"], ["prompts.limit=9"])
    assert len({source.name, *(searched(tmp_path, *SAMPLES, *more).name for more in others)}) == len(others) + 1


def test_what_an_axis_varies_is_no_part_of_a_name():
    launch = compose_launch(["search=tpe", *AVERAGED])
    kept = unvaried(launch, space_of(launch))
    assert kept["stabilisers"] == {"averaging": {}}
    six = compose_launch(["search=tpe", *AVERAGED, "rollout.samples=6"])
    assert unvaried(six, space_of(six)) != kept
    lr = FloatDistribution(0, 1)
    assert "lr" not in unvaried(launch, {"optimizer.lr": lr})["optimizer"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep.axes=[{field: rollout.temprature, low: 1, high: 2}]"], "did you mean 'rollout.temperature'"),
        (["sweep.axes=[{field: rollout.temperature, values: [1.0, warm]}]"], "rollout.temperature=warm"),
        (["optimizer.lr=1e-3,2e-3", "search.storage=foo"], r"^search.storage=foo: .*give a URL such as postgresql"),
        (["optimizer.lr=1e-3,2e-3", "search.storage=foo://host/db"], r"^search.storage=foo://host/db: "),
        (["optimizer.lr=1e-3,2e-3", "search.storage=mssql+nothing://host/db"], "give a URL such as"),
    ],
)
def test_mistakes_are_said_when_a_search_is_made(words, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        searched(tmp_path, *words)
    assert len(str(caught.value).splitlines()) == 1


def test_a_driver_is_asked_for_where_the_study_is_written(tmp_path):
    words = ["search=tpe", "optimizer.lr=1e-3,2e-3", "search.storage=oracle+oracledb://em@host/db", f"store={tmp_path}"]
    launch = compose_launch(words)
    source_of(launch, Store(tmp_path))
    with pytest.raises(InputError, match="No module named 'oracledb'"):
        source_of(launch, Store(tmp_path, decides=True))


@pytest.mark.parametrize("words", [["search.objectives=[spread]"], ["search.constraints.spread=0.1"]])
def test_a_spread_is_that_of_two_seeds(words):
    for one in (["sweep.seeds=1"], ["seed=range(3,4)"]):
        launch = compose_launch(["sweep=search", *words, *one])
        with pytest.raises(InputError, match=r"sweep\.seeds=1: a point's spread is that of two seeds or more"):
            space_of(launch)
    space_of(compose_launch(["sweep=search", *words, "sweep.seeds=2"]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_startup_trials", "abc", "give a whole number"),
        ("n_ei_candidates", 2.5, "give a whole number"),
        ("n_ei_candidates", None, "give a whole number"),
        ("group", 1, "give true or false"),
    ],
)
def test_options_of_a_wrong_type_are_said_before_anything_is_trained(name, value, message):
    """A sampler may need them only after its first points."""
    with pytest.raises(InputError, match=rf"^search\.options\.{name}={value}: {message}$"):
        sampler_of(SearchConfig(sampler="TPESampler", options={name: value}), 0)


def test_options_of_the_right_type_are_taken():
    sampler_of(SearchConfig(sampler="TPESampler", options={"constant_liar": False, "n_startup_trials": 3}), 0)
    for probability in (None, 1, 0.5):
        sampler_of(SearchConfig(sampler="NSGAIISampler", options={"mutation_prob": probability}), 0)


def test_whatever_a_sampler_says_of_what_it_is_told_is_one_line():
    launch = composed("search=cmaes")
    launch.search.options = {"popsize": 1, "n_startup_trials": 1}
    with pytest.raises(InputError, match=r"^search\.sampler=CmaEsSampler: .*search\.options=.*popsize"):
        World(launch).run(0)


@pytest.mark.parametrize("name", ["grid", "temperature", "lr"])
def test_a_sweep_whose_figures_name_axes_can_be_searched(name):
    launch = compose_launch([f"sweep={name}", "search=tpe"])
    space = space_of(launch)
    assert [*space] == launch.sweep.varied
    assert all(isinstance(kind, CategoricalDistribution) for kind in space.values())
    assert len(launch.variants) == 1


@pytest.mark.parametrize("bound", ["nan", "inf", "50", "-0.1"])
def test_bounds_are_what_an_objective_can_be(bound):
    with pytest.raises(InputError, match=rf"search\.constraints\.worst={float(bound)}: must be a share, from 0 to 1"):
        compose_launch(["sweep=search", f"search.constraints.worst={bound}"])
    fits = math.isfinite(float(bound)) and float(bound) >= 0
    words = ["sweep=search", f"search.constraints.seconds={bound}"]
    if fits:
        assert compose_launch(words).search.goal.bounds == {"seconds": float(bound)}
    else:
        with pytest.raises(InputError, match="must be 0 or greater, and finite"):
            compose_launch(words)
