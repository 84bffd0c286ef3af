"""The plan of runs from the store: numbers, ids, versions, projects, exit status."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from em.errors import InputError
from em.store import Store
from em.store.record import Regrade, Status
from sweeps.wandb import runs
from sweeps.wandb.curves import curve_runs
from sweeps.wandb.monitor import facts, responses, scores_of_cells
from sweeps.wandb.runs import CURRENT, Run, key_in, planned
from tests.sweeps.wandb.conftest import Filled, composed, fill, record_of, units_of, viewed
from tests.trials import phase_of


def cells(store: Store, *words: str) -> dict[str, Run]:
    """The planned runs by name."""
    return {run.name: run for run in planned(viewed(composed(store, *words)), [])}


def accuracies(store: Store, temperature: float, step: int) -> np.ndarray:
    """Seeds by benchmarks, from the records themselves."""
    config = composed(store)
    own = [
        unit for unit in units_of(config) if unit.trial.phase and unit.trial.phase.rollout.temperature == temperature
    ]
    records = [store.record(unit.id) for unit in own]
    return np.array([[e.accuracy for e in record.evaluations if e.step == step] for record in records])


def test_a_cell_shows_mean_deviation_quantiles_and_number_of_its_seeds(filled: Filled) -> None:
    store = filled()
    run = cells(store)["temperature=0.5 (3 seeds)"]
    scores = accuracies(store, 0.5, step=2).mean(axis=1)
    row = run.history[2]
    assert row["_step"] == 2
    assert row["score/mean"] == pytest.approx(scores.mean(), rel=1e-12)
    assert row["score/std"] == pytest.approx(scores.std(ddof=1), rel=1e-12)
    assert row["score/q10"] == pytest.approx(np.quantile(scores, 0.1), rel=1e-12)
    assert row["score/q90"] == pytest.approx(np.quantile(scores, 0.9), rel=1e-12)
    assert row["score/n"] == 3
    assert row["accuracy_sum/mean"] == pytest.approx(accuracies(store, 0.5, step=2)[:, 0].mean(), rel=1e-12)
    assert {"loss/mean", "entropy/q90", "grad_norm/n"} <= set(row)


def test_step_0_is_the_base_model_and_one_trial_has_no_deviation(filled: Filled) -> None:
    store = filled()
    base = next(unit for unit in units_of(composed(store)) if unit.trial.is_base)
    row = cells(store)["temperature=1 (3 seeds)"].history[0]
    accuracy = [result.accuracy for result in store.record(base.id).evaluations]
    assert row["_step"] == 0
    assert row["score/mean"] == pytest.approx(np.mean(accuracy), rel=1e-12)
    assert row["score/n"] == 1
    assert "score/std" not in row
    assert "loss/mean" not in row


def test_a_cell_has_a_table_of_every_seed_and_the_whole_config(filled: Filled) -> None:
    store = filled()
    run = cells(store)["temperature=1.5 (3 seeds)"]
    shown = run.tables["seeds"]
    rows = [dict(zip(shown["columns"], row, strict=True)) for row in shown["rows"]]
    scores = accuracies(store, 1.5, step=2).mean(axis=1)
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert [row["score"] for row in rows] == pytest.approx(list(scores), rel=1e-12)
    assert {row["outcome"] for row in rows} == {"scored"}
    assert run.config["rollout_temperature"] == 1.5
    assert run.config["rollout"]["temperature"] == 1.5
    assert run.config["seeds"] == 3
    assert "seed" not in run.config
    assert run.config["environment"]["device"] == "none"
    assert run.tags == [CURRENT]


def test_a_trial_shows_exactly_what_its_record_holds(filled: Filled) -> None:
    store = filled()
    config = composed(store, "tracking.runs=trial")
    runs = {run.config["trial_id"]: run for run in planned(viewed(config), [])}
    assert len(runs) == 10
    for unit in units_of(config):
        record, run = store.record(unit.id), runs[unit.trial.id]
        rows = {row["_step"]: row for row in run.history}
        for metrics in map(asdict, record.steps):
            step = metrics.pop("step")
            assert rows[step].items() >= metrics.items()
        for result in record.evaluations:
            assert rows[result.step][f"accuracy_{result.benchmark}"] == result.accuracy
        assert run.job_type == ("base" if unit.trial.is_base else "trial")
        assert run.config["attempt_id"] == record.provenance.attempt_id


def test_values_at_another_temperature_carry_it_in_their_name(filled: Filled) -> None:
    store = filled("eval.temperatures=[1.0,0.6]")
    [run, *_] = cells(store, "eval.temperatures=[1.0,0.6]").values()
    assert {"score/mean", "score_t0_6/mean", "accuracy_sum_t0_6/q10"} <= set(run.history[1])


def test_only_finished_cells_are_planned_and_the_same_records_give_the_same_ids(store: Store) -> None:
    config = composed(store)
    base, *trials = units_of(config)
    fill(store, [base, *(unit for unit in trials if phase_of(unit.trial).rollout.temperature == 0.5)])
    assert list(cells(store)) == ["temperature=0.5 (3 seeds)"]
    first = cells(store)
    fill(store, [unit for unit in trials if phase_of(unit.trial).rollout.temperature != 0.5])
    second = cells(store)
    assert len(second) == 3
    assert second["temperature=0.5 (3 seeds)"].id == first["temperature=0.5 (3 seeds)"].id
    assert not list(planned(viewed(config), [run.id for run in second.values()]))


def test_a_cell_that_gains_seeds_becomes_a_new_version(filled: Filled) -> None:
    store = filled()
    before = [run.id for run in cells(store).values()]
    filled("sweep.seeds=4")
    after = list(planned(viewed(composed(store, "sweep.seeds=4")), before))
    assert {run.id.partition("-")[0] for run in after} == {run_id.partition("-")[0] for run_id in before}
    assert not {run.id for run in after} & set(before)
    assert [run.version for run in after] == [2, 2, 2]
    assert after[0].name == "temperature=0.5 (4 seeds, version 2)"


def test_a_trial_that_was_given_up_fails_its_cell_with_the_reason(store: Store) -> None:
    config = composed(store, "sweep.max_attempts=1")
    base, first, *others = units_of(config)
    fill(store, [first], Status.failed)
    fill(store, [base, *others])
    of_cells = list(planned(viewed(config), []))
    assert [run.exit_code for run in of_cells] == [1, 0, 0]
    table = of_cells[0].tables["seeds"]
    took = [row[table["columns"].index("seconds")] for row in table["rows"]]
    assert of_cells[0].summary.pop("seconds") == pytest.approx(np.mean([seconds for seconds in took if seconds]))
    assert of_cells[0].summary == {
        "scored": 2,
        "diverged": 0,
        "failed": 1,
        "missing": 0,
        "failure": "RuntimeError: out of luck",
    }
    of_trials = list(planned(viewed(composed(store, "sweep.max_attempts=1", "tracking.runs=trial")), []))
    failed = [run for run in of_trials if run.exit_code]
    assert [run.config["trial_id"] for run in failed] == [first.trial.id]
    assert failed[0].summary == {"status": "failed", "failure": "RuntimeError: out of luck"}
    assert len(of_trials) == 10


def test_a_trial_that_diverged_is_a_result_and_says_how(store: Store) -> None:
    base, first, *others = units_of(composed(store))
    fill(store, [first], Status.diverged)
    fill(store, [base, *others])
    run = next(iter(cells(store).values()))
    assert (run.exit_code, run.summary["diverged"], run.summary["failure"]) == (0, 1, "loss is nan at step 2")
    assert run.tags == [CURRENT, "diverged"]
    trial = next(
        run for run in cells(store, "tracking.runs=trial").values() if run.config["trial_id"] == first.trial.id
    )
    assert (trial.exit_code, trial.summary["status"]) == (0, "diverged")


def test_what_is_not_finite_is_left_out_of_a_cell_and_kept_of_a_trial(store: Store) -> None:
    base, first, *others = units_of(composed(store))
    fill(store, [base, *others])
    record = record_of(first, Status.diverged)
    record.steps[1].loss = float("nan")
    store.commit(record)
    row = next(iter(cells(store).values())).history[2]
    assert (row["loss/n"], row["entropy/n"]) == (2, 3)
    assert np.isfinite(row["loss/mean"])
    of_trials = cells(store, "tracking.runs=trial").values()
    [trial] = [run for run in of_trials if run.config["trial_id"] == first.trial.id]
    assert np.isnan(trial.history[1]["loss"])


def test_the_values_of_an_axis_may_be_lists(store: Store) -> None:
    axis = "sweep.axes=[{field: prompts.texts, values: [['1+1='], ['1+1=', '2+2=']]}]"
    config = composed(store, axis)
    fill(store, units_of(config))
    runs = list(planned(viewed(config), []))
    assert [run.config["prompts_texts"] for run in runs] == [["1+1="], ["1+1=", "2+2="]]
    assert not list(curve_runs(viewed(config)))


def test_no_project_of_a_sweep_has_the_name_of_another_ones_second(store: Store) -> None:
    """`em-lr.2`: the names of sweeps and of projects have no dot, or lose it."""
    assert composed(store, "sweep.name=lr.2").project == "em-lr-2"
    with pytest.raises(InputError, match=r"tracking.project='em-lr.2': give letters, digits, '_' and '-'"):
        composed(store, "tracking.project=em-lr.2")


def test_a_cell_and_the_trial_of_its_first_seed_are_runs_of_their_own(filled: Filled) -> None:
    store = filled()
    of_cells = [run.id for run in cells(store).values()]
    of_trials = list(planned(viewed(composed(store, "tracking.runs=trial")), of_cells))
    assert {run.version for run in of_trials} == {1}
    assert not {key_in(run.id) for run in of_trials} & set(map(key_in, of_cells))


@pytest.mark.parametrize("status", [Status.done, Status.diverged])
def test_what_others_record_of_a_trial_changes_nothing(store: Store, status: Status) -> None:
    """A longer sweep goes on with one seed to step 2, where it may diverge."""
    config, longer = composed(store, "eval.steps=[1]"), composed(store, "eval.steps=[1,2]")
    fill(store, units_of(config))
    before = cells(store, "eval.steps=[1]"), cells(store, "eval.steps=[1]", "tracking.runs=trial")
    answers = responses(viewed(config))
    [further] = [unit for unit in viewed(longer).plan.todo if unit.trial.id == units_of(config)[1].trial.id]
    fill(store, [further], status)
    assert responses(viewed(config)) == answers
    run = cells(store, "eval.steps=[1]")["temperature=0.5 (3 seeds)"]
    assert [row["_step"] for row in run.history] == [0, 1]
    shown = run.tables["seeds"]
    scores = [dict(zip(shown["columns"], row, strict=True))["score"] for row in shown["rows"]]
    assert np.mean(scores) == pytest.approx(run.history[1]["score/mean"], rel=1e-12)
    assert (cells(store, "eval.steps=[1]"), cells(store, "eval.steps=[1]", "tracking.runs=trial")) == before


def test_later_grades_are_a_new_version_of_what_shows_them(filled: Filled) -> None:
    store = filled()
    unit = units_of(composed(store))[1]
    record = store.record(unit.id)
    last = record.evaluations[-1]
    exported = [[run.id for run in cells(store, *grain).values()] for grain in ([], ["tracking.runs=trial"])]
    regrade = Regrade(
        unit_id=unit.id,
        attempt_id=record.provenance.attempt_id,
        step=last.step,
        evaluation_id=last.evaluation_id,
        graded="2999",
        code_version="later",
        accuracy=0.25,
        correct=[False],
        extracted=["2"],
    )
    store.commit_grades([regrade])
    [cell] = planned(viewed(composed(store)), exported[0])
    [trial] = planned(viewed(composed(store, "tracking.runs=trial")), exported[1])
    name = f"accuracy_{last.benchmark}"
    others = [accuracies(store, 0.5, step=2)[seed, -1] for seed in (1, 2)]
    assert cell.history[2][f"{name}/mean"] == pytest.approx(np.mean([0.25, *others]), rel=1e-12)
    assert {row["_step"]: row.get(name) for row in trial.history}[2] == 0.25
    assert (cell.version, trial.version) == (2, 2)
    shown = responses(viewed(composed(store)))
    answers = [row for row in shown["rows"] if row[1:3] == [unit.trial.id, last.benchmark]]
    assert [row[-2:] for row in answers] == [["2", False]]


def test_too_many_columns_are_refused(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    monkeypatch.setattr(runs, "COLUMNS", 20)
    with pytest.raises(InputError, match="a W&B run shows at most 20: take fewer benchmarks"):
        cells(store)


def test_the_monitor_counts_and_the_curve_shows_the_score_against_the_axis(store: Store) -> None:
    config = composed(store, "sweep.max_attempts=1")
    base, first, second, *others = units_of(config)
    fill(store, [first], Status.failed)
    fill(store, [base, second, *others[:4]])
    view = viewed(config)
    row = facts(view, scores_of_cells(view), [])
    assert (row["wanted"], row["done"], row["given_up"], row["failed_attempts"]) == (10, 6, 1, 1)
    [curve] = curve_runs(view)
    assert [line["rollout_temperature"] for line in curve.history] == [0.5, 1.0, 1.5]
    assert [line["score_by_rollout_temperature/n"] for line in curve.history] == [1, 2, 2]
    means = [line["score_by_rollout_temperature/mean"] for line in curve.history]
    assert means == [row["score/temperature_0_5"], row["score/temperature_1"], row["score/temperature_1_5"]]


def test_a_run_survives_the_way_through_json(filled: Filled) -> None:
    for run in cells(filled()).values():
        assert Run(**json.loads(json.dumps(vars(run)))) == run
