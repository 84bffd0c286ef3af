"""From axes to trials."""

import pytest

from em.errors import InputError
from sweeps import expand
from sweeps.config import Launch, compose_launch
from tests.trials import phase_of


def launch(*overrides: str) -> Launch:
    return compose_launch(["sweep=smoke", *overrides])


def axes(**values: str) -> str:
    """The override for `rollout_temperature="[1,2]"` and so on."""
    listed = (f"{{field:{name.replace('_', '.')},values:{value}}}" for name, value in values.items())
    return f"sweep.axes=[{','.join(listed)}]"


def test_every_combination_once_and_breadth_first() -> None:
    trials = expand.trials(launch("sweep.seeds=2"))
    points = [(phase_of(trial).rollout.temperature, trial.seed) for trial in trials]
    assert points == [(0.5, 0), (1.0, 0), (1.5, 0), (0.5, 1), (1.0, 1), (1.5, 1)]


def test_two_axes_multiply() -> None:
    two = axes(rollout_temperature="[0.5,1]", optimizer_lr="[1e-4,2e-4,4e-4]")
    trials = expand.trials(launch(two, "sweep.seeds=1"))
    points = {(phase_of(trial).rollout.temperature, phase_of(trial).optimizer.lr) for trial in trials}
    assert points == {(t, lr) for t in (0.5, 1.0) for lr in (1e-4, 2e-4, 4e-4)}


def test_a_value_named_twice_is_one_trial() -> None:
    assert len(expand.trials(launch(axes(rollout_temperature="[1,1.0]"), "sweep.seeds=1"))) == 1


def test_seeds_count_on_from_the_first() -> None:
    trials = expand.trials(launch("seed=5", "sweep.seeds=3", axes(rollout_temperature="[1]")))
    assert [trial.seed for trial in trials] == [5, 6, 7]


def test_a_trial_of_a_sweep_is_the_trial_run_alone() -> None:
    alone = launch("rollout.temperature=1.5", "seed=1").trial
    assert alone.id in {trial.id for trial in expand.trials(launch())}


def test_the_base_model_is_one_unit_of_zero_steps() -> None:
    units = expand.units(launch())
    bases = [unit for unit in units if unit.trial.is_base]
    assert len(bases) == 1
    assert bases[0].last_step == 0
    assert units[0] is bases[0]
    assert len(units) == 7


def test_several_models_have_a_base_each() -> None:
    units = expand.units(launch(axes(model_pretrain_seed="[0,1]"), "sweep.seeds=1", "sweep.figures=[]"))
    assert sum(unit.trial.is_base for unit in units) == 2


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("rollout_temprature", "[1]", "unknown field 'rollout.temprature': did you mean 'rollout.temperature'?"),
        ("rollout_temperature", "[1,3]", "rollout.temperature=3.0: the engines sample between 0 (greedy) and 2"),
        ("rollout_temperature", "[]", "give at least one value"),
        ("rollout_samples", "[a]", "rollout.samples=a: Value 'a' of type 'str' could not be converted to Integer"),
        ("seed", "[a]", "seed=a: must be a whole number, 0 or greater"),
        ("eval_samples", "[1,2]", "eval.samples=1,2: is no part of a trial; give it one value"),
    ],
)
def test_a_wrong_axis_is_named(field: str, values: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        expand.trials(launch(axes(**{field: values}), "sweep.figures=[]"))
    assert message in str(error.value)
