"""Synthetic stores are such as the real readers expect, and hold the truth that they were made from."""

import math
from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from analysis import load
from analysis.seeds import seeds
from em.store import Store, schema
from em.store.missing import missing_units
from em.store.record import Record, Status
from em.store.recorded import unit_of
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.figures import draw_all
from sweeps.plan import plan
from tests.memory import MemoryFiles
from tests.synthetic import Unsynced, fill, grid
from tests.trials import phase_of
from tests.truth import Options, Peak, Score, normal, uniform

SMALL = ["rollout.temperature=0.5,1", "optimizer.lr=1e-4,1e-3", "seed=0,1", "eval.steps=[1,3]", "eval.samples=2"]
EIGHT = [*SMALL, "~benchmarks.bit", "~benchmarks.mixed", "benchmarks.sum.limit=3"]


@pytest.fixture(scope="module")
def eight() -> Launch:
    return compose_launch(EIGHT)


def made(config: Launch, options: Options | None = None, score: Score | None = None) -> Store:
    store = Store("none", MemoryFiles())
    fill(store, config, score or Peak(), options or Options())
    return store


def written(store: Store) -> list[tuple[str, bytes]]:
    """All pieces of a store, those of the index by their contents alone."""
    folders = ("records", "failed", "index")
    names = [f"{folder}/{name}" for folder in folders for name in store.files.list(folder)]
    return sorted(("" if name.startswith("index/") else name, store.files.read(name)) for name in names)


def trained(config: Launch) -> list[Unit]:
    return [unit for unit in expand.units(config) if not unit.trial.is_base]


def as_a_worker_writes(record: Record) -> pl.DataFrame:
    return pl.read_parquet(BytesIO(schema.parquet(schema.lean(schema.frame([record]), Record))))


def require_whole(config: Launch, store: Store) -> None:
    """Every record reads as its unit and is written as the store would, and the index says what the records do."""
    units = expand.units(config)
    assert store.recorded_units() == {unit.id for unit in units}
    for unit in units:
        record = store.record(unit.id)
        assert (unit_of(record).trial.id, unit_of(record).measurements) == (unit.trial.id, unit.measurements)
        assert [(item.step, item.evaluation_id) for item in record.evaluations] == [
            measurement.key for measurement in sorted(unit.measurements, key=lambda item: item.step)
        ]
        assert_frame_equal(
            pl.read_parquet(BytesIO(store.files.read(f"records/{unit.id}.parquet"))), as_a_worker_writes(record)
        )
    indexed, damaged = store.records()
    store.files.remove("index")
    again, _ = store.records()  # a column that says nothing is not in a record's file
    assert_frame_equal(indexed.sort("unit_id"), again.with_columns(pl.col("metrics").fill_null([])).sort("unit_id"))
    assert not damaged


