"""A worker by its pipe: what it answers, and how it waits for a device that another one has."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from em.model.checkpoint import cache_folder
from em.store import Store
from em.store.record import Status
from em.trial.model import Model
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.lane import Process
from sweeps.protocol import Doing, Result, Setup
from tests.model.hub import COMMIT, serving


def units() -> list[Unit]:
    return expand.units(compose_launch(["sweep=smoke"]))


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CHAOS_LOG", str(tmp_path / "starts"))
    return Setup(
        store=str(tmp_path / "store"),
        lane="5",
        log=str(tmp_path / "log"),
        trainer="tests.poison:Trainer",
        lease_seconds=60,
        outage_seconds=60,
        stall_seconds=60,
        gpus=0.0,
    )


def answers(process: Process, unit: Unit) -> tuple[list[str], Result]:
    """What the worker says while it is at the unit, and how that ended."""
    process.connection.send((unit, 2))
    said = []
    while isinstance(message := process.connection.recv(), Doing):
        said.append(message.doing)
    return said, message


def test_a_worker_says_what_it_does_and_commits(setup: Setup) -> None:
    unit, store = units()[1], Store(setup.store)
    process = Process.start(setup, "model")
    said, outcome = answers(process, unit)
    name = f"tiny-0 {unit.trial.id}"
    assert said == [f"starting {name}", "loading tiny-0 and engine", f"{name}  step 0/10", f"{name}  step 0/10"]
    assert (outcome.status, outcome.final, outcome.error) == (Status.done, False, "")
    assert outcome.seconds > 0.04
    assert outcome.memory > 50e6
    made = store.record(unit.id)
    assert (made.attempt, made.provenance.lane, made.provenance.pid) == (2, "5", process.popen.pid)
    assert store.files.list("claims") == []
    said, outcome = answers(process, unit)
    assert (said, outcome.status) == ([f"starting {name}"], Status.done)  # it is recorded
    process.close()
    assert (process.popen.returncode, len(store.records()[0])) == (0, 1)
    assert len(store.files.list("index")) == 1


def test_a_model_that_this_node_does_not_have_may_be_had_elsewhere(setup: Setup, checkpoint, tmp_path: Path) -> None:
    unit = units()[1]
    unit = replace(unit, trial=replace(unit.trial, model=Model(path="owner/model", revision="v2")))
    process = Process.start(replace(setup, models=str(tmp_path / "models")), "model")
    _, outcome = answers(process, unit)
    assert (outcome.status, outcome.final) == (Status.failed, False)
    assert outcome.error.startswith(f"UnavailableError: cluster.models={tmp_path / 'models'}: no such folder on this")
    process.close()
    shutil.copytree(checkpoint(tied=True), tmp_path / "models" / "owner" / "model@v2")
    process = Process.start(replace(setup, models=str(tmp_path / "models")), "model")
    assert answers(process, unit)[1].status is Status.done
    process.close()
    assert Store(setup.store).record(unit.id).provenance.model_commit is None  # the hub was not asked


def test_a_record_says_which_commit_of_the_hub_was_read(setup: Setup, checkpoint, tmp_path: Path, monkeypatch) -> None:
    unit = units()[1]
    unit = replace(unit, trial=replace(unit.trial, model=Model(path="owner/model")))
    with serving(tmp_path) as hub:
        for name, value in hub.environment.items():
            monkeypatch.setenv(name, value)
        shutil.copytree(checkpoint(tied=True), hub.root / "owner" / "model")
        process = Process.start(setup, "model")
        said, outcome = answers(process, unit)
        process.close()
    assert outcome.status is Status.done
    assert said[:3] == [f"starting model {unit.trial.id}", "downloading model", "loading model and engine"]
    assert Store(setup.store).record(unit.id).provenance.model_commit == COMMIT


def test_what_another_launch_is_at_is_left_to_it(setup: Setup) -> None:
    unit = units()[1]
    assert Store(setup.store).claim(unit.id, "other", 60)
    process = Process.start(setup, "model")
    assert answers(process, unit)[1].status is None
    process.close()
    assert Store(setup.store).recorded_units() == set()


def test_a_worker_whose_lane_dies_finishes_its_unit(setup: Setup) -> None:
    unit, store = units()[1], Store(setup.store)
    process = Process.start(setup, "model")
    process.connection.send((unit, 1))
    process.connection.close()
    assert process.popen.wait(30) == 0
    assert store.recorded_units() == {unit.id}


def test_a_worker_waits_until_an_orphan_has_left_its_gpu(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True)
    node = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
    with FileLock(folder / f"{node}-gpu-3"):
        process, leaver = (Process.start(setup, "model") for _ in range(2))
        for each in (process, leaver):
            each.connection.send((units()[1], 1))
            assert each.connection.recv().doing.startswith("starting ")
            assert each.connection.recv() == Doing("waiting for GPU 3, at which another worker still is")
        leaver.connection.close()
        assert leaver.popen.wait(30) == 0  # its lane is gone, and it had not begun
        assert Store(setup.store).recorded_units() == set()
    while isinstance(message := process.connection.recv(), Doing):
        pass
    assert message.status is Status.done
    process.close()
