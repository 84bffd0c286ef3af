"""Unions of grids and of sweeps, what is left out, what depends on other values, and what is done first."""

from itertools import pairwise
from pathlib import Path

import pytest

from em.errors import InputError
from em.store import Store
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.grids import Sweep
from sweeps.pending import Pending
from sweeps.plan import describe, plan

STAR = "sweep.grids=[{rollout.temperature:[0.5,1.0]},{optimizer.lr:[1e-3,2e-3]}]"


def launch(*words: str) -> Launch:
    return compose_launch(["sweep=command_line", "sweep.name=made", *words])


def values(*words: str) -> list[tuple[object, ...]]:
    return [tuple(cell.values.values()) for cell in expand.cells(launch(*words))]


def test_a_union_of_grids_has_every_cell_once_and_elsewhere_what_the_config_has():
    # The tiny model trains at temperature 1.5 and rate 1e-3 where nothing else is said.
    assert values(STAR) == [(0.5, 1e-3), (1.0, 1e-3), (1.5, 1e-3), (1.5, 2e-3)]


def test_axes_multiply_every_grid():
    made = values("sweep.axes=[{field:rollout.samples,values:[8,16]}]", STAR)
    assert made[:3] == [(8, 0.5, 1e-3), (8, 1.0, 1e-3), (16, 0.5, 1e-3)]
    assert len(made) == 8


def test_a_grid_may_name_groups():
    made = values("sweep.grids=[{phase:[em,grpo]},{rollout.temperature:[0.5]}]")
    assert made == [("em", 1.5), ("grpo", 1.0), ("em", 0.5)]


@pytest.mark.parametrize(
    "grids", ["{phase:[multi_shot]},{optimizer.lr:[1e-3]}", "{optimizer.lr:[1e-3]},{phase:[multi_shot]}"]
)
def test_a_group_of_one_grid_reaches_into_no_other(grids):
    cells = expand.cells(launch(f"sweep.grids=[{grids}]"))
    alone = {launch(f"phase={name}").trial.id for name in ("em", "multi_shot")}
    assert {cell.trials[0].id for cell in cells} == alone


def test_fields_are_set_in_the_order_in_which_they_are_named():
    """Three samples a prompt divide six samples, and not the 64 that there are without."""
    words = ["sweep.grids=[{rollout.samples:[6],rollout.samples_per_prompt:[3]}]", "prompts.suites=[sum]"]
    [cell] = expand.cells(launch(*words, "prompts.select=none"))
    assert cell.trials[0].phase is not None
    assert cell.trials[0].phase.rollout.samples_per_prompt == 3


def test_what_is_given_on_the_command_line_narrows_every_grid_that_has_it():
    assert values(STAR, "optimizer.lr=2e-3") == [(0.5, 2e-3), (1.0, 2e-3), (1.5, 2e-3)]
    assert values(STAR, "optimizer.lr=3e-3,4e-3") == [(0.5, 3e-3), (1.0, 3e-3), (1.5, 3e-3), (1.5, 4e-3)]


def test_combinations_are_left_out():
    axes = "sweep.axes=[{field:rollout.temperature,values:[0.5,1,2]},{field:optimizer.lr,values:[1e-3,2e-3]}]"
    made = values(axes, "sweep.exclude=[{rollout.temperature:2,optimizer.lr:2e-3},{rollout.temperature:[0.5,9]}]")
    assert made == [(1.0, 1e-3), (1.0, 2e-3), (2.0, 1e-3)]


def test_values_depend_on_others():
    axes = "sweep.axes=[{field:phase,values:[em,grpo]},{field:rollout.temperature,values:[0.5,1]}]"
    dependence = "sweep.depends=[{when:{phase:grpo,rollout.temperature:1},set:{optimizer.lr:5e-4,rollout.samples:32}}]"
    made = launch(axes, dependence)
    rates = [cell.trials[0].phase.optimizer.lr for cell in expand.cells(made) if cell.trials[0].phase]
    samples = [cell.trials[0].phase.rollout.samples for cell in expand.cells(made) if cell.trials[0].phase]
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4]
    assert samples == [64, 64, 64, 32]
    assert made.sweep.varied == ["phase", "rollout.temperature"]


