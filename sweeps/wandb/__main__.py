"""Mirrors a sweep's records as W&B runs: what is finished now and, while a launch of the sweep is live, what follows.

    python -m sweeps.wandb sweep=temperature                         # a run for each finished cell, and a monitor run
    python -m sweeps.wandb sweep=temperature tracking.runs=trial     # a run for each trial
    python -m sweeps.wandb sync sweep=temperature                    # send what waits on disk
    python -m sweeps.wandb dashboard sweep=temperature               # workspace and report

Runs lie on disk first and are sent from there: at once where there is an API key, else by `sync`.  The same command
again writes and sends only what is new.
"""

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from rich.console import Console

from em.cli.command import run_command, terminal
from em.errors import InputError
from em.store import Store
from sweeps.board import Notice, notices
from sweeps.config import Launch, compose_launch
from sweeps.standing import Observer
from sweeps.wandb import sync, view
from sweeps.wandb.curves import curve_runs
from sweeps.wandb.export import export, save, session
from sweeps.wandb.folder import Folder
from sweeps.wandb.monitor import monitor_run

IDLE = 4.0  # times what a look took, that pass before the next
NICENESS = 10  # the exporter yields to the lanes
SILENCE_SECONDS = 300.0  # of a launch that has not ended: Ray starts, much is added, or it was killed


class Mirror:
    """A sweep, or the sweeps of a union, and their folder of W&B runs."""

    def __init__(self, arguments: Sequence[str], console: Console) -> None:
        self.console, self.uploaded, self.said = console, 0.0, ""
        self.arguments = list(arguments)
        self.expand(compose_launch(self.arguments))
        self.folder = Folder(self.store, self.config.project)

    def expand(self, config: Launch) -> None:
        self.config, self.store = config, Store(config.store)
        project = replace(config.tracking, project=config.project)  # one for all
        sweeps = [replace(part, tracking=project) for part in config.sweeps] if config.parts else [config]
        self.sweeps = [Observer(part) for part in sweeps]

    def launches(self) -> list[Notice]:
        return notices(self.store, self.config.sweep.name)

    def follow(self) -> None:
        """Until no launch of the sweep is live."""
        launches = self.launches()
        if any(map(is_live, launches)):
            os.nice(NICENESS)
        own = [notice.folder for notice in launches if notice.said["arguments"] == self.arguments]
        with session(self.folder):
            while True:
                start, launches = time.monotonic(), self.launches()
                live = list(filter(is_live, launches))
                asked = [notice.said["arguments"] for notice in live if notice.folder in own]
                try:
                    if asked and asked[-1] != self.arguments:  # more is wanted; how it is tracked stays as it was
                        self.expand(replace(compose_launch(asked[-1]), tracking=self.config.tracking))
                        self.arguments = asked[-1]
                    self.look(live, launches)
                except (InputError, OSError, pl.exceptions.PolarsError) as error:
                    if not live:
                        raise InputError(str(error)) from error
                    self.say(f"error: {error}")  # and the next look tries again
                if not live:
                    return
                time.sleep(max(self.config.tracking.export_seconds, IDLE * (time.monotonic() - start)))

    def look(self, live: Sequence[Notice], launches: Sequence[Notice]) -> None:
        """Write what is new and, where there is a key, send it."""
        tracking, written = self.config.tracking, 0
        stopped = "" if live or not launches else (launches[-1].said["snapshot"] or {}).get("stopped", "")
        for sweep in self.sweeps:
            sweep.follow(self.store.records()[0])
            now = view.look(sweep.config, self.store, view.cells(sweep.config), sweep.units)
            figure = None if live else next((path for path in sweep.draw() if path.suffix == ".png"), None)
            with self.folder.alone():
                monitor = monitor_run(now, self.folder, live, stopped, tracking.export_seconds, figure)
                for run in [*([monitor] if monitor else []), *curve_runs(now)]:  # few, and no cell can stop them
                    save(run, self.folder)
                written += export(now, self.folder)
        runs, waiting = len(self.folder.runs()), len(self.folder.waiting())
        kind = tracking.runs.value
        self.say(f"{written} {kind} runs written, {runs} in {self.folder.root}, {waiting} not sent yet")
        if sync.is_wanted(self.config):
            if not live or time.monotonic() - self.uploaded > tracking.upload_seconds:
                self.uploaded = time.monotonic()
                self.say(sync.sync(self.config, self.folder))
        elif waiting and not live:
            self.say(f"send them with `make wandb-sync SWEEP={self.config.sweep.name}`, which runs:")
            self.say(f"  {shlex.join(['.venv/bin/python', '-m', *sync.command(self.config, self.folder)])}")

    def say(self, text: str) -> None:
        if text != self.said:
            self.said = text
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def is_live(notice: Notice) -> bool:
    return notice.age < SILENCE_SECONDS and not notice.said["over"]


def main(arguments: list[str]) -> None:
    action = arguments[0] if arguments and arguments[0] in ("sync", "dashboard") else ""
    mirror = Mirror(arguments[bool(action) :], terminal())
    if action == "sync":
        mirror.say(sync.sync(mirror.config, mirror.folder))
    elif action == "dashboard":
        from sweeps.wandb import dashboard  # takes seconds to load

        for sweep in mirror.sweeps:
            mirror.say(dashboard.save(sweep.config, mirror.folder))
    else:
        mirror.follow()


if __name__ == "__main__":
    run_command(main, __doc__)
