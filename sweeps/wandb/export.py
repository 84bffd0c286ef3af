"""Writes planned runs through wandb, offline, one after another in this process.

Of what `wandb.init` does by itself (125 ms a run, most of it probing the machine) only what a run needs is left: some
20 ms.  Nothing here waits for a network: a run is a folder, and `sweeps.wandb.sync` sends folders.
"""

import dataclasses
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb

from em.errors import InputError, require
from sweeps.wandb.folder import Folder, generation_of, run_of
from sweeps.wandb.runs import CURRENT, SUPERSEDED, Run
from sweeps.wandb.transaction_log import is_whole

SETTINGS: dict[str, Any] = {
    "mode": "offline",
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
WHOLE_SECONDS = 5.0


@contextmanager
def session(folder: Folder) -> Iterator[None]:
    """wandb, with what it stages beside the runs; its service process ends with the context."""
    logging.raiseExceptions = False  # wandb's own log cannot be written either when the disk is full: it is said once
    os.environ["WANDB_DATA_DIR"] = str(folder.staging.resolve())
    try:
        yield
    finally:
        wandb.teardown()


def export(runs: Iterable[Run], folder: Folder, limit: int) -> int:
    """Write the runs, and mark what they supersede; how many there were.

    Raises InputError where a project is full (`limit` runs) or a run cannot be written whole.
    """
    written, room = 0, {project: limit - len(folder.runs(project)) for project in folder.projects()}
    for run in runs:
        room[run.project] = room.get(run.project, limit) - 1
        full = f"it holds {limit} runs, more than W&B advises: name another with tracking.project"
        require(room[run.project] >= 0, "project", run.project, full)
        save(run, folder, CURRENT)
        written += 1
    for run in superseded(folder):
        save(run, folder, SUPERSEDED)
    return written


def superseded(folder: Folder) -> Iterator[Run]:
    """The runs of which there is a newer version, marked so: W&B replaces a run that is sent again."""
    versions: dict[str, list[Path]] = {}
    for run_id, path in folder.runs().items():
        versions.setdefault(run_id.partition("-")[0], []).append(path)
    for paths in versions.values():
        if len(paths) > 1:
            runs = {path: run_of(path) for path in paths}
            newest = max(run.version for run in runs.values())
            for path, run in runs.items():
                if run.version < newest and generation_of(path) == CURRENT:
                    tags = [SUPERSEDED if tag == CURRENT else tag for tag in run.tags]
                    yield dataclasses.replace(run, tags=tags)


def save(run: Run, folder: Folder, generation: str) -> None:
    """Write a run unless it is written so already; raises InputError where it cannot be written whole."""
    if folder.place(run, generation).exists():
        return
    try:
        write(run, folder, generation)
    except (OSError, wandb.Error) as error:
        raise InputError(f"{folder.root}: W&B run {run.id} cannot be written: {error}") from None


def write(run: Run, folder: Folder, generation: str) -> None:
    """Write one run and take it into the folder, once it has been found whole."""
    started = wandb.init(
        project=run.project,
        id=run.id,
        name=run.name,
        group=run.group,
        job_type=run.job_type,
        tags=run.tags,
        config=run.config,
        dir=folder.writing,
        reinit="finish_previous",
        settings=wandb.Settings(**SETTINGS),
    )
    if run.step_metric:
        started.define_metric("*", step_metric=run.step_metric)
    media: dict[str, Any] = {name: wandb.Image(path) for name, path in run.images.items()}
    for name, table in run.tables.items():
        rows: list[Any] = table.rows
        media[name] = wandb.Table(columns=list(table.columns), data=rows)
    history = run.history or [{"_step": 0}]
    for row in history[:-1]:
        started.log(without_step(row), step=row["_step"])
    started.log(without_step(history[-1]) | media, step=history[-1]["_step"])
    started.summary.update(run.summary)
    written = Path(started.settings.sync_dir)
    started.finish(exit_code=run.exit_code)
    await_whole(written / f"run-{run.id}.wandb", len(history))
    for name in ("logs", "tmp"):
        shutil.rmtree(written / name, ignore_errors=True)
    folder.commit(written, run, generation)


def await_whole(path: Path, rows: int) -> None:
    """wandb's service may still be writing when `finish` returns; raises OSError where the end does not come."""
    deadline = time.monotonic() + WHOLE_SECONDS
    while not is_whole(path, rows):
        if time.monotonic() > deadline:
            raise OSError("it stays cut short: is the disk full?")
        time.sleep(0.001)


def without_step(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_step"}
