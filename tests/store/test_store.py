"""The record store: what comes back is what went in, the first record stays, a crash leaves nothing half written."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest

from em.errors import InputError
from em.store import Store, index
from em.store.missing import missing_units
from em.store.record import EvaluationResult, Provenance, Record, Status, StepMetrics, StepSeconds, WeightDigest
from em.store.schema import read, schema_of
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


def files(store: Store) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def missing(store: Store, wanted: list[Unit]) -> list[Unit]:
    """What is missing, without what it would be replayed from."""
    return [Unit(left.trial, left.measurements) for left in missing_units(wanted, store.table()[0])]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.mark.parametrize("status", [Status.done, Status.diverged])
def test_a_record_comes_back_as_it_went_in(store, status):
    written = record(status=status)
    assert store.commit(written)
    [row] = store.scan().collect().to_dicts()
    assert row == dataclasses.asdict(written)
    assert list(store.scan().collect_schema()) == [field.name for field in dataclasses.fields(Record)]


def test_records_without_steps_and_with_steps_are_one_table(store):
    base = Unit(UNIT.trial.base, (Measurement(0, COLD),))
    written = [record(), record(base, steps=0)]
    written[1].prompts, written[1].rollouts, written[1].seconds = [], [], []
    for item in written:
        store.commit(item)
    found = sorted(store.scan().collect().to_dicts(), key=lambda row: row["trial_id"])
    assert found == sorted(map(dataclasses.asdict, written), key=lambda row: row["trial_id"])


def test_an_empty_store_is_an_empty_table(store):
    assert store.scan().collect().shape == (0, len(dataclasses.fields(Record)))
    assert store.scan().collect_schema() == pl.Schema(schema_of(Record))
    assert store.recorded_units() == set()
    assert store.failed_attempts() == {}
    assert files(store) == []


def test_the_first_record_stays(store):
    assert store.commit(record(attempt_id="first"))
    path = store.record_path(UNIT.id)
    before = path.read_bytes()
    assert not store.commit(record(attempt_id="second", loss=9.0))
    assert path.read_bytes() == before
    assert files(store) == [f"records/{UNIT.id}.parquet"]


def test_failed_attempts_are_all_kept_beside(store):
    for attempt_id in ("a", "b"):
        assert store.commit(record(status=Status.failed, attempt_id=attempt_id))
    assert store.commit(record(status=Status.failed, attempt_id="a", of=unit((1, HOT))))
    assert store.recorded_units() == set()
    assert store.failed_attempts() == {UNIT.id: 2, unit((1, HOT)).id: 1}
    assert missing(store, [UNIT]) == [UNIT]
    attempts = store.scan_failed().collect().to_dicts()
    assert sorted(row["provenance"]["attempt_id"] for row in attempts) == ["a", "a", "b"]
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
    [row] = store.scan().collect().to_dicts()
    assert row["provenance"]["attempt_id"] == winner
    assert files(store) == [f"records/{UNIT.id}.parquet"]


def commit_many(root: Path, process: int) -> list[int]:
    """Which of twenty units this process was the first to record."""
    store = Store(root)
    return [seed for seed in range(20) if store.commit(record(unit((0, COLD), seed=seed), attempt_id=str(process)))]


def test_of_several_processes_exactly_one_wins(store):
    with get_context("forkserver").Pool(3) as pool:
        won = pool.starmap(commit_many, [(store.root, process) for process in range(3)])
    assert sorted(seed for seeds in won for seed in seeds) == list(range(20))
    assert len(files(store)) == 20


@pytest.mark.parametrize("failing", ["write", "link"])
def test_a_crash_in_mid_commit_leaves_nothing(store, monkeypatch, failing):
    def half_written(path: Path, _: bytes) -> None:
        with path.open("wb") as file:
            file.write(b"PAR1 and then the power went")
        raise OSError("power")

    if failing == "write":
        monkeypatch.setattr(Path, "write_bytes", half_written)
    else:
        monkeypatch.setattr("os.link", lambda source, target: (_ for _ in ()).throw(OSError("power")))
    with pytest.raises(OSError, match="power"):
        store.commit(record())
    assert files(store) == []
    assert store.recorded_units() == set()
    monkeypatch.undo()
    assert store.commit(record())


def test_what_a_killed_writer_left_is_not_taken_for_a_record(store):
    """`kill -9` runs no `finally`: a temporary file stays, and disturbs nobody."""
    store.records.mkdir(parents=True)
    (store.records / ".0123.tmp").write_bytes(b"PAR1")
    assert store.recorded_units() == set()
    assert store.scan().collect().is_empty()
    assert missing(store, [UNIT]) == [UNIT]
    assert store.commit(record())
    assert store.scan().collect().height == 1


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
    [left] = missing_units([wanted], store.table()[0])
    assert left == Unit(UNIT.trial, unit((5, HOT), (9, COLD)).measurements, source=long.id, whole=wanted.measurements)


@pytest.mark.parametrize("content", [b"", b"no parquet", None], ids=["empty", "garbage", "truncated"])
def test_a_damaged_record_is_named_set_aside_and_made_again(store, content):
    store.commit(record())
    store.commit(record(unit((0, HOT))))
    path = store.record_path(UNIT.id)
    whole = path.read_bytes()
    broken = whole[: len(whole) // 2] if content is None else content
    path.write_bytes(broken)
    with pytest.raises(InputError, match=rf"{path.name}: damaged \(.*\); move it away, and the next launch"):
        store.record(UNIT.id)
    table, damaged = store.table()
    assert (table["unit_id"].to_list(), damaged) == ([unit((0, HOT)).id], [path])
    assert [left.measurements for left in missing_units([UNIT], table)] == [UNIT.measurements]
    store.set_aside(damaged)
    assert [kept.read_bytes() for kept in store.damaged.iterdir()] == [broken]
    assert store.commit(record())
    assert missing_units([UNIT], store.table()[0]) == []


def test_the_index_is_a_cache_that_readers_keep_small(store, monkeypatch):
    monkeypatch.setattr(index, "ROWS", 4)
    monkeypatch.setattr(index, "PARTS", 2)
    whole = [record(unit((0, COLD), seed=seed)) for seed in range(9)]
    for item in whole:  # four rows are written down, four, and one is not: its process was killed
        store.commit(item)
    assert len(list(store.index.iterdir())) == 2
    opened = []
    monkeypatch.setattr(index, "read", lambda path, schema: opened.append(path) or read(path, schema))
    expected = {item.unit_id: item.evaluations[0].accuracy for item in whole}
    for _ in range(2):
        table, damaged = Store(store.root).table()
        found = {row["unit_id"]: row["evaluations"][0]["accuracy"] for row in table.iter_rows(named=True)}
        assert (found, damaged) == (expected, [])
    assert [path.parent.name for path in opened].count("records") == 2  # only what no index holds
    store.flush()
    store.table()
    assert len(list(store.index.iterdir())) == 1
    store.record_path(whole[0].unit_id).unlink()
    assert set(store.table()[0]["unit_id"]) == {item.unit_id for item in whole[1:]}
    assert store.table()[0].columns == list(index.SCHEMA)


def test_records_of_an_older_version_are_read():
    """They were written by version 1, which had no schema_version, log, measurements or provenance.replayed."""
    old = Store(Path(__file__).parents[1] / "golden" / "store-v1")
    rows = old.scan().collect().sort("unit_id").to_dicts()
    assert [(row["schema_version"], row["log"], row["provenance"]["replayed"]) for row in rows] == [(None,) * 3] * 2
    assert [row["evaluations"][0]["texts"][0] for row in rows] == ["#4", "#4"]
    table, damaged = old.table()
    assert (len(table), damaged) == (2, [])
    assert missing_units([UNIT], table) == []
    assert old.record(UNIT.id)["provenance"]["attempt_id"] == "a"
    assert old.scan_failed().collect()["error"].to_list() == ["loss is nan, 'quoted'\nsecond line: é"]


def test_records_of_a_newer_version_are_read(store):
    store.commit(record())
    path = store.record_path(UNIT.id)
    newer = pl.read_parquet(path).with_columns(
        pl.lit(9).alias("schema_version"),
        pl.lit("?").alias("invented"),
        pl.col("provenance").struct.with_fields(pl.lit(1).alias("novel")),
    )
    newer.write_parquet(path)
    row = Store(store.root).record(UNIT.id)
    assert row == dataclasses.asdict(record()) | {"schema_version": 9}


def test_paths_lie_in_the_store(store):
    assert store.figure_path("temperature", "pdf") == store.root / "figures" / "temperature.pdf"
    assert store.record_path(UNIT.id) == store.root / "records" / f"{UNIT.id}.parquet"
