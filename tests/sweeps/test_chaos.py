"""Sweeps among accidents.  What is killed, and when, is drawn from a seed; `make chaos` is the longer form."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from em.store import Store
from sweeps.config import compose_launch
from sweeps.plan import plan
from tests.chaos import Chaos
from tests.processes import finished, started, wait_for

GOOD = "sweep.axes=[{field:rollout.temperature,values:[1,1.25,1.5,1.75,2]}]"  # cells without poison
TINY = ["sweep=temperature", "model.pretrain.steps=30", "tracking.progress=none"]


def start(
    store: Path, *words: str, trainer: str = "tests.poison:Trainer", log: Path | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.sweep", trainer, *TINY, f"store={store}", *words]
    return started(command, os.environ | {"CHAOS_LOG": str(log or os.devnull)})


def recorded(store: Path) -> int:
    return len(Store(store).recorded_units())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_every_good_trial_is_recorded_once_and_every_bad_one_with_its_attempts(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    said: list[str] = []
    bucket = request.getfixturevalue("bucket") if kind == "s3" else ""
    chaos = Chaos(tmp_path, seed=1, say=said.append, bucket=bucket)
    try:
        chaos.run(accidents=6)
        chaos.check()
    finally:
        chaos.close()
    assert len(said) == 7


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_poison_in_the_real_engine(tmp_path: Path) -> None:
    """Trials that exit, hang, raise, ask for the impossible and turn the weights to NaN, and one good one."""
    axes = "[{field:optimizer.lr,values:[1e-3,1e30]},{field:rollout.max_new_tokens,values:[24,100000]}]"
    words = [f"sweep.axes={axes}", "sweep.seeds=4", "sweep.figures=[]", "sweep.max_attempts=2", "eval.steps=[2]"]
    words += ["rollout=transformers", "cluster.lanes=1", "cluster.stall_seconds=60", "benchmarks.sum.limit=2"]
    output = finished(start(tmp_path, *words, trainer="tests.poison_engine:Trainer"), status=1)
    assert "11 trials failed too often and were given up" in output
    rows = pl.scan_parquet(tmp_path / "records" / "*.parquet").select("status", "error").collect().rows()
    assert Counter(status for status, _ in rows) == {"done": 2, "diverged": 4}  # the base model and seed 0
    assert all("the norm of the weights is not finite" in error or "is nan" in error for _, error in rows if error)
    failed = pl.scan_parquet(tmp_path / "failed" / "*.parquet").select("error", "attempt", "log").collect()
    ends = Counter(
        error.splitlines()[-1].partition(" while ")[0].partition(": the prompt")[0] for error in failed["error"]
    )
    assert ends == {
        "the worker exited with status 3": 2,
        "the worker made no progress for 60 s and was ended": 2,
        "ValueError: poison": 2,
        "InputError: max_new_tokens=100000": 8,
    }
    hung = failed.filter(pl.col("error").str.contains("no progress"))["log"][0]
    assert "Timeout (0:01:00)!" in hung
    assert "poison_engine.py" in hung


@pytest.mark.slow
def test_two_drivers_on_one_store_share_the_work(tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "starts"
    words = ["sweep.seeds=12", "sweep.figures=[]", "cluster.lanes=1"]
    drivers = [start(store, *words, GOOD, log=log) for _ in range(2)]
    for driver in drivers:
        finished(driver, status=0)
    starts = Counter(log.read_text().split())
    assert len(starts) == recorded(store) == 61
    assert starts.total() - len(starts) <= 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_and_costs_nothing(small_disk: Path) -> None:
    words = [GOOD, "sweep.seeds=8", "cluster.lanes=1", "cluster.outage_seconds=3", "sweep.figures=[]"]
    output = finished(start(small_disk, *words), status=2)
    assert "error: the store cannot be written: " in output
    assert "No space left on device" in output
    known = recorded(small_disk)
    assert 0 < known < 41
    assert Store(small_disk).failed_attempts() == {}
    remount(small_disk, "size=50m")
    finished(start(small_disk, *words), status=0)
    assert recorded(small_disk) == 41
    assert Store(small_disk).records()[1] == []


@pytest.mark.slow
def test_a_read_only_store_is_said_at_once_and_in_mid_sweep(small_disk: Path) -> None:
    remount(small_disk, "size=50m,ro")
    words = [GOOD, "sweep.seeds=40", "cluster.lanes=1", "cluster.outage_seconds=3", "sweep.figures=[]"]
    output = finished(start(small_disk, *words), status=2)
    assert output.splitlines()[-1] == f"error: store={small_disk}: cannot be written: Read-only file system"
    remount(small_disk, "rw")
    driver = start(small_disk, *words)
    wait_for(lambda: recorded(small_disk) > 4)
    remount(small_disk, "ro")
    assert "error: the store cannot be written: " in finished(driver, status=2)


def steer(store: Path, action: str, *words: str) -> str:
    command = [sys.executable, "-m", "sweeps.steer", action, *TINY, f"store={store}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def posted(store: Path) -> dict[str, Any]:
    """What the store's only launch last said of itself."""
    return json.loads(next((store / "launches").glob("*/status.json")).read_text())


@pytest.mark.slow
def test_a_running_sweep_is_paused_resumed_given_more_and_stopped(tmp_path: Path) -> None:
    few = [GOOD, "sweep.seeds=400", "cluster.lanes=1", "sweep.figures=[]"]
    driver = start(tmp_path, *few)
    wait_for(lambda: recorded(tmp_path) > 2)
    assert "paused: lanes finish the trials they are in and wait" in steer(tmp_path, "pause")
    wait_for(lambda: posted(tmp_path)["snapshot"]["paused"] and not posted(tmp_path)["snapshot"]["running"])
    known = recorded(tmp_path)
    time.sleep(1.0)
    assert recorded(tmp_path) == known < 1000
    more = ["sweep.axes=[{field:rollout.temperature,values:[0.6]}]", "sweep.seeds=2", "sweep.figures=[]"]
    assert "2 units of work added, 0 were planned already, 1 are recorded" in steer(tmp_path, "first", *more)
    assert "resumed" in steer(tmp_path, "resume")
    wait_for(lambda: recorded(tmp_path) > known + 4)
    trials = pl.read_parquet(tmp_path / "records" / "*.parquet")["trial"]
    temperatures = trials.str.contains('"temperature": 0.6')
    assert temperatures.sum() == 2
    said = steer(tmp_path, "add", GOOD, "sweep.seeds=401", "sweep.figures=[]")
    assert said.startswith("temperature-")
    assert ": 5 units of work added" in said
    assert "stopping: lanes finish" in steer(tmp_path, "stop")
    assert finished(driver, status=2).splitlines()[-1] == "error: asked to stop; the same command goes on"
    status = posted(tmp_path)
    assert (status["over"], status["snapshot"]["planned"]) == (True, 2001 + 2 + 5)
    config = compose_launch([*TINY, f"store={tmp_path}", *few])
    assert plan(config, Store(tmp_path)).recorded == recorded(tmp_path) - 2


def test_nobody_answers_where_no_launch_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps.steer", "pause", *TINY, f"store={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    reason = (
        f"sweep=temperature: no launch of it is running on store={tmp_path}; start one with `make sweep-temperature`"
    )
    assert done.stderr == f"error: {reason}\n"