def test_a_group_may_depend_on_another_value():
    axes = "sweep.axes=[{field:rollout.temperature,values:[0.5,1]}]"
    made = launch(axes, "sweep.depends=[{when:{rollout.temperature:1},set:{objective:reference_code}}]")
    alone = launch("rollout.temperature=1", "objective=reference_code")
    assert [cell.trials[0].id for cell in expand.cells(made)][1] == expand.trials(alone)[0].id


def test_trials_of_one_sweep_may_be_measured_after_different_steps():
    made = launch("phase=em,grpo", "sweep.seeds=2")
    steps = {unit.trial.phase.objective.name: unit.last_step for unit in expand.units(made) if unit.trial.phase}
    assert steps == {"em": 10, "grpo": 20}
    assert expand.frame(made).select("phase", "last_step").rows() == [("em", 10), ("grpo", 20)] * 2
    assert made.headline().step is None
    assert made.headline(10).step == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep.grids=[{rollout.temprature:[1]}]"], "unknown field 'rollout.temprature'"),
        (["sweep.grids=[{eval.samples:[1]}]"], "eval.samples=1: is no part of a trial"),
        (["sweep.grids=[{rollout.temperature:[]}]"], "sweep.grids[rollout.temperature].values=[]: give at least one"),
        (["sweep.grids=[{seed:[1]}]"], "sweep.grids=seed: is an axis of all grids already"),
        (
            [STAR, "sweep.exclude=[{optimizer.lrr:1}]"],
            "unknown axis of sweep.exclude and sweep.depends 'optimizer.lrr'",
        ),
        ([STAR, "sweep.exclude=[{rollout.temperature:[0.5,1]},{optimizer.lr:[1e-3,2e-3]}]"], "leaves no cell"),
        ([STAR, "sweep.depends=[{when:{optimizer.lr:1e-3},set:{rollout.sample:1}}]"], "rollout.sample"),
        ([STAR, "sweep.exclude=[{rollout.temperature:'0.5'}]"], "'0.5': is a text, and what rollout.temperature has"),
        (["phase=em,grpo", "sweep.exclude=[{phase:1}]"], "1: is no text, and what phase has are others"),
        ([STAR, "sweep.depends=[{when:{optimizer.lr:1e-3},set:{seed:1}}]"], "sweep.depends=seed: every cell has the"),
        ([STAR, "sweep.depends=[{when:{optimizer.lr:1e-3},set:{eval.samples:1}}]"], "eval.samples=1: is no part of a"),
        (["sweep.union=[smoke,smoke]"], "two of its sweeps are called smoke; give one another name"),
        ([STAR, "pilot=-1"], "pilot=-1: must be 0"),
        ([STAR, "sweep.union=[smoke]"], "sweep.union=['smoke']: each has its own axes"),
        (["sweep.union=[smok]"], "unknown sweep 'smok': did you mean 'smoke'?"),
    ],
)
def test_what_cannot_be_varied_is_refused_in_one_line(words, message):
    with pytest.raises(InputError) as raised:
        expand.cells(launch(*words))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_several_sweeps_are_their_union_and_share_their_trials(tmp_path: Path):
    made = compose_launch(["sweep=temperature,smoke", "sweep.seeds=2"])
    assert made.sweep.name == "temperature-smoke"
    assert [part.sweep.name for part in made.sweeps] == ["temperature", "smoke"]
    temperature, smoke = (expand.units(part) for part in made.sweeps)
    united = expand.units(made)
    assert {unit.trial.id for unit in united} == {unit.trial.id for unit in [*temperature, *smoke]}
    assert len(united) == 1 + 8 * 2  # three temperatures of the smoke sweep are among the eight
    assert [unit.turn for unit in united] == [0] * 9 + [1] * 8
    said = describe(made, plan(made, Store(tmp_path)), Store(tmp_path))
    assert "16 trials, the union of 2 sweeps, which have 6 in common" in said


