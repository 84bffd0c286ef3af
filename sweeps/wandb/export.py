"""Writes planned runs through wandb, offline, one after another in this process.

Of what `wandb.init` does by itself (125 ms a run, most of it probing the machine) only what a run needs is left: some
20 ms.  Nothing here waits for a network: a run is a folder, and `sweeps.wandb.sync` sends folders.
"""

import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import wandb

from em.errors import InputError
from sweeps.wandb.folder import Folder, generation_of, run_of
from sweeps.wandb.runs import CURRENT, SUPERSEDED, Run, key_in, planned
from sweeps.wandb.transaction_log import is_whole
from sweeps.wandb.view import View

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


def export(view: View, folder: Folder) -> int:
    """Write the runs that are not written yet, each to the first project with room, and tag which versions are current.

    Says how many it wrote; raises InputError where one cannot be written whole.
    """
    written, limit = folder.runs(), view.config.tracking.runs_per_project
    sizes, before = Counter(path.parent.name for path in written.values()), len(written)
    for run in planned(view, written):
        project = next(name for name in folder.names() if sizes[name] < limit)
        save(replace(run, project=project), folder)
        sizes[project] += 1
    keys = set(map(key_in, view.done))
    for run_id, path in folder.runs().items():
        tag = CURRENT if run_id in view.done else SUPERSEDED
        if key_in(run_id) in keys and generation_of(path) != tag:
            run = run_of(path)
            save(replace(run, generation=tag, tags=[tag, *run.tags[1:]]), folder)
    return sizes.total() - before


def save(run: Run, folder: Folder) -> None:
    """Write a run unless it is written so already; raises InputError where it cannot be written whole."""
    try:
        if not folder.place(run).exists():
            write(run, folder)
    except (OSError, wandb.Error) as error:
        raise InputError(f"{folder.root}: W&B run {run.id} cannot be written: {error}") from None


def write(run: Run, folder: Folder) -> None:
    """Write one run and take it into the folder, once it is whole."""
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
    images = {name: wandb.Image(path) for name, path in run.images.items()}
    tables = {name: wandb.Table(columns=[*of["columns"]], data=[*of["rows"]]) for name, of in run.tables.items()}
    *rows, last = run.history or [{"_step": 0}]
    for row in [*rows, last | images | tables]:
        started.log(row, step=row["_step"])
    started.summary.update(run.summary)
    written = Path(started.settings.sync_dir)
    started.finish(exit_code=run.exit_code)
    await_whole(written / f"run-{run.id}.wandb", len(rows) + 1)
    for name in ("logs", "tmp"):
        shutil.rmtree(written / name, ignore_errors=True)
    folder.commit(written, run)


def await_whole(path: Path, rows: int) -> None:
    """wandb's service may still be writing when `finish` returns; raises OSError where the end does not come."""
    deadline = time.monotonic() + WHOLE_SECONDS
    while not is_whole(path, rows):
        if time.monotonic() > deadline:
            raise OSError("it stays cut short: is the disk full?")
        time.sleep(0.001)
