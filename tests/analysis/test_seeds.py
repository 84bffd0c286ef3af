"""What a sweep wants beside what is recorded: a row for every wanted score, its outcome, where a phase starts."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import pytest

import analysis.seeds
from analysis.seeds import AVERAGE, Headline, base_score, cells, measured, observe, seeds
from em.evaluation.graders import GRADERS
from em.store import Store
from em.store.record import Status
from em.trial.evaluation import Benchmark
from em.trial.model import Model
from em.trial.trial import Earlier, Trial
from sweeps.config import compose_launch
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, trial
from tests.trials import phase_of

SUM, MAX = EVALUATIONS
LAST = Headline(None, EVALUATIONS)
MISSING, SCORED = "missing", "scored"


def wanted(trials: Sequence[Trial], last: Sequence[int] | int = 10) -> pl.DataFrame:
    return cells(trials, {}, [last] * len(trials) if isinstance(last, int) else last)


def average(store: Store, trial: Trial) -> dict:
    """The one average that is recorded of a trial."""
    [row] = measured(analysis.load(store, [trial.id]).scores, EVALUATIONS).iter_rows(named=True)
    return row


def later(of: Trial, first: Trial, steps: int) -> Trial:
    """The trial after some steps of the first one's phase."""
    return replace(of, before=(Earlier(phase=phase_of(first), steps=steps, seed=first.seed),))


def test_the_average_is_the_unweighted_mean_over_benchmarks(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    assert average(store, trial()) | {"environment": ""} == {
        "trial_id": trial().id,
        "step": 10,
        "temperature": 1.0,
        "score": pytest.approx(0.4),
        "variance": None,
        "environment": "",
        "code_version": "abc",
        "attempts": 1,
        "ungraded": 0,
        "outdated": 0,
    }


def test_each_benchmark_is_a_metric(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    scores = analysis.load(store).scores
    assert [measured(scores, EVALUATIONS, name)["score"].item() for name in ("sum", "max")] == [0.2, 0.6]
    assert measured(scores, [SUM])["score"].item() == 0.2
    found = observe(wanted([trial()]), analysis.load(store), EVALUATIONS, metric="max")
    assert found.select("metric", "score").rows() == [("max", 0.6)]


def test_the_variance_of_the_average(store: Store, commit: Commit):
    """Benchmarks have problems of their own: variances add, and the mean of two has a quarter of the sum."""
    commit(trial(), [0.2, 0.6])
    scores = analysis.load(store).scores.sort("benchmark")
    for variances, expected in (([0.02, 0.04], 0.015), ([0.02, None], None)):
        average = measured(scores.with_columns(variance=pl.Series(variances)), EVALUATIONS)
        assert average["variance"].to_list() == [expected and pytest.approx(expected)]


def test_a_missing_benchmark_is_not_averaged_over(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM])
    assert average(store, trial())["score"] is None


def test_another_sampling_setting_is_another_measurement(store: Store, commit: Commit):
    greedy = [replace(evaluation, temperature=0.0) for evaluation in EVALUATIONS]
    commit(trial(), [0.2, 0.6])
    commit(trial(), [0.9, 0.9], evaluations=[replace(evaluation, samples=1) for evaluation in EVALUATIONS])
    commit(trial(), [0.4, 1.0], evaluations=greedy)
    both = [*EVALUATIONS, *greedy]
    scores = observe(wanted([trial()]), analysis.load(store), both, temperatures=[1.0, 0.0])
    assert scores.select("temperature", "score").rows() == [(1.0, pytest.approx(0.4)), (0.0, pytest.approx(0.7))]


def test_a_score_of_several_attempts_and_environments_says_so(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM], weights="one", environment='{"device": "cpu"}')
    commit(trial(), [0.6], evaluations=[MAX], weights="other", environment='{"device": "gpu"}', code_version="def")
    row = average(store, trial())
    assert (row["score"], row["attempts"], row["code_version"]) == (pytest.approx(0.4), 2, "abc+def")
    assert len(row["environment"].split("+")) == 2


def test_answers_without_a_grade_and_grades_of_an_older_grader_are_counted(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6], timeouts=2, grader_failures=1)
    scores = analysis.load(store).scores
    assert measured(scores, EVALUATIONS).select("ungraded", "outdated").rows() == [(6, 0)]
    older = scores.with_columns(grader_version=pl.Series([GRADERS["tiny"].version + 1, None], dtype=pl.Int32))
    assert measured(older, EVALUATIONS)["outdated"].to_list() == [1]


def test_every_wanted_seed_has_an_outcome(store: Store, commit: Commit):
    trials = [trial(seed=seed) for seed in range(6)]
    commit(trials[0], [0.2, 0.6])
    commit(trials[1], [], status=Status.diverged)
    commit(trials[2], [], status=Status.failed)
    commit(trials[3], [], status=Status.failed)
    commit(trials[3], [0.2, 0.6])  # its second attempt
    commit(trials[4], [0.2], evaluations=[SUM])
    found = seeds(wanted(trials), analysis.load(store, [of.id for of in trials]), Headline(10, EVALUATIONS))
    assert found["outcome"].to_list() == [SCORED, "diverged", "failed", SCORED, MISSING, MISSING]
    assert found["score"].to_list() == [pytest.approx(0.4), None, None, pytest.approx(0.4), None, None]
    assert found["seed"].to_list() == list(range(6))


def test_a_trial_that_diverged_later_has_its_earlier_scores(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6], step=2, status=Status.diverged)
    found = observe(wanted([trial()]), analysis.load(store), EVALUATIONS, [2, 10])
    assert found.select("step", "outcome").rows() == [(2, SCORED), (10, "diverged")]


