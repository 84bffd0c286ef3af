from dataclasses import replace

import pytest

from analysis import load
from analysis.load import Headline
from em.errors import InputError
from em.store import Store
from em.store.record import Status
from em.trial.model import Model
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, cells, trial

SUM, MAX = EVALUATIONS


def headline(store: Store, seed: int = 0) -> dict:
    headlines = load.headlines(load.scores(load.records(store, [trial(seed=seed).id])), EVALUATIONS)
    assert len(headlines) == 1
    return headlines.row(0, named=True)


def test_a_row_per_benchmark(store: Store, commit: Commit):
    commit(trial(0.75, seed=3), [0.2, 0.6])
    commit(trial(0.25), [0.0, 0.0])  # not asked for
    wanted = trial(0.75, seed=3).id
    scores = load.scores(load.records(store, [wanted]))
    assert scores.select("trial_id", "step", "temperature", "benchmark", "accuracy", "status").rows() == [
        (wanted, 10, 1.0, "max", 0.6, "done"),
        (wanted, 10, 1.0, "sum", 0.2, "done"),
    ]


def test_answers_are_not_read(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    records = load.records(store, [trial().id])
    kept = {field.name for field in records.schema["evaluations"].inner.fields}  # type: ignore[attr-defined]
    assert kept == {*load.MEASURED, "paper_accuracy", "timeouts", "grader_failures"} - {"ungraded"}
    assert not {"rollouts", "prompts"} & set(records.columns)


def test_headline_is_the_unweighted_mean(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    assert headline(store)["score"] == pytest.approx(0.4)


def test_a_missing_benchmark_is_not_averaged_over(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM])
    assert headline(store)["score"] is None


def test_another_sampling_setting_is_another_measurement(store: Store, commit: Commit):
    greedy = [replace(evaluation, temperature=0.0) for evaluation in EVALUATIONS]
    commit(trial(), [0.2, 0.6])
    commit(trial(), [0.9, 0.9], evaluations=[replace(evaluation, samples=1) for evaluation in EVALUATIONS])
    commit(trial(), [0.4, 1.0], evaluations=greedy)
    headlines = load.headlines(load.scores(load.records(store, [trial().id])), [*EVALUATIONS, *greedy])
    assert headlines.select("temperature", "score").rows() == [(0.0, pytest.approx(0.7)), (1.0, pytest.approx(0.4))]


def test_records_of_one_trial_are_united(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM])
    commit(trial(), [0.6], evaluations=[MAX])
    assert headline(store) | {"environment": ""} == {
        "trial_id": trial().id,
        "step": 10,
        "temperature": 1.0,
        "score": pytest.approx(0.4),
        "environment": "",
        "attempts": 1,
        "ungraded": 0,
        "code_version": "abc",
        "outdated": 0,
    }


def test_answers_that_could_not_be_graded_are_counted(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6], timeouts=2, grader_failures=1)
    commit(trial(seed=1), [0.2, 0.6], timeouts=None, grader_failures=None)  # as a version before wrote it
    scores = load.scores(load.records(store, [trial().id, trial(seed=1).id]))
    assert dict(scores.select("trial_id", "ungraded").iter_rows()) == {trial().id: 3, trial(seed=1).id: 0}
    assert sorted(load.headlines(scores, EVALUATIONS)["ungraded"]) == [0, 6]


def test_a_measurement_made_twice_counts_once(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    commit(trial(), [0.2], evaluations=[SUM])
    assert headline(store)["score"] == pytest.approx(0.4)


def test_a_score_is_of_one_attempt_where_one_has_it_all(store: Store, commit: Commit):
    commit(trial(), [1.0], evaluations=[SUM], weights="other", started="2025-01-01T00:00:00+00:00")
    commit(trial(), [0.2, 0.6], weights="complete")
    assert (headline(store)["score"], headline(store)["attempts"]) == (pytest.approx(0.4), 1)


def test_a_score_of_several_attempts_and_environments_says_so(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM], weights="one", environment='{"device": "cpu"}')
    commit(trial(), [0.6], evaluations=[MAX], weights="other", environment='{"device": "gpu"}')
    assert headline(store)["attempts"] == 2
    assert len(headline(store)["environment"].split("+")) == 2


def test_every_wanted_seed_has_an_outcome(store: Store, commit: Commit):
    wanted = [trial(seed=seed) for seed in range(6)]
    commit(wanted[0], [0.2, 0.6])
    commit(wanted[1], [], status=Status.diverged)
    commit(wanted[2], [], status=Status.failed)
    commit(wanted[3], [], status=Status.failed)
    commit(wanted[3], [0.2, 0.6])  # its second attempt
    commit(wanted[4], [0.2], evaluations=[SUM])
    frame = cells(wanted)
    records = load.records(store, frame["trial_id"])
    headline = Headline(10, EVALUATIONS)
    seeds = load.seeds(frame, load.scores(records), headline, load.diverged(records), load.failed(store))
    assert seeds["outcome"].to_list() == ["scored", "diverged", "failed", "scored", "missing", "missing"]
    assert seeds["score"].to_list() == [pytest.approx(0.4), None, None, pytest.approx(0.4), None, None]


def test_a_seed_knows_the_score_of_the_model_it_started_from(store: Store, commit: Commit):
    other = replace(trial(), model=Model(path="models/other"))
    commit(trial().base, [0.1, 0.3], step=0)
    commit(trial(), [0.2, 0.6])
    scores = load.scores(load.records(store, [trial().id, trial().base.id]))
    seeds = load.seeds(load.cells([trial(), other], {}), scores, Headline(10, EVALUATIONS), [], [])
    assert seeds["base_score"].to_list() == [pytest.approx(0.2), None]
    assert load.base_score(seeds) is None
    assert load.base_score(seeds.head(1)) == pytest.approx(0.2)


def test_words_on_an_axis_are_sorted_as_the_sweep_names_them():
    models = [replace(trial(), model=Model(path=f"models/{size}")) for size in ("small", "large", "huge", "small")]
    paths = {"model.path": [model.model.path for model in models]}
    assert load.cells(models, paths)["model.path"].unique().sort().to_list() == [
        "models/small",
        "models/large",
        "models/huge",
    ]


def test_a_headline_says_what_was_measured():
    greedy = replace(EVALUATIONS[0], temperature=0.0)
    assert Headline(10, EVALUATIONS).label == "mean of two benchmarks,\navg@8 at temperature 1"
    assert Headline(10, [greedy]).label == "sum,\ngreedy"


def test_cells_name_what_a_sweep_wants():
    assert load.cells([trial(0.75, seed=3)], {AXIS: [0.75], "rollout": ["vllm"]}, [10]).row(0, named=True) == {
        "trial_id": trial(0.75, seed=3).id,
        "base_id": trial().base.id,
        "model": "small",
        "seed": 3,
        "method": "em",
        "start_id": trial().base.id,
        "start_step": 0,
        "last_step": 10,
        AXIS: 0.75,
        "rollout": "vllm",
    }


def test_an_empty_store_is_an_error_that_says_what_to_do(store: Store):
    with pytest.raises(InputError, match="holds no record of these 1 trials; run the sweep first"):
        load.records(store, [trial().id])
