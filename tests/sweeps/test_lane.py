"""A lane between two models: the next one's worker starts while the last grades of the old one's unit still come."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from em.store import Store
from em.store.provenance import provenance
from em.store.record import Record, Status
from em.trial.unit import Unit
from sweeps import expand, lane
from sweeps.board import Board
from sweeps.config import compose_launch
from sweeps.lane import Lane
from sweeps.protocol import Setup
from sweeps.queue import Queue
from tests.processes import wait_for


class Local:
    """A queue as a lane calls it, without Ray; `calls` are the verbs it has heard."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.calls = queue, list[str]()

    def __getattr__(self, verb: str) -> SimpleNamespace:
        self.calls.append(verb)
        return SimpleNamespace(remote=getattr(self.queue, verb))


def units_of(model: int) -> list[Unit]:
    """The base model and one trial."""
    words = ["sweep=smoke", f"model.pretrain.seed={model}", "rollout.temperature=1", "sweep.seeds=1"]
    return expand.units(compose_launch([*words, "sweep.axes=[]", "sweep.figures=[]"]))


class Running:
    """A lane at these units; its worker's trials wait for `grade`."""

    def __init__(self, setup: Setup, units: list[Unit]) -> None:
        lane.ray = SimpleNamespace(get=lambda answer: answer)  # type: ignore[assignment]  # the fixture puts it back
        self.folder, self.store = Path(os.environ["LATE_GRADES"]), Store(setup.store)
        Board(self.store, "smoke", [])
        self.queue = Queue(units, max_attempts=3)
        self.local, self.lane = Local(self.queue), Lane.__new__(Lane)
        self.lane.setup({"lane": 0}, queue=self.local, worker=setup)
        self.thread = Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        while not self.lane.step().get("done"):
            pass
        self.lane.cleanup()

    def at(self, unit: Unit) -> int:
        """The process that waits for the unit's grades, once there is one."""
        wait_for((self.folder / f"{unit.id}.pid").exists, 60)
        return int((self.folder / f"{unit.id}.pid").read_text())

    def grade(self, *models: int) -> None:
        for model in models:
            (self.folder / f"tiny-{model}.graded").touch()

    def end(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()

    def attempts(self) -> dict[str, int]:
        """By recorded unit, the attempt that led to its record."""
        return {unit: self.store.record(unit).attempt for unit in self.store.recorded_units()}


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    for name, folder in (("XDG_CACHE_HOME", "cache"), ("LATE_GRADES", "grades"), ("TMPDIR", "logs")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(lane.tempfile, "tempdir", None)
    monkeypatch.setattr(lane, "ray", lane.ray)  # put back after the test
    return Setup(
        store=str(tmp_path / "store"),
        lane="",
        log="",
        trainer="tests.late_grades:Trainer",
        lease_seconds=60,
        outage_seconds=60,
        stall_seconds=60,
        gpus=1.0,
    )


@pytest.fixture
def run(setup: Setup) -> Iterator[Callable[..., Running]]:
    begun: list[Running] = []

    def begin(*units: Unit, gpus: float = 1.0) -> Running:
        begun.append(Running(replace(setup, gpus=gpus), [*units]))
        return begun[-1]

    yield begin
    for running in begun:
        running.queue.stop("the test is over", drop=True)
        running.end()


def test_the_next_models_worker_starts_while_grades_still_come(run: Callable[..., Running], tmp_path: Path) -> None:
    first, second = units_of(0)[0], units_of(1)[0]
    running = run(first, second)
    pids = [running.at(first), running.at(second)]
    assert running.store.recorded_units() == set()
    assert list(running.queue.leases["0"]) == [first.id, second.id]
    running.grade(0)
    wait_for(lambda: running.queue.snapshot().done == 1)  # the queue hears it while the lane is at the second
    running.grade(1)
    running.end()
    assert [running.store.record(unit.id).provenance.pid for unit in (first, second)] == pids
    assert running.attempts() == {first.id: 1, second.id: 1}
    now = running.queue.snapshot()
    assert (now.done, now.failed, now.lost, now.lanes["0"].engines) == (2, 0, 0, 2)
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_unit_of_the_same_model_is_done_by_the_same_worker(run: Callable[..., Running]) -> None:
    units = units_of(0)
    running = run(*units)
    pid = running.at(units[0])
    wait_for(lambda: "look_ahead" in running.local.calls)
    running.grade(0)
    running.end()
    assert {running.store.record(unit.id).provenance.pid for unit in units} == {pid}
    assert running.queue.snapshot().lanes["0"].engines == 1


@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_that_is_killed_costs_its_own_unit_an_attempt(run: Callable[..., Running], killed: int) -> None:
    units = units_of(0)[0], units_of(1)[0]
    running = run(*units)
    pids = [running.at(unit) for unit in units]
    os.kill(pids[killed], signal.SIGKILL)
    running.grade(0, 1)
    running.end()
    [failure] = running.store.failures()
    assert (failure.unit_id, failure.attempt) == (units[killed].id, 1)
    assert failure.error == f"the worker was killed by SIGKILL while tiny-{killed} base  waits for grades"
    assert running.attempts() == {units[killed].id: 2, units[1 - killed].id: 1}
    assert running.store.record(units[1 - killed].id).provenance.pid == pids[1 - killed]


def test_a_drop_ends_both(run: Callable[..., Running]) -> None:
    units = units_of(0)[0], units_of(1)[0]
    running = run(*units)
    pids = [running.at(unit) for unit in units]
    running.queue.stop("asked to", drop=True)
    running.end()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (running.attempts(), running.store.failures()) == ({}, [])


def test_an_attempt_that_the_worker_recorded_before_it_fell_is_no_second_one(setup: Setup) -> None:
    """It had not said so yet: a store may be slow to give its claim back."""
    store, [unit, _] = Store(setup.store), units_of(0)
    made, of = Lane.__new__(Lane), SimpleNamespace(pid=12345)
    made.store, made.name, made.worker, made.ended = store, "0", setup, []
    made.process = SimpleNamespace(popen=of, setup=setup)  # type: ignore[assignment]
    by_worker = replace(provenance(lane="0", device="none", started=datetime.now(UTC)), pid=of.pid)
    store.commit(Record.of(unit, by_worker, 2, status=Status.failed, error="RuntimeError: CUDA error: ECC"))
    outcome = made.record(unit, 2, "the worker was killed by SIGKILL while step 3/10")
    assert (outcome.error, outcome.on_device) == ("RuntimeError: CUDA error: ECC", True)
    assert store.failed_attempts()[unit.id] == 1
    assert made.record(unit, 3, "the worker was killed").error == "the worker was killed"
    assert store.failed_attempts()[unit.id] == 2


def test_a_stop_lets_both_finish(run: Callable[..., Running]) -> None:
    units = [units_of(model)[0] for model in range(3)]
    running = run(*units)
    running.at(units[0])
    running.at(units[1])
    running.queue.stop("asked to")
    running.grade(0, 1, 2)
    running.end()
    assert running.attempts() == {units[0].id: 1, units[1].id: 1}


def test_both_outlive_their_lane(setup: Setup) -> None:
    units = units_of(0)[0], units_of(1)[0]
    process = get_context("spawn").Process(target=hold, args=(setup, [*units]), daemon=True)
    process.start()
    folder, store = Path(os.environ["LATE_GRADES"]), Store(setup.store)
    for unit in units:
        wait_for((folder / f"{unit.id}.pid").exists, 60)
    process.kill()
    process.join()
    for model in range(2):
        (folder / f"tiny-{model}.graded").touch()
    wait_for(lambda: store.recorded_units() == {unit.id for unit in units}, 60)


def hold(setup: Setup, units: list[Unit]) -> None:
    Running(setup, units).thread.join()


def test_on_a_gpu_the_new_worker_waits_until_the_old_one_has_left(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    first, second = units_of(0)[0], units_of(1)[0]
    running = run(first, second)
    running.at(first)
    wait_for(lambda: running.lane.ahead is not None and "waiting for GPU 3" in str(running.lane.ahead.heard))
    running.grade(0)
    running.at(second)
    assert running.attempts() == {first.id: 1}
    assert not Path(f"/proc/{running.at(first)}").exists()
    running.grade(1)
    running.end()
    assert running.attempts() == {first.id: 1, second.id: 1}


def test_lanes_that_share_a_gpu_do_not_look_ahead(run: Callable[..., Running]) -> None:
    first, second = units_of(0)[0], units_of(1)[0]
    running = run(first, second, gpus=0.5)
    running.at(first)
    running.grade(0, 1)
    running.end()
    assert running.attempts() == {first.id: 1, second.id: 1}
    assert "look_ahead" not in running.local.calls