def test_a_row_for_each_step_and_temperature(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    tables, frame = analysis.load(store), wanted([trial(), trial(seed=1)])
    found = observe(frame, tables, EVALUATIONS, [2, 10], temperatures=[0.5, 1.0])
    places = [(seed, step, at) for seed in (0, 1) for step in (2, 10) for at in (0.5, 1.0)]
    assert found.select("seed", "step", "temperature").rows() == places
    assert found["metric"].unique().to_list() == [AVERAGE]
    scored = found.filter(outcome=SCORED)
    assert scored.select("seed", "step", "temperature", "score").rows() == [(0, 10, 1.0, pytest.approx(0.4))]


def test_trials_of_one_sweep_are_measured_after_different_steps(store: Store, commit: Commit):
    short, long = trial(), trial(seed=1)
    commit(short, [0.2, 0.4], step=5)
    for step, score in ((5, 0.5), (10, 0.6)):
        commit(long, [score, score], step=step)
    frame, tables = wanted([short, long], [5, 10]), analysis.load(store)
    last = seeds(frame, tables, LAST)
    assert last.select("seed", "step", "score").rows() == [(0, 5, pytest.approx(0.3)), (1, 10, 0.6)]
    steps = observe(frame, tables, EVALUATIONS, [5, 10])
    assert steps.select("seed", "step", "score").rows() == [(0, 5, pytest.approx(0.3)), (1, 5, 0.5), (1, 10, 0.6)]


def test_step_0_is_the_base_model(store: Store, commit: Commit):
    commit(trial().base, [0.1, 0.3], step=0)
    commit(trial(), [0.2, 0.6])
    found = observe(wanted([trial()]), analysis.load(store), EVALUATIONS, [0, 10])
    expected = [(0, pytest.approx(0.2), pytest.approx(0.2)), (10, pytest.approx(0.4), pytest.approx(0.2))]
    assert found.select("step", "score", "base_score").rows() == expected
    assert found["trial_id"].unique().to_list() == [trial().id]


def test_step_0_of_a_phase_that_follows_another_is_the_end_of_that_one(store: Store, commit: Commit):
    first = trial(1.5, seed=7)
    second = [later(trial(seed=seed), first, 5) for seed in (0, 1)]
    commit(trial().base, [0.1, 0.3], step=0)
    commit(first, [0.5, 0.7], step=5)
    commit(first, [0.9, 0.9], step=10)  # it went on
    commit(second[0], [0.8, 0.8])
    frame = wanted(second)
    tables = analysis.load(store, {*frame["trial_id"], *frame["base_id"], *frame["start_id"]})
    found = observe(frame, tables, EVALUATIONS, [0, None])
    base = pytest.approx(0.2)
    rows = [(0, 0, pytest.approx(0.6), base), (0, 10, 0.8, base), (1, 0, pytest.approx(0.6), base), (1, 10, None, base)]
    assert found.select("seed", "step", "score", "base_score").rows() == rows


def test_a_seed_knows_the_score_of_the_model_it_started_from(store: Store, commit: Commit):
    other = replace(trial(), model=Model(path="models/other"))
    commit(trial().base, [0.1, 0.3], step=0)
    commit(trial(), [0.2, 0.6])
    found = seeds(wanted([trial(), other]), analysis.load(store), Headline(10, EVALUATIONS))
    assert found["base_score"].to_list() == [pytest.approx(0.2), None]
    assert base_score(found) is None
    assert base_score(found.head(1)) == pytest.approx(0.2)


def test_validation_problems_are_not_in_the_headline():
    launch = compose_launch(["sweep=gain"])
    measured = {item.benchmark.split for item in launch.evaluations}
    assert measured == {"validation", "test"}
    headline = launch.headline()
    assert {item.benchmark.split for item in headline.evaluations} == {"test"}
    assert len(headline.evaluations) * 2 == len([item for item in launch.evaluations if item.temperature == 1.0])


def test_validation_problems_are_reported_where_there_are_no_others():
    benchmark = Benchmark(name="v", suite="sum", split="validation", grader="tiny")
    validation = [replace(SUM, benchmark=benchmark)]
    assert analysis.seeds.tested([*validation, MAX]) == [MAX]
    assert analysis.seeds.tested(validation) == validation


def test_words_on_an_axis_are_sorted_as_the_sweep_names_them():
    models = [replace(trial(), model=Model(path=f"models/{size}")) for size in ("small", "large", "huge", "small")]
    paths = {"model.path": [model.model.path for model in models]}
    assert cells(models, paths)["model.path"].unique().sort().to_list() == [
        "models/small",
        "models/large",
        "models/huge",
    ]


def test_a_headline_says_what_was_measured():
    greedy = replace(EVALUATIONS[0], temperature=0.0)
    assert Headline(10, EVALUATIONS).label == "mean of two benchmarks,\navg@8 at temperature 1"
    assert Headline(10, [greedy]).label == "sum,\ngreedy"
    assert (Headline(10, EVALUATIONS).after, LAST.after) == ("after step 10", "after its last step")


def test_cells_name_what_a_sweep_wants():
    assert cells([trial(0.75, seed=3)], {AXIS: [0.75], "rollout": ["vllm"]}, [10]).row(0, named=True) == {
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
    first = trial(1.5, seed=7)
    row = cells([later(trial(), first, 5)], {}, [10]).row(0, named=True)
    assert (row["start_id"], row["start_step"], row["base_id"]) == (first.id, 5, trial().base.id)
