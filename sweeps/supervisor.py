"""Watches a launch until it ends: shows it, posts it, does what is asked of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from rich.console import Console
from rich.live import Live

from em.errors import InputError, require
from em.store import Store
from sweeps.board import Board
from sweeps.config import Launch, compose_launch
from sweeps.plan import plan
from sweeps.progress import Display
from sweeps.snapshot import Snapshot
from sweeps.source import Growing, Source, source_of
from sweeps.tracking import Progress, Tracking

PLAIN_SECONDS = 10.0  # between two lines where the output is no terminal
VAIN_SECONDS = 120.0  # in which the last records show: folders of a network are seen as they were a minute ago
DROP_SECONDS = 10.0  # that lanes have to drop what they hold


def published(source: Growing) -> None:
    with suppress(InputError):  # said once, when the launch is over
        source.publish()


class SpentError(Exception):
    """The budget is spent; what is left is for the next launch."""


class Supervisor:
    """`call` calls a method of the queue, wherever that is."""

    def __init__(
        self,
        config: Launch,
        source: Source,
        store: Store,
        call: Callable[..., Any],
        board: Board,
        display: Display,
        console: Console,
        gpus: float = 0.0,
        began: float | None = None,
    ) -> None:
        """`gpus`: of all lanes together; `began`: when the launch did, by time.monotonic()."""
        self.gpus = gpus
        self.config, self.source, self.store, self.call, self.board = config, source, store, call, board
        self.finished = 0  # units, when the source was asked last
        self.in_vain: float | None = None  # since when it wants but what the queue has done, by time.monotonic()
        self.dropped: set[tuple[str, int]] = set()  # kept weights that were deleted
        self.began, self.spent = time.monotonic() if began is None else began, ""
        self.display, self.console = display, console
        self.publisher: Thread | None = None

    def watch(self, tune: Any) -> Launch:
        """Until the lanes end; the first Ctrl-C lets them finish what they hold, the second does not."""
        interrupts, now = 0, self.snapshot()
        with shower(self.display, self.config.tracking, self.console) as show:
            while not tune.ended.is_set():
                try:
                    tune.ended.wait(self.config.tracking.refresh_seconds)
                    self.board.answer(self.do)
                    now = self.snapshot()
                    self.ask_source(now)
                    self.drop_states(now)
                    self.keep_budget(now)
                    show(now)
                    self.board.post(now.plain())
                    if not now.running and (now.stopped or not (now.left or now.is_open)):
                        tune.release_lanes_that_wait_for_room()
                except KeyboardInterrupt:
                    interrupts += 1
                    if interrupts > 1:
                        self.drop(tune)
                        break
                    self.stop("Ctrl-C; lanes finish the trials they are in, Ctrl-C again drops these")
            now = self.snapshot()
            show(now)
            self.drop_states(now)
        self.board.post(now.plain(), over=True)
        if self.publisher:
            self.publisher.join(DROP_SECONDS)
        if tune.error:
            raise tune.error
        if interrupts:
            raise KeyboardInterrupt
        if not (now.left or now.is_open):
            return self.config
        if self.spent:
            raise SpentError(self.spent)
        if now.stopped:
            raise InputError(now.stopped)
        raise InputError(f"{now.left} units of work are left, and no lane is; see Ray's logs in /tmp/ray")

    def snapshot(self) -> Snapshot:
        return self.call("snapshot")

    def ask_source(self, now: Snapshot) -> None:
        """After each result, add what the source wants by now; where that is nothing more, lanes may end."""
        finished = now.recorded + now.given_up
        waits = now.is_open and not now.left  # a store may show the last records late, or the last units are given up
        if not self.source.follows_results or (finished == self.finished and not waits):
            return
        try:
            by_now = plan(self.config, self.store, self.source)
        except OSError:  # of the store: it is asked again
            return
        except InputError as error:
            self.stop(str(error))
            return
        self.finished = finished
        self.publish()
        is_vain = not self.call("add", by_now.todo, False, by_now.attempts) and waits
        self.in_vain = (self.in_vain or time.monotonic()) if is_vain else None
        if not by_now.todo or (self.in_vain and time.monotonic() - self.in_vain > VAIN_SECONDS):
            self.call("expect", False, self.config.sweep.max_attempts)

    def publish(self) -> None:
        """Beside everything else: what it is shown in may be slow, or gone."""
        idle = self.publisher is None or not self.publisher.is_alive()
        if isinstance(self.source, Growing) and idle:
            self.publisher = Thread(target=published, args=[self.source], name="publisher", daemon=True)
            self.publisher.start()

    def keep_budget(self, now: Snapshot) -> None:
        """Begin no more units where those that are begun now would end after the budget."""
        budget, hours = self.config.budget, (time.monotonic() - self.began) / 3600
        ends = hours + max(now.unit_seconds, default=0.0) / 3600
        limits = {"wall_hours": (budget.wall_hours, ends), "gpu_hours": (budget.gpu_hours, ends * self.gpus)}
        over = [name for name, (limit, used) in limits.items() if limit and used >= limit]
        if over and not self.spent:
            name = over[0]
            self.spent = (
                f"budget.{name}={limits[name][0]:g} is spent after {60 * hours:.0f} min; the same command goes on"
            )
            self.stop(self.spent)

    def drop_states(self, now: Snapshot) -> None:
        """Delete the kept weights that nothing of this launch starts from any more, nor will."""
        if now.is_open:
            return
        for trial_id, step in {*now.unneeded} - self.dropped:
            self.store.states.drop_end(trial_id, step)
        self.dropped = {*now.unneeded}

    def stop(self, reason: str, drop: bool = False) -> None:
        self.call("stop", reason, drop)

    def drop(self, tune: Any) -> None:
        self.stop("", drop=True)
        deadline = time.monotonic() + DROP_SECONDS
        while self.snapshot().running and time.monotonic() < deadline and not tune.ended.wait(0.1):
            pass

    def do(self, action: str, arguments: list[str]) -> str:
        """What `sweeps.steer` asks for."""
        if action == "pause":
            self.call("pause")
            return "paused: lanes finish the trials they are in and wait"
        if action == "resume":
            self.call("resume")
            return "resumed"
        if action == "stop":
            self.stop("asked to stop; the same command goes on")
            return "stopping: lanes finish the trials they are in"
        config = compose_launch(arguments)
        source, is_own = source_of(config, self.store), config.sweep.name == self.config.sweep.name
        remedy = "what it wants follows from its results; launch it by itself"
        require(is_own or not source.follows_results, "sweep", config.sweep.name, remedy)
        planned = plan(config, self.store, source)
        new = self.call("add", planned.todo, action == "first", planned.attempts)
        if new < 0:
            raise InputError("the launch is ending; start the sweep again with what is to be added")
        attempts = max(config.sweep.max_attempts, self.config.sweep.max_attempts)
        if action == "add" and is_own:  # else it is one of a union's sweeps
            self.config, self.source = config, source
            self.board.about["arguments"] = arguments
        self.call("expect", self.source.follows_results, attempts)
        known = f"{len(planned.todo) - new} were planned already, {planned.recorded} are recorded"
        return f"{new} unit{'s' * (new != 1)} of work added, {known}"


@contextmanager
def shower(display: Display, tracking: Tracking, console: Console) -> Iterator[Callable[[Snapshot], None]]:
    """What to do with a snapshot: redraw a table, print a line now and then, or nothing."""
    progress = tracking.progress
    if progress is Progress.auto:
        progress = Progress.live if console.is_terminal else Progress.plain
    if progress is Progress.live:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda now: live.update(display.panel(now), refresh=True)
    elif progress is Progress.plain:
        said, at = "", -PLAIN_SECONDS

        def line(now: Snapshot) -> None:
            nonlocal said, at
            text, over = display.line(now), now.stopped or not now.left
            if text != said and (over or time.monotonic() - at >= PLAIN_SECONDS):
                console.print(text, highlight=False, soft_wrap=True)
                said, at = text, time.monotonic()

        yield line
    else:
        yield lambda now: None
