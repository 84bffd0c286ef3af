"""Stores of near-empty trials with numbers of their own, and what the exporter makes of them."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from em.store import Store
from em.store.record import Record, Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.wandb import view
from sweeps.wandb.folder import Folder
from sweeps.wandb.transaction_log import records
from sweeps.wandb.view import View
from tests import trials
from tests.near_empty import Trainer
from tests.wandb_server import Server

SMALL = ["sweep=smoke", "sweep.seeds=3", "eval.steps=[1,2]", "sweep.figures=[]"]  # 3 cells, and a base model
NO_KEY = {"WANDB_API_KEY": "", "NETRC": "/dev/null", "WANDB_MODE": "offline"}


def record_of(unit: Unit, status: Status = Status.done) -> Record:
    """A record of a unit with random numbers that are its own; diverged ones end before they are measured."""
    made, rng = trials.run(Trainer(unit.trial.model, unit.trial.engine), unit), random.Random(unit.id)
    for step in made.steps:
        step.loss, step.entropy, step.grad_norm = rng.random(), rng.random(), rng.random()
    for result in made.evaluations:
        result.accuracy = rng.random()
    if status is not Status.done:
        made.status, made.evaluations = status, []
        made.error = "Traceback ...\nRuntimeError: out of luck" if status is Status.failed else "loss is nan at step 2"
    return made


def fill(store: Store, units: Sequence[Unit], status: Status = Status.done) -> None:
    for unit in units:
        assert store.commit(record_of(unit, status))
    store.flush()


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that need not outlive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path: Path, unsynced: None) -> Store:
    return Store(tmp_path / "results")


def composed(store: Store, *words: str) -> Launch:
    return compose_launch([*SMALL, f"store={store.root}", *words])


def units_of(config: Launch) -> list[Unit]:
    return config.units(expand.trials(config))


def viewed(config: Launch) -> View:
    return view.look(config, Store(config.store), view.cells(config), expand.units(config))


def command(store: Store, *words: str, action: str = "") -> list[str]:
    return [sys.executable, "-m", "sweeps.wandb", *([action] * bool(action)), *SMALL, f"store={store.root}", *words]


def run(
    store: Store, *words: str, action: str = "", status: int = 0, environment: Mapping[str, str] | None = None
) -> str:
    """What the command says, once it has ended with this status."""
    done = subprocess.run(
        command(store, *words, action=action),
        env=os.environ | NO_KEY | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    return said


def folder_of(store: Store, project: str = "em-smoke") -> Folder:
    return Folder(store, project)


def plain(items: Any) -> dict[str, Any]:
    """The items of a history, summary or config record as plain data."""
    tree: dict[str, Any] = {}
    for item in items:
        *path, name = item.nested_key or [item.key]
        level = tree
        for part in path:
            level = level.setdefault(part, {})
        level[name] = json.loads(item.value_json)
    return tree


def read_back(path: Path) -> dict[str, Any]:
    """History rows, summary, config and exit code of a run's file, by wandb's own records."""
    run: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "exit_code": None, "run": None}
    [file] = path.glob("*.wandb")
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            run["history"].append(plain(record.history.item))
        elif kind == "summary":
            run["summary"] |= plain(record.summary.update)
        elif kind == "run":
            run["run"], run["config"] = record.run, plain(record.run.config.update)
        elif kind == "exit":
            run["exit_code"] = record.exit.exit_code
    return run


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    started.start()
    yield started
    started.shutdown()
    started.server_close()


Filled = Callable[..., Store]


@pytest.fixture
def filled(store: Store) -> Filled:
    """The store, with all that the sweep of these words wants."""

    def filled(*words: str) -> Store:
        recorded = store.recorded_units()
        fill(store, [unit for unit in units_of(composed(store, *words)) if unit.id not in recorded])
        return store

    return filled
