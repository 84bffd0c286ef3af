"""What a store holds as tables: their columns, records united, variances of accuracies, what cannot be read."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import analysis
from analysis.tables import ATTEMPTS, SCORES, STEPS, TRIALS, WORD, Tables, of_trials
from em.errors import InputError
from em.evaluation.metrics import sampling_variance
from em.store import Store, index, schema
from em.store.record import EvaluationResult, Provenance, Record, Regrade, Status, StepMetrics
from em.trial.evaluation import Evaluation
from em.trial.sample import Sample
from em.trial.trial import Earlier, Trial
from em.trial.unit import Measurement, Unit
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, trial
from tests.trials import phase_of

SUM, MAX = EVALUATIONS
OLD = Path(__file__).parents[1] / "golden" / "store-v1"
CORRECT_PK = [[True, False, True, True], [False, False, False, True], [True, True, True, True]]
VARIANCE = (
    (3 / 4 * 1 / 4 + 1 / 4 * 3 / 4) / 3 / 3**2
)  # of three problems with four answers each, the third always right


def made(started: str = "2026-01-01T00:00:00+00:00", node: str = "n", seconds: float = 1.0) -> Provenance:
    return Provenance(
        attempt_id="a",
        node=node,
        pid=1,
        lane="",
        started=started,
        seconds=seconds,
        turnover_seconds=None,
        code_version="abc",
        environment="{}",
    )


def answered(correct_PK: Sequence[Sequence[bool | None]], evaluation: Evaluation = SUM) -> EvaluationResult:
    """The answers of a measurement after step 10."""
    correct = [one for of_problem in correct_PK for one in of_problem]
    return EvaluationResult(
        step=10,
        evaluation_id=evaluation.id,
        benchmark=evaluation.benchmark.name,
        temperature=evaluation.temperature,
        problems=len(correct_PK),
        samples=len(correct_PK[0]),
        accuracy=sum(map(bool, correct)) / len(correct),
        correct=correct,
        extracted=[None] * len(correct),
        lengths=[1] * len(correct),
        truncated=[False] * len(correct),
        texts=[None] * len(correct),
    )


def record(trial: Trial, *results: EvaluationResult, steps: int = 0, prompt: int = 3, **provenance) -> Record:
    """Of a unit that measures after its last step; loss at step s is s, a step has two samples."""
    unit = Unit(trial, (Measurement(max(steps, 1), SUM),))
    metrics = {"entropy": 1.0, "logprob": -1.0, "tokens": 4, "mean_length": 2.0, "truncated": 0.0, "grad_norm": 1.0}
    numbers = range(1, steps + 1)
    return Record.of(
        unit,
        made(**provenance),
        status=Status.done,
        prompts=[[1] * prompt, [1] * (prompt + 1)],
        steps=[StepMetrics(step=step, loss=float(step), **metrics) for step in numbers],
        rollouts=[
            Sample(step=step, prompt=place, token_ids=[1], truncated=False) for step in numbers for place in (0, 1)
        ],
        evaluations=list(results),
    )


def score(store: Store) -> dict:
    """The only row of the scores."""
    [row] = analysis.load(store).scores.iter_rows(named=True)
    return row


def accuracies(store: Store, *names: str) -> list[tuple]:
    return (
        analysis.load(store)
        .scores.sort("trial_id", "benchmark", "temperature")
        .select("benchmark", "accuracy", *names)
        .rows()
    )


def test_columns_and_their_types(store: Store, commit: Commit):
    store.commit(record(trial(), answered(CORRECT_PK), steps=2))
    commit(trial(seed=1), [], status=Status.failed)
    tables = analysis.load(store)
    word, text, whole, small, real = pl.Categorical(), pl.String(), pl.Int64(), pl.Int32(), pl.Float64()
    scores = {
        **{"trial_id": word, "step": whole, "evaluation_id": word, "benchmark": word, "temperature": real},
        **{"problems": small, "samples": small, "accuracy": real, "variance": real, "ungraded": small},
        **{"grader_version": small, "environment": word, "code_version": word},
        **{"weights": pl.UInt64(), "unit_id": word},
    }
    steps = {
        **{"trial_id": word, "step": whole, "loss": real, "entropy": real, "logprob": real, "tokens": whole},
        **{"mean_length": real, "truncated": real, "grad_norm": real},
    }
    trials = {
        **{"trial_id": word, "base_id": word, "model": text, "method": text, "before": text, "seed": whole},
        **{"status": word, "steps": whole, "started": text, "seconds": real, "node": text, "environment": word},
        "code_version": word,
    }
    attempts = {"trial_id": word, "unit_id": word, "attempts": whole}
    columns = list(tables.trials.schema.items())
    assert columns[: len(trials)] == list(trials.items())
    assert all("." in name for name, _ in columns[len(trials) :])  # its config
    for table, known, named in (
        (tables.scores, scores, SCORES),
        (tables.steps, steps, STEPS),
        (tables.attempts, attempts, ATTEMPTS),
    ):
        assert table.height
        assert list(table.schema.items()) == list(known.items())
        assert list(named) == list(known)
    assert list(TRIALS) == list(trials)


def test_empty_tables_have_the_same_columns(store: Store, commit: Commit):
    commit(trial(), [])
    tables = analysis.load(store)
    assert tables.scores.schema == pl.Schema(SCORES)
    assert tables.steps.schema == pl.Schema(STEPS)
    assert tables.attempts.schema == pl.Schema(ATTEMPTS)
    lengths = tables.prompt_lengths(tables.trials["trial_id"])
    assert lengths.schema == {"trial_id": WORD, "step": pl.Int64, "prompt length": pl.Float64}


def test_a_trial_has_its_config_by_dotted_path(store: Store, commit: Commit):
    commit(trial(0.75, seed=3), [0.2, 0.6])
    row = analysis.load(store).trials.row(0, named=True)
    expected = {"trial_id": trial(0.75, seed=3).id, "base_id": trial().base.id, "model": "small", "method": "em"}
    expected |= {"before": "", "seed": 3, AXIS: 0.75, "model.path": "models/small", "prompts.texts": '["1+1="]'}
    assert {name: row[name] for name in expected} == expected
    assert row["optimizer.lr"] == phase_of(trial()).optimizer.lr
    assert row["rollout.engine"] == "vllm"


def test_an_untrained_model_has_no_config_but_its_own(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    commit(trial().base, [0.1, 0.3], step=0)
    rows = {row["trial_id"]: row for row in analysis.load(store).trials.iter_rows(named=True)}
    base = rows[trial().base.id]
    assert (base["base_id"], base["method"], base["model.path"], base["seed"]) == (
        trial().base.id,
        "",
        "models/small",
        0,
    )
    config = {name for name in base if "." in name and not name.startswith("model.")}
    assert AXIS in config
    assert {base[name] for name in config} == {None}
    assert rows[trial().id][AXIS] == 0.5


def test_a_trial_names_the_phases_before_it(store: Store, commit: Commit):
    earlier = tuple(Earlier(phase=phase_of(trial()), steps=steps) for steps in (5, 20))
    later = replace(trial(1.5), before=earlier)
    commit(later, [0.2, 0.6])
    row = analysis.load(store).trials.row(0, named=True)
    assert (row["before"], row[AXIS], row["base_id"]) == ("em x 5 + em x 20", 1.5, trial().base.id)


def test_a_trial_of_several_records(store: Store):
    long = record(trial(), steps=3, started="2026-01-02T00:00:00+00:00", node="late", seconds=3.0)
    short = record(trial(), steps=1, started="2026-01-01T00:00:00+00:00", node="early", seconds=1.0)
    for one in (long, short):
        store.commit(one)
    tables = analysis.load(store)
    columns = ("steps", "started", "seconds", "node", "status", "code_version")
    assert tables.trials.select(columns).rows() == [(3, "2026-01-01T00:00:00+00:00", 4.0, "late", "done", "abc")]
    assert tables.steps.select("trial_id", "step", "loss").rows() == [(trial().id, s, float(s)) for s in (1, 2, 3)]
    assert tables.steps.row(0, named=True) == {"trial_id": trial().id, **asdict(long.steps[0])}


def test_a_trial_that_diverged(store: Store, commit: Commit):
    commit(trial(), [], status=Status.diverged)
    tables = analysis.load(store)
    assert tables.trials["status"].to_list() == ["diverged"]
    assert tables.diverged == {trial().id}


def test_failed_attempts_by_unit(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    store.commit(replace(record(trial(seed=1)), status=Status.failed))
    again = replace(record(trial(seed=1)), status=Status.failed)
    again.provenance.attempt_id = "b"
    store.commit(again)
    tables = analysis.load(store)
    assert tables.attempts.rows() == [(trial(seed=1).id, again.unit_id, 2)]
    assert tables.failed == {trial(seed=1).id}
    assert analysis.load(store, [trial().id]).attempts.is_empty()


def test_the_prompts_of_a_step(store: Store):
    store.commit(record(trial(), steps=2, prompt=3))
    assert analysis.load(store).prompt_lengths([trial().id]).rows() == [(trial().id, 1, 3.5), (trial().id, 2, 3.5)]
    assert analysis.load(store).prompt_lengths([]).is_empty()  # of no other trial is a record opened


def test_the_variance_of_an_accuracy(store: Store):
    """Of the mean over these problems, were their answers drawn again."""
    store.commit(record(trial(), answered(CORRECT_PK)))
    assert score(store)["accuracy"] == pytest.approx(8 / 12)
    assert score(store)["variance"] == pytest.approx(VARIANCE)
    assert sampling_variance(np.array(CORRECT_PK, float)) == pytest.approx(VARIANCE)


def test_an_answer_that_could_not_be_graded_counts_as_wrong_in_the_variance(store: Store):
    store.commit(record(trial(), answered([[True, None, True, True], *CORRECT_PK[1:]])))
    assert score(store)["variance"] == pytest.approx(VARIANCE)


@pytest.mark.parametrize("correct_PK", [[[True], [False]], [[None], [None]]])
def test_single_answers_have_no_variance(store: Store, correct_PK: list[list[bool | None]]):
    store.commit(record(trial(), answered(correct_PK)))
    assert score(store)["variance"] is None


def test_later_grades_change_accuracy_and_variance(store: Store):
    before = record(trial(), answered([[True] * 4] * 3), answered([[True] * 4] * 3, MAX))
    store.commit(before)
    assert [variance for *_, variance in accuracies(store, "variance")] == [0, 0]
    after = answered(CORRECT_PK)
    grades = {"accuracy": after.accuracy, "correct": after.correct, "extracted": after.extracted, "grader_version": 2}
    at = {"unit_id": before.unit_id, "attempt_id": "a", "step": 10, "evaluation_id": SUM.id}
    store.commit_grades([Regrade(**at, **grades, graded="2026-02-01", code_version="abc")])
    again = accuracies(store, "variance", "grader_version")
    assert again == [("max", 1, 0, None), ("sum", pytest.approx(8 / 12), pytest.approx(VARIANCE), 2)]


def test_an_index_of_an_older_version_is_made_again_from_the_records(store: Store):
    store.commit(record(trial(), answered(CORRECT_PK)))
    for name in store.files.list("index"):
        store.files.remove(f"index/{name}")
    rows = index.rows_of(schema.frame([record(trial(), answered([[False] * 4] * 3))]))
    numbers = pl.element().struct.field([name for name in index.EVALUATION if name != "variance"])
    older = rows.drop("trial").with_columns(pl.col("evaluations").list.eval(pl.struct(numbers)))
    store.files.replace("index/0123.parquet", schema.parquet(older))
    again = Store(store.root)
    assert score(again)["variance"] == pytest.approx(VARIANCE)
    assert score(again)["accuracy"] == pytest.approx(8 / 12)


def test_only_the_trials_that_are_asked_for(store: Store, commit: Commit):
    commit(trial(0.75, seed=3), [0.2, 0.6])
    commit(trial(0.25), [0.0, 0.0])
    wanted = trial(0.75, seed=3).id
    tables = analysis.load(store.root, [wanted])
    rows = tables.scores.sort("benchmark").select("trial_id", "step", "temperature", "benchmark", "accuracy")
    assert rows.rows() == [(wanted, 10, 1.0, "max", 0.6), (wanted, 10, 1.0, "sum", 0.2)]
    assert tables.trials["trial_id"].to_list() == [wanted]
    assert analysis.load(str(store.root)).trials.height == 2


def test_records_that_have_an_index_are_not_read(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.commit(record(trial(), answered(CORRECT_PK)))
    store.flush()
    again, opened = Store(store.root), []
    read = again.files.read
    monkeypatch.setattr(again.files, "read", lambda name: opened.append(name) or read(name))
    assert score(again)["variance"] == pytest.approx(VARIANCE)
    assert {name.partition("/")[0] for name in opened} == {"index"}


def test_records_of_one_trial_are_united(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM])
    commit(trial(), [0.6], evaluations=[MAX])
    assert accuracies(store) == [("max", 0.6), ("sum", 0.2)]


def test_a_measurement_made_twice_counts_once(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    commit(trial(), [0.2], evaluations=[SUM])
    assert accuracies(store) == [("max", 0.6), ("sum", 0.2)]


def test_a_score_is_of_the_attempt_that_has_most_of_its_step(store: Store, commit: Commit):
    commit(trial(), [1.0], evaluations=[SUM], weights="other", started="2025-01-01T00:00:00+00:00")
    commit(trial(), [0.2, 0.6], weights="complete")
    commit(trial(), [0.9], evaluations=[SUM], step=20)  # another step is no part of it
    first = analysis.load(store).scores.filter(step=10).sort("benchmark")
    assert first.select("benchmark", "accuracy").rows() == [("max", 0.6), ("sum", 0.2)]
    assert first["weights"].n_unique() == first["unit_id"].n_unique() == 1


def test_of_equal_attempts_the_earliest_counts(store: Store, commit: Commit):
    greedy = replace(MAX, temperature=0.0)
    commit(trial(), [0.9, 0.9], evaluations=[SUM, greedy], weights="late", started="2026-02-01T00:00:00+00:00")
    commit(trial(), [0.2, 0.6], weights="early", started="2026-01-01T00:00:00+00:00")
    assert accuracies(store, "temperature") == [("max", 0.9, 0.0), ("max", 0.6, 1.0), ("sum", 0.2, 1.0)]


def test_attempts_that_each_hold_a_part_are_told_apart_by_their_weights(store: Store, commit: Commit):
    commit(trial(), [0.2], evaluations=[SUM], weights="one", environment='{"device": "cpu"}')
    commit(trial(), [0.6], evaluations=[MAX], weights="other", environment='{"device": "gpu"}')
    tables = analysis.load(store)
    assert tables.scores["weights"].n_unique() == 2
    assert tables.scores["environment"].n_unique() == 2
    assert tables.trials["environment"].item() == "+".join(sorted(tables.scores["environment"]))


def test_answers_that_could_not_be_graded_are_counted(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6], timeouts=2, grader_failures=1)
    commit(trial(seed=1), [0.2, 0.6], timeouts=None, grader_failures=None)  # as a version before wrote it
    scores = analysis.load(store).scores
    assert dict(scores.select("trial_id", "ungraded").iter_rows()) == {trial().id: 3, trial(seed=1).id: 0}


def test_records_of_the_first_version(tmp_path: Path):
    """They lack columns of today; their answers are two of each problem, and one of two is right."""
    store = Store(tmp_path)
    for path in (OLD / "records").iterdir():
        store.files.replace(f"records/{path.name}", path.read_bytes())
    tables = analysis.load(store)
    assert tables.scores.schema == pl.Schema(SCORES)
    known = tables.scores.select("step", "accuracy", "variance", "ungraded", "grader_version").sort("step")
    assert known.rows() == [(step, 0.5, 0.25, 0, None) for step in (0, 0, 2, 5)]
    assert tables.trials.select("method", "steps", AXIS).sort("steps").rows() == [("em", 2, 0.5), ("em", 5, 0.5)]
    assert tables.steps.select("step", "loss").sort("step").rows() == [(step, 0.25) for step in (1, 1, 2, 2, 3, 4, 5)]


def test_tables_of_no_records_are_empty(store: Store, commit: Commit):
    """A launch looks at its store before anything is recorded."""
    commit(trial(), [0.2, 0.6])
    records, _ = store.records()
    tables = Tables(store, of_trials(records, []), {})
    assert (tables.scores.schema, tables.scores.height) == (pl.Schema(SCORES), 0)
    assert (tables.steps.schema, tables.steps.height) == (pl.Schema(STEPS), 0)


def test_an_empty_store_is_an_error_that_says_what_to_do(store: Store):
    with pytest.raises(InputError, match=r"^store=.*: holds no record of these 1 trials; run the sweep first"):
        analysis.load(store, [trial().id])
    with pytest.raises(InputError, match=r"^store=.*: holds no record; run the sweep first"):
        analysis.load(store)


def test_a_damaged_record_is_named(store: Store, commit: Commit):
    commit(trial(), [0.2, 0.6])
    [unit] = store.recorded_units()
    store.files.replace(f"records/{unit}.parquet", b"PAR1")
    with pytest.raises(InputError, match=rf"^record {unit}: damaged; the next launch of the sweep sets it aside"):
        analysis.load(Store(store.root))
