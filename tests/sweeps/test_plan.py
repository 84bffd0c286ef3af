"""Wanted measurements minus recorded ones."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from em.store import Store
from em.store.provenance import provenance
from em.store.record import EvaluationResult, Record, Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.plan import describe, plan
from tests.trials import phase_of

NOW = datetime.now(UTC)


def launch(*overrides: str) -> Launch:
    return compose_launch(["sweep=smoke", *overrides])


def record(unit: Unit, status: Status = Status.done) -> Record:
    """A record that holds what the unit wants, as a lane would write it."""
    results = [
        EvaluationResult(
            step=measurement.step,
            evaluation_id=measurement.evaluation.id,
            benchmark=measurement.evaluation.benchmark.name,
            temperature=1.0,
            problems=1,
            samples=1,
            accuracy=1.0,
            correct=[True],
            extracted=["1"],
            lengths=[3],
            truncated=[False],
            texts=["#1"],
        )
        for measurement in unit.measurements
    ]
    made = provenance(lane="0", device="cpu", started=NOW, turnover_seconds=None)
    return Record.of(unit, status=status, attempt=1, evaluations=results, provenance=made)


def test_an_empty_store_leaves_everything_to_do(tmp_path: Path) -> None:
    config = launch()
    planned = plan(config, Store(tmp_path))
    assert [unit.id for unit in planned.todo] == [unit.id for unit in expand.units(config)]
    assert planned.recorded == 0


def test_what_is_recorded_is_not_done_again(tmp_path: Path) -> None:
    config, store = launch(), Store(tmp_path)
    wanted = expand.units(config)
    store.commit(record(wanted[2]))
    planned = plan(config, store)
    assert planned.recorded == 1
    assert wanted[2].id not in {unit.id for unit in planned.todo}


def test_sweeps_that_overlap_share_trials(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for unit in expand.units(launch()):
        store.commit(record(unit))
    more = launch("sweep.axes=[{field:rollout.temperature,values:[1.5,2]}]", "sweep.seeds=3")
    planned = plan(more, store)
    assert planned.recorded == 3  # the base model and two seeds at 1.5
    points = {(phase_of(unit.trial).rollout.temperature, unit.trial.seed) for unit in planned.todo}
    assert points == {(1.5, 2), (2.0, 0), (2.0, 1), (2.0, 2)}


def test_only_missing_measurements_are_planned(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for unit in expand.units(launch()):
        store.commit(record(unit))
    more = plan(launch("eval.steps=[10,20]", "eval.temperatures=[0.0,1.0]"), store)
    assert more.recorded == 0
    trained = [unit for unit in more.todo if not unit.trial.is_base]
    cells = {(m.step, m.evaluation.temperature) for m in trained[0].measurements}
    assert cells == {(10, 0.0), (20, 0.0), (20, 1.0)}


def test_a_trial_is_given_up_after_its_attempts(tmp_path: Path) -> None:
    config, store = launch(), Store(tmp_path)
    unit = expand.units(config)[3]
    for _ in range(3):
        store.commit(record(unit, Status.failed))
    planned = plan(config, store)
    assert [given.id for given in planned.given_up] == [unit.id]
    assert "sweep.max_attempts=4 tries them again" in describe(config, planned, store)
    again = plan(launch("sweep.max_attempts=4"), store)
    assert unit.id in {todo.id for todo in again.todo}
    assert again.attempts[unit.id] == 3


def test_seed_0_of_every_model_comes_first_then_one_model_after_another(tmp_path: Path) -> None:
    axes = "sweep.axes=[{field:rollout.temperature,values:[0.5,1]},{field:model.pretrain.seed,values:[0,1]}]"
    planned = plan(launch(axes), Store(tmp_path))
    order = [(unit.round, unit.trial.model.label, unit.trial.is_base, unit.trial.seed) for unit in planned.todo]
    first, second = ([(0, f"tiny-{model}", True, 0), *[(0, f"tiny-{model}", False, 0)] * 2] for model in (0, 1))
    assert order == [*first, *second, *[(1, "tiny-0", False, 1)] * 2, *[(1, "tiny-1", False, 1)] * 2]


def test_the_command_answers_in_words() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.plan", "sweep=temperature", "store=nowhere"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "sweep temperature: 128 trials (8 rollout.temperature x 16 seeds)"
    assert done.stdout.splitlines()[2].endswith("129 to do")
    assert done.stderr == ""


def test_a_mistake_is_one_line_and_exit_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.plan", "sweep=temprature"], capture_output=True, text=True, check=False
    )
    assert done.stderr == "error: unknown sweep 'temprature': did you mean 'temperature'?\n"
    assert done.returncode == 2


def test_one_is_said_as_one(tmp_path: Path) -> None:
    config, store = launch("sweep.axes=[]", "sweep.figures=[]", "sweep.seeds=1"), Store(tmp_path)
    assert describe(config, plan(config, store), store).startswith("sweep smoke: 1 trial (1 seed)\n")
