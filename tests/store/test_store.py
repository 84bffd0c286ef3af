"""The record store: what comes back is what went in, the first record stays, a crash leaves nothing half written."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from em.store import Store, index
from em.store.files import Files
from em.store.missing import missing_units
from em.store.record import (
    EvaluationResult,
    Metric,
    Provenance,
    Record,
    Regrade,
    Status,
    StepMetrics,
    StepSeconds,
    WeightDigest,
)
from em.store.schema import DamagedError, parquet
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.model import Model
from em.trial.prompts import Prompts
from em.trial.sample import Sample
from em.trial.unit import Measurement, Unit
from tests.trials import one_phase

SUM = Benchmark(name="sum", suite="sum", limit=1, grader="tiny")
COLD, HOT = (Evaluation(benchmark=SUM, temperature=t, top_p=1.0, samples=2, seed=0) for t in (0.5, 1.0))


def unit(*measured: tuple[int, Evaluation], seed: int = 0) -> Unit:
    trial = one_phase(model=Model(path="owner/model"), prompts=Prompts(texts=["1+1?"]), seed=seed)
    return Unit(trial, tuple(Measurement(step, evaluation) for step, evaluation in measured))


UNIT = unit((0, COLD), (2, COLD))


def record(
    of: Unit = UNIT, status: Status = Status.done, steps: int = 2, attempt_id: str = "a", loss: float = 0.25
) -> Record:
    """A record of the unit with all that was measured up to its last good step."""
    measured = [m for m in of.measurements if m.step <= (steps if status is Status.done else steps - 1)]
    return Record.of(
        of,
        status=status,
        attempt=1,
        error=None if status is Status.done else "loss is nan, 'quoted'\nsecond line: é",
        prompts=[[49, 43, 49, 63], []],
        steps=[
            StepMetrics(
                step=step,
                loss=loss if status is Status.done else float("inf"),
                entropy=0.1,
                logprob=-1e-300,
                tokens=3,
                mean_length=1.5,
                truncated=0.5,
                grad_norm=0.1 + 0.2,
            )
            for step in range(1, steps + 1)
        ],
        rollouts=[Sample(step=1, prompt=0, token_ids=[1, 257], truncated=False)],
        digests=[WeightDigest(step=m.step, sha256="f" * 64) for m in measured],
        evaluations=[
            EvaluationResult(
                step=m.step,
                evaluation_id=m.evaluation.id,
                benchmark="sum",
                temperature=m.evaluation.temperature,
                problems=1,
                samples=2,
                accuracy=0.5,
                correct=[True, False],
                extracted=["4", None],
                lengths=[2, 9],
                truncated=[False, True],
                texts=["#4", "\0 \\ \N{SNOWMAN} '\""],
            )
            for m in measured
        ],
        seconds=[StepSeconds(step=1, sample=0.1, train=0.2, push=0.3)],
        provenance=Provenance(
            attempt_id=attempt_id,
            node="n",
            pid=1,
            lane="0",
            started="2026-01-01T00:00:00+00:00",
            seconds=1.5,
            turnover_seconds=None,
            code_version="v",
            environment="{}",
        ),
    )


def names(store: Store) -> list[str]:
    return [f"{folder}/{name}" for folder in store.files.list("") for name in store.files.list(folder)]


def missing(store: Store, wanted: list[Unit]) -> list[Unit]:
    """What is missing, without what it would be replayed from."""
    return [Unit(left.trial, left.measurements) for left in missing_units(wanted, store.records()[0])]


@pytest.fixture
def store(tmp_path: Path, files: Files) -> Store:
    return Store(tmp_path / "results", files)


RECORD = f"records/{UNIT.id}.parquet"


@pytest.mark.parametrize("status", [Status.done, Status.diverged])
def test_a_record_comes_back_as_it_went_in(store, status):
    written = record(status=status)
    assert store.commit(written)
    assert store.record(UNIT.id) == written
    [row] = pl.read_parquet(store.files.read(RECORD)).to_dicts()
    whole = dataclasses.asdict(written)
    sampled = ("logprobs", "reward", "extracted", "grading_error", "text")
    later = [whole.pop("metrics"), *(whole["rollouts"][0].pop(name) for name in sampled)]
    later += [whole["provenance"].pop(name) for name in ("resumed", "model_commit")]
    later += [digest.pop("kind") for digest in whole["digests"]]
    measured = ("ended", "entropies", "probabilities", "position_tokens", "position_entropies", "distributions")
    measured += ("asked",)
    later += [result.pop(name) for result in whole["evaluations"] for name in ("grader_version", *measured)]
    assert row == whole  # fields that were added later are not written until they say something
    assert list(row) == list(whole)
    assert not any(later)


def test_what_was_added_later_is_written_where_it_says_something(store):
    written = record()
    written.rollouts[0].reward = 0.5
    written.metrics = [Metric(step=1, name="reward", value=0.5)]
    written.evaluations[0].ended = [None, "loops"]
    store.commit(written)
    assert store.record(UNIT.id) == written
    [row] = pl.read_parquet(store.files.read(RECORD)).to_dicts()
    assert row["metrics"] == [{"step": 1, "name": "reward", "value": 0.5}]
    assert list(row["rollouts"][0]) == ["step", "prompt", "token_ids", "truncated", "reward"]
    assert [result["ended"] for result in row["evaluations"]] == [
        [None, "loops"],
        *[None] * (len(written.evaluations) - 1),
    ]


def test_a_record_without_steps_comes_back(store):
    base = Unit(UNIT.trial.base, (Measurement(0, COLD),))
    written = record(base, steps=0)
    written.prompts, written.rollouts, written.seconds = [], [], []
    store.commit(written)
    store.commit(record())
    assert store.record(base.id) == written
    assert store.records()[0]["steps"].list.len().sort().to_list() == [0, 2]


def test_an_empty_store_is_an_empty_table(store):
    assert store.records()[0].schema == pl.Schema(index.SCHEMA)
    assert (store.recorded_units(), store.failed_attempts(), store.failures()) == (set(), {}, [])
    assert names(store) == []


def test_the_first_record_stays(store):
    assert store.commit(record(attempt_id="first"))
    before = store.files.read(RECORD)
    assert not store.commit(record(attempt_id="second", loss=9.0))
    assert store.files.read(RECORD) == before
    assert names(store) == [RECORD]


def test_failed_attempts_are_all_kept_beside(store):
    for attempt_id in ("a", "b"):
        assert store.commit(record(status=Status.failed, attempt_id=attempt_id))
    assert store.commit(record(status=Status.failed, attempt_id="a", of=unit((1, HOT))))
    assert store.recorded_units() == set()
    assert store.failed_attempts() == {UNIT.id: 2, unit((1, HOT)).id: 1}
    assert missing(store, [UNIT]) == [UNIT]
    assert sorted(attempt.provenance.attempt_id for attempt in store.failures()) == ["a", "a", "b"]
    assert store.failures(f"{UNIT.id}-b") == [record(status=Status.failed, attempt_id="b")]
    assert store.commit(record())
    assert missing(store, [UNIT]) == []


def test_of_many_threads_exactly_one_wins(store):
    barrier = threading.Barrier(16)

    def attempt(number: int) -> tuple[bool, int]:
        item = record(attempt_id=str(number))
        barrier.wait()
        return store.commit(item), number

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(attempt, range(16)))
    [winner] = [str(number) for won, number in outcomes if won]
    assert store.record(UNIT.id).provenance.attempt_id == winner
    assert names(store) == [RECORD]


def commit_many(root: Path, process: int) -> list[int]:
    """Which of twenty units this process was the first to record."""
    store = Store(root)
    return [seed for seed in range(20) if store.commit(record(unit((0, COLD), seed=seed), attempt_id=str(process)))]


def test_of_several_processes_exactly_one_wins(tmp_path):
    store = Store(tmp_path)
    with get_context("forkserver").Pool(3) as pool:
        won = pool.starmap(commit_many, [(store.root, process) for process in range(3)])
    assert sorted(seed for seeds in won for seed in seeds) == list(range(20))
    assert len(store.recorded_units()) == 20


def test_missing_is_wanted_minus_recorded(store):
    assert missing(store, [UNIT]) == [UNIT]
    store.commit(record())
    assert missing(store, [UNIT]) == []
    assert missing(store, [unit((2, COLD))]) == []
    assert missing(store, [unit((2, HOT), (0, COLD), (2, COLD), (5, COLD))]) == [unit((2, HOT), (5, COLD))]
    other = unit((0, COLD), seed=1)
    assert missing(store, [UNIT, other]) == [other]


def test_missing_adds_up_several_records_of_a_trial(store):
    store.commit(record(unit((0, COLD))))
    store.commit(record(unit((2, HOT))))
    assert missing(store, [unit((0, COLD), (2, HOT))]) == []
    assert missing(store, [unit((0, COLD), (2, HOT), (2, COLD))]) == [unit((2, COLD))]


def test_a_diverged_trial_has_no_later_measurements_to_make(store):
    """It diverged in step 3: what can still be measured are steps 0 to 2."""
    diverged = unit((0, COLD), (5, COLD))
    store.commit(record(diverged, Status.diverged, steps=3))
    assert missing(store, [diverged]) == []
    assert missing(store, [unit((5, COLD), (10, COLD))]) == []
    assert missing(store, [unit((2, COLD), (3, COLD), (0, HOT))]) == [unit((2, COLD), (0, HOT))]


def test_what_is_missing_of_a_recorded_trial_is_replayed_from_its_longest_record(store):
    short, long = unit((2, COLD)), unit((5, COLD))
    store.commit(record(short))
    store.commit(record(long, steps=5))
    wanted = unit((2, COLD), (5, COLD), (5, HOT), (9, COLD))
    [left] = missing_units([wanted], store.records()[0])
    assert left == Unit(UNIT.trial, unit((5, HOT), (9, COLD)).measurements, source=long.id, whole=wanted.measurements)


@pytest.mark.parametrize("content", [b"", b"no parquet", None], ids=["empty", "garbage", "truncated"])
def test_a_damaged_record_is_named_set_aside_and_made_again(store, content):
    store.commit(record())
    store.commit(record(unit((0, HOT))))
    whole = store.files.read(RECORD)
    broken = whole[: len(whole) // 2] if content is None else content
    store.files.replace(RECORD, broken)
    with pytest.raises(DamagedError, match=rf"{RECORD}: damaged \(.*\); move it away, and the next launch"):
        store.record(UNIT.id)
    records, damaged = store.records()
    assert (records["unit_id"].to_list(), damaged) == ([unit((0, HOT)).id], [UNIT.id])
    assert [left.measurements for left in missing_units([UNIT], records)] == [UNIT.measurements]
    store.set_aside([*damaged, unit((0, HOT)).id, "another launch was first"])
    assert [store.files.read(f"damaged/{name}") for name in store.files.list("damaged")] == [broken]
    assert store.recorded_units() == {unit((0, HOT)).id}
    assert store.commit(record())
    assert missing_units([UNIT], store.records()[0]) == []


def test_the_index_is_a_cache_that_readers_keep_small(store, monkeypatch):
    monkeypatch.setattr(index, "ROWS", 4)
    monkeypatch.setattr(index, "PARTS", 2)
    whole = [record(unit((0, COLD), seed=seed)) for seed in range(9)]
    for item in whole:  # four rows are written down, four, and one is not: its process was killed
        store.commit(item)
    assert len(store.files.list("index")) == 2
    opened = []
    read = store.files.read
    monkeypatch.setattr(store.files, "read", lambda name: opened.append(name) or read(name))
    expected = {item.unit_id: item.evaluations[0].accuracy for item in whole}
    for _ in range(2):
        records, damaged = Store(store.root, store.files).records()
        accuracies = {row["unit_id"]: row["evaluations"][0]["accuracy"] for row in records.iter_rows(named=True)}
        assert (accuracies, damaged) == (expected, [])
    assert sum(name.startswith("records/") for name in opened) == 2  # only what no index holds
    store.flush()
    store.records()
    assert len(store.files.list("index")) == 1
    store.files.remove(f"records/{whole[0].unit_id}.parquet")
    assert set(store.records()[0]["unit_id"]) == {item.unit_id for item in whole[1:]}
    assert store.records()[0].columns == list(index.SCHEMA)


def test_later_grades_count_and_the_record_stays(store):
    store.commit(record())
    for attempt_id, graded, accuracy in (("a", "2026-01-03", 1.0), ("a", "2026-01-02", 0.0), ("b", "2026-01-04", 0.75)):
        regrade = Regrade(
            unit_id=UNIT.id,
            attempt_id=attempt_id,
            step=2,
            evaluation_id=COLD.id,
            graded=graded,
            code_version="v",
            accuracy=accuracy,
            correct=[True, True],
            extracted=["4", "4"],
        )
        store.commit_grades([regrade])
    assert [result.accuracy for result in store.evaluations(UNIT.trial.id)] == [0.5, 1.0]
    assert [result.extracted for result in store.evaluations(UNIT.trial.id)] == [["4", None], ["4", "4"]]
    assert [result["accuracy"] for result in store.records()[0]["evaluations"][0]] == [0.5, 1.0]
    assert store.record(UNIT.id) == record()


def test_some_leaves_of_records_are_read_without_the_rest(store):
    store.commit(record())
    [row] = store.leaves(store.units_of([UNIT.trial.id]), ["trial_id", "evaluations.list.element.step"])
    assert row == {"trial_id": UNIT.trial.id, "evaluations": [{"step": 0}, {"step": 2}]}
    store.files.replace(RECORD, b"PAR1")
    with pytest.raises(DamagedError, match="damaged"):
        list(store.leaves([UNIT.id], ["trial_id"]))


def test_records_of_an_older_version_are_read():
    """They were written by version 1, which had no schema_version, log, measurements or provenance.replayed."""
    old = Store(Path(__file__).parents[1] / "golden" / "store-v1")
    records = [old.record(unit) for unit in sorted(old.recorded_units())]
    assert [(it.schema_version, it.log, it.measurements, it.provenance.replayed) for it in records] == [
        (None, None, [], None)
    ] * 2
    assert [it.evaluations[0].texts[0] for it in records] == ["#4", "#4"]
    records, damaged = old.records()
    assert (len(records), damaged) == (2, [])
    assert missing_units([UNIT], records) == []
    assert old.record(UNIT.id).provenance.attempt_id == "a"
    assert [attempt.error for attempt in old.failures()] == ["loss is nan, 'quoted'\nsecond line: é"]


def test_records_of_a_newer_version_are_read(store):
    store.commit(record())
    newer = pl.read_parquet(store.files.read(RECORD)).with_columns(
        pl.lit(9).alias("schema_version"),
        pl.lit("?").alias("invented"),
        pl.col("provenance").struct.with_fields(pl.lit(1).alias("novel")),
    )
    store.files.replace(RECORD, parquet(newer))
    assert store.record(UNIT.id) == dataclasses.replace(record(), schema_version=9)


def test_names_lie_in_the_store(store):
    store.commit(record())
    path = store.save_figure("temperature.pdf", b"%PDF")
    assert path.read_bytes() == store.files.read("figures/temperature.pdf") == b"%PDF"
    assert (store.is_recorded(UNIT.id), store.is_recorded("another")) == (True, False)
    assert names(store) == ["figures/temperature.pdf", RECORD]
