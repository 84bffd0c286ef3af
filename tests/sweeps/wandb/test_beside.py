"""The exporter beside a launch: it follows to the end, and whatever becomes of it the sweep is as it would be."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from em.store import Store
from em.store.record import Status
from sweeps.board import Board
from sweeps.queue import Queue
from sweeps.wandb.folder import run_of
from sweeps.wandb.runs import planned
from tests.processes import end_all, finished, started, wait_for
from tests.sweeps.wandb.conftest import NO_KEY, SMALL, Filled, command, composed, fill, folder_of, units_of, viewed

SEEDS = 100


@pytest.fixture(autouse=True)
def nothing_left_running(store: Store):
    yield
    end_all()


def launch(store: Store, *words: str) -> str:
    """What a near-empty sweep says that is exported."""
    module = [sys.executable, "-m", "tests.sweep", "tests.near_empty:Trainer", *SMALL]
    given = [f"store={store.root}", f"sweep.seeds={SEEDS}", "model.pretrain.steps=30", "cluster.lanes=1"]
    tracking = ["tracking=wandb", "tracking.progress=plain", "tracking.export_seconds=0.5"]
    return finished(started([*module, *given, *tracking, *words], os.environ | NO_KEY))


def exporters(store: Store) -> list[int]:
    """The processes that export this store."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"sweeps.wandb" in words and f"store={store.root}".encode() in words:
            pids.append(int(folder.name))
    return pids


def cells_of(store: Store, project: str = "em-smoke") -> dict[str, int]:
    """Name and number of seeds of every cell that is exported."""
    runs = []
    for path in folder_of(store, project).runs().values():
        with suppress(FileNotFoundError):  # the exporter has just replaced it
            runs.append(run_of(path))
    return {run.name: run.config["seeds"] for run in runs if run.job_type == "cell"}


@pytest.mark.slow
def test_it_follows_a_launch_and_ends_after_it(store: Store) -> None:
    said = launch(store)
    log = store.root / "wandb" / "em-smoke.log"
    assert f"W&B exporter: {log}" in said
    wait_for(lambda: not exporters(store))
    assert "send them with `make wandb-sync SWEEP=smoke`" in log.read_text()
    words = [f"sweep.seeds={SEEDS}", "model.pretrain.steps=30"]
    plans = list(planned(viewed(composed(store, *words)), []))
    assert {run.id for run in plans} <= set(folder_of(store).runs())
    assert set(cells_of(store).values()) == {SEEDS}
    [monitor] = [run_of(path) for path in folder_of(store).runs().values() if run_of(path).job_type == "monitor"]
    assert monitor.history[-1]["done"] == 3 * SEEDS + 1
    assert [row["_step"] for row in monitor.history] == list(range(len(monitor.history)))


@pytest.mark.slow
def test_a_sweep_ends_as_ever_where_no_exporter_can_start_or_write(store: Store) -> None:
    store.root.mkdir(parents=True)
    (store.root / "wandb").write_text("in the way")
    said = launch(store, "sweep.seeds=4")
    assert "W&B exporter: not started" in said
    assert len(store.recorded_units()) == 13


@pytest.mark.slow
def test_it_follows_what_is_added_and_goes_on_after_a_kill(filled: Filled, store: Store) -> None:
    """A launch as the store shows it: a board, and records that come in."""
    words, tracking = [*SMALL, f"store={store.root}"], ["tracking.export_seconds=0.2", "tracking.project=paper"]
    board, queue = Board(store, "smoke", [*words, *tracking]), Queue([], 1)
    board.post(queue.snapshot().plain())
    filled()
    process = started(command(store, *tracking), os.environ | NO_KEY)
    wait_for(lambda: len(cells_of(store, "paper")) == 3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    silent_since = time.time() - 120
    os.utime(
        store.root / "launches" / board.folder / "status.json", (silent_since, silent_since)
    )  # Ray starts, or much is added
    process = started(command(store, *tracking), os.environ | NO_KEY)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("0 cell runs written")
    board.about["arguments"] = [*words, "sweep.seeds=4"]  # what was added says nothing of tracking
    board.posted = -10.0
    board.post(queue.snapshot().plain())
    filled("sweep.seeds=4")
    wait_for(lambda: len(cells_of(store, "paper")) == 6)
    queue.stop("asked to")
    board.post(queue.snapshot().plain(), over=True)
    finished(process)
    assert sorted(cells_of(store, "paper").values()) == [3, 3, 3, 4, 4, 4]
    runs = [run_of(path) for path in folder_of(store, "paper").runs().values()]
    [monitor] = [run for run in runs if run.job_type == "monitor"]
    assert monitor.summary == {"stopped": "asked to"}
    assert monitor.exit_code == 1


def test_a_damaged_record_is_said_and_the_exporter_goes_on(store: Store) -> None:
    words = [*SMALL, f"store={store.root}", "tracking.export_seconds=0.2"]
    board, queue = Board(store, "smoke", words), Queue([], 1)
    board.post(queue.snapshot().plain())
    base, first, *others = units_of(composed(store))
    fill(store, [first], Status.diverged)
    fill(store, [base, *others])
    path = store.root / "records" / f"{first.id}.parquet"
    whole = path.read_bytes()
    path.write_bytes(b"damaged")
    process = started(command(store, "tracking.export_seconds=0.2"), os.environ | NO_KEY)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("error: ")
    assert not cells_of(store)
    path.write_bytes(whole)
    wait_for(lambda: len(cells_of(store)) == 3)
    board.post(queue.snapshot().plain(), over=True)
    finished(process)