def test_records_are_such_as_workers_leave(eight):
    store = made(eight)
    require_whole(eight, store)
    record = store.record(trained(eight)[0].id)
    assert [step.step for step in record.steps] == [1, 2, 3]
    assert [step.loss for step in record.steps] == sorted((step.loss for step in record.steps), reverse=True)
    assert [digest.step for digest in record.digests] == [1, 3]
    for step in record.steps:
        lengths = [len(sample.token_ids) for sample in record.rollouts if sample.step == step.step]
        assert (step.tokens, step.mean_length) == (sum(lengths), sum(lengths) / 2)
    for result in record.evaluations:
        assert result.problems == (3 if result.benchmark == "sum" else 20)
        assert {len(result.correct), len(result.lengths), len(result.texts)} == {2 * result.problems}
        assert result.accuracy == sum(map(bool, result.correct)) / len(result.correct)
        assert result.texts == result.extracted
        assert [said == str(place // 2 + 1) for place, said in enumerate(result.extracted)] == result.correct
        assert result.truncated == [length == 24 for length in result.lengths]


@pytest.mark.parametrize(("texts", "kept"), [("none", []), ("sample", [0, 2, 4])])
def test_texts_are_kept_as_the_evaluation_says(texts, kept):
    config = compose_launch([*EIGHT, f"eval.texts={texts}"])
    store = made(config)
    (result, *_) = (item for item in store.record(trained(config)[0].id).evaluations if item.benchmark == "sum")
    assert [place for place, text in enumerate(result.texts) if text is not None] == kept


def test_a_launch_finds_nothing_to_do(eight):
    store = made(eight)
    planned = plan(eight, store)
    assert (len(planned.wanted), planned.todo, planned.given_up, planned.damaged) == (9, [], [], [])
    assert missing_units(expand.units(eight), store.records()[0]) == []


def test_scores_are_the_truth(eight):
    """Probabilities of 0 and 1 come back as they are, others as a share of many answers."""

    def score(trial: Trial, step: int, evaluation: Evaluation) -> float:
        if evaluation.benchmark.name == "max":
            return 0.5 if trial.is_base else 0.25 * step
        return float(evaluation.benchmark.name == "sum" and step == 3 and trial.seed == 1)

    store = made(eight, score=score)
    frame = expand.frame(eight)
    scores = load(store, {*frame["trial_id"], *frame["base_id"]}).scores.join(
        frame.select("trial_id", "seed"), on="trial_id", how="left"
    )
    assert len(scores) == 4 + 8 * 8
    certain = scores.filter(pl.col("benchmark") != "max")
    right = (pl.col("benchmark") == "sum") & (pl.col("step") == 3) & (pl.col("seed") == 1)
    assert certain.select((pl.col("accuracy") == right.fill_null(False).cast(float)).all()).item()
    means = dict(scores.filter(pl.col("benchmark") == "max").group_by("step").agg(pl.mean("accuracy")).iter_rows())
    assert means == pytest.approx({0: 0.5, 1: 0.25, 3: 0.75}, abs=0.2)
    for step, answers in ((1, 320), (3, 320)):
        assert abs(means[step] - 0.25 * step) < 4 * math.sqrt(0.1875 / answers)


def test_trials_that_diverge_fail_or_are_missing_are_counted(eight):
    diverging, failing, absent = (trained(eight)[place].trial.id for place in (1, 4, 6))
    options = Options(
        diverges=lambda trial: 3 if trial.id == diverging else 4,
        fails=lambda trial: 3 if trial.id == failing else 0,
        is_missing=lambda trial: trial.id == absent,
    )
    store = made(eight, options)
    records, _ = store.records()
    frame = expand.frame(eight)
    tables = load(store, {*frame["trial_id"], *frame["base_id"]})
    assert Counter(seeds(frame, tables, eight.headline())["outcome"]) == {
        "scored": 5,
        "diverged": 1,
        "failed": 1,
        "missing": 1,
    }
    planned = plan(eight, store)
    assert [unit.trial.id for unit in planned.todo] == [absent]
    assert [unit.trial.id for unit in planned.given_up] == [failing]
    assert len(records) == 7
    record = store.record(trained(eight)[1].id)
    assert (record.status, record.error) == (Status.diverged, "step 3: loss is nan")
    assert ([math.isnan(step.loss) for step in record.steps], len(record.seconds)) == ([False, False, True], 2)
    assert {result.step for result in record.evaluations} == {1}
    assert sorted(failure.attempt for failure in store.failures(trained(eight)[4].id)) == [1, 2, 3]


def test_a_trial_may_diverge_before_anything_is_measured(eight):
    store = made(eight, Options(diverges=lambda trial: 1))
    assert plan(eight, store).todo == []
    assert store.record(trained(eight)[0].id).evaluations == []


def test_the_same_functions_give_the_same_bytes(eight):
    options = Options(diverges=lambda trial: 2 * (uniform("diverges", trial.id) < 0.3), fails=lambda trial: trial.seed)
    first, again = written(made(eight, options)), written(made(eight, options))
    assert len(first) == 1 + 4 + 4 + 1  # the base model, seed 0, failed attempts of seed 1, the index
    assert first == again
    assert first != written(made(eight, replace(options, seed=1)))


def test_phases_of_reinforcement_learning_have_rewards():
    config = compose_launch(
        ["phase=grpo,em_after_grpo", "eval.steps=[2]", "sweep.seeds=1", "seed=0", "eval.texts=none"]
    )
    store = made(config, Options(samples=8, reward=lambda trial, step: float(step > 0)))
    require_whole(config, store)
    assert plan(config, store).todo == []
    records = {unit.trial.id: store.record(unit.id) for unit in expand.units(config)}
    grpo, after = (
        next(unit for unit in trained(config) if bool(unit.trial.before) is later) for later in (False, True)
    )
    rewards = [metric.value for metric in records[grpo.trial.id].metrics if metric.name == "reward"]
    assert rewards[:3] == [0.0, 1.0, 1.0]
    assert len(rewards) == grpo.last_step == after.trial.origin[1]
    lengths = {metric.value for metric in records[grpo.trial.id].metrics if metric.name == "prompt_length"}
    assert lengths == {float(len(prompt)) for prompt in records[grpo.trial.id].prompts}
    digests = {digest.step: digest.sha256 for digest in records[grpo.trial.id].digests}
    assert records[after.trial.id].digests[0].sha256 == digests[grpo.last_step]
    assert all(sample.reward is None for sample in records[after.trial.id].rollouts)


def test_distributions_have_the_skewness_of_the_function():
    config = compose_launch([*SMALL, "eval.statistics=logits", "benchmarks.sum.limit=3", "rollout.temperature=1"])
    store = made(config, Options(skewness=lambda trial, step, evaluation: 0.5 * step))
    require_whole(config, store)
    result = store.record(trained(config)[0].id).evaluations[-1]
    assert result.distributions is not None
    assert [found.name for found in result.distributions] == ["logits", "top_k", "logprobs"]
    assert result.position_tokens == [
        sum(length > place for length in result.lengths) for place in range(max(result.lengths))
    ]
    for found in result.distributions:
        assert found.below + sum(found.histogram) + found.above == found.count
        values = found.low + found.width * (np.arange(len(found.histogram)) + 0.5)
        share = np.array(found.histogram) / found.count
        mean = values @ share
        sigma = math.sqrt((values - mean) ** 2 @ share)
        skewness, kurtosis = (((values - mean) / sigma) ** power @ share for power in (3, 4))
        moments = (found.mean, found.sigma, found.skewness, found.kurtosis)
        assert (mean, sigma, skewness, kurtosis) == pytest.approx(moments, rel=0.02, abs=0.02)
        assert found.skewness == 1.5


def test_where_and_with_what_a_record_was_made(eight):
    cold = {unit.trial.id for unit in trained(eight) if phase_of(unit.trial).rollout.temperature == 0.5}
    options = Options(
        code_version=lambda trial: "old" if trial.seed else "new", device=lambda trial: str(trial.id in cold)
    )
    made_of, _ = made(eight, options).records()
    made_of = made_of.filter(pl.col("steps").list.len() > 0).unnest("provenance")
    assert Counter(made_of["code_version"]) == {"old": 4, "new": 4}
    assert Counter(made_of.group_by("environment").len()["len"]) == {4: 2}
    assert made_of["attempt_id"].n_unique() == made_of["started"].n_unique() == 8


def test_named_numbers_are_drawn_as_their_distributions_say():
    numbers = [uniform("test", place) for place in range(1000)]
    normals = [normal("test", place) for place in range(1000)]
    assert 0 < min(numbers) < max(numbers) < 1
    assert (np.mean(numbers), np.std(numbers)) == pytest.approx((0.5, 12**-0.5), abs=0.03)
    assert (np.mean(normals), np.std(normals)) == pytest.approx((0, 1), abs=0.1)


def test_files_that_do_not_wait_for_the_disk_keep_the_first(tmp_path):
    files = Unsynced(tmp_path)
    assert files.create_once("records/a", b"first")
    assert not files.create_once("records/a", b"second")
    assert files.read("records/a") == b"first"


def test_the_grid_is_drawn_as_its_words_say(tmp_path):
    words = grid(tmp_path, 13_440)
    assert {"sweep.seeds=16", f"eval.steps={[*range(1, 51)]}".replace(" ", "")} < {*words}
    kept = [word for word in words if not word.startswith(("sweep.seeds", "eval.steps"))]
    narrow = ["rollout.temperature=0.5,1", "optimizer.lr=5e-4,1e-3", "prompts.rank=0,1"]
    config = compose_launch([*kept, *narrow, "sweep.seeds=2", "eval.steps=[5,50]"])
    store = Store(tmp_path, Unsynced(tmp_path))
    fill(store, config, Peak())
    assert len(store.recorded_units()) == 1 + 16
    drawn = draw_all(config, store, Console(quiet=True))
    names = [path.stem for path in drawn["grid"] if path.suffix == ".png"]
    assert names == ["grid", "grid-temperature", "grid-lr", "grid-steps"]