def test_each_sweep_of_a_union_measures_what_it_asks_for():
    made = compose_launch(["sweep=smoke,em-rl", "sweep.seeds=1"])
    steps = {
        unit.trial.id: sorted({measurement.step for measurement in unit.measurements}) for unit in expand.units(made)
    }
    smoke, phases = (expand.cells(part) for part in made.sweeps)
    both = {trial.id for cell in smoke for trial in cell.trials} & {
        trial.id for cell in phases for trial in cell.trials
    }
    assert [steps[trial] for trial in both] == [[2, 5, 10, 20, 30]]
    assert [steps[cell.trials[0].id] for cell in smoke if cell.trials[0].id not in both] == [[10]] * 2


def test_an_entry_of_a_union_may_have_words_of_its_own():
    made = compose_launch(
        ["sweep=command_line", "sweep.name=x", "sweep.union=[smoke,'smoke optimizer.lr=2e-3 sweep.name=y']"]
    )
    rates = {part.sweep.name: expand.trials(part)[0].phase for part in made.sweeps}
    assert {name: phase.optimizer.lr for name, phase in rates.items() if phase} == {"smoke": 1e-3, "y": 2e-3}
    assert made.sweeps[1].words == ("sweep=smoke", "optimizer.lr=2e-3", "sweep.name=y")


def test_a_union_that_is_part_of_itself_is_refused():
    words = ["sweep=command_line", "sweep.name=x", "sweep.union=['command_line sweep.name=x sweep.union=[smoke]']"]
    with pytest.raises(InputError, match=r"sweep\.union=x: is part of itself"):
        compose_launch(words)


def test_words_hold_for_every_sweep_of_a_union():
    made = compose_launch(["sweep=smoke,temperature", "sweep.seeds=3", "eval.samples=2", "store=elsewhere"])
    assert {len(part.seeds) for part in made.sweeps} == {3}
    assert {part.eval.samples for part in made.sweeps} == {2}
    assert {part.store for part in (made, *made.sweeps)} == {"elsewhere"}


def test_rounds_end_at_seeds_1_4_16_and_64():
    sweep = Sweep(name="made")
    assert sweep.varied == []
    units = expand.units(launch("sweep.seeds=70"))
    assert [sum(unit.round == round_ for unit in units) for round_ in range(5)] == [1 + 1, 3, 12, 48, 6]


def two_models(seeds: int) -> list[Unit]:
    return expand.units(launch("model.pretrain.seed=0,1", f"sweep.seeds={seeds}", "sweep.figures=[]"))


def drained(pending: Pending, lanes: int) -> list[tuple[int, int, str]]:
    """Round, lane and model of each unit as lanes take them in turn."""
    models, taken = [""] * lanes, list[tuple[int, int, str]]()
    while pending:
        for lane in range(lanes):
            at = {model: models.count(model) for model in models}
            if unit := pending.take(models[lane], None, at):
                models[lane] = unit.trial.base.id
                taken.append((unit.round, lane, unit.trial.model.label))
    return taken


def test_one_lane_works_round_by_round():
    pending = Pending()
    pending.put(two_models(16))
    taken = drained(pending, lanes=1)
    assert [round_ for round_, _, _ in taken] == sorted(round_ for round_, _, _ in taken)
    changes = sum(before[2] != after[2] for before, after in pairwise(taken))
    assert changes == 3  # in each of the three rounds it goes on with the model that it has


def test_two_lanes_keep_their_models_over_the_rounds():
    pending = Pending()
    pending.put(two_models(16))
    taken = drained(pending, lanes=2)
    assert {(lane, model) for _, lane, model in taken} == {(0, "tiny-0"), (1, "tiny-1")}


def test_a_unit_that_failed_comes_after_all_others():
    pending, units = Pending(), expand.units(launch("sweep.seeds=16"))
    pending.put(units[1:])
    pending.put_last(units[0])
    assert [pending.take("", None, {}) for _ in units] == [*units[1:], units[0]]
