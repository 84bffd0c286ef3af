"""Runs a plan: Ray Tune places the lanes, the lanes empty the queue, this process watches."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live

from em.checkpoint import checkpoint_folder
from em.errors import InputError
from em.quiet import SETTINGS, quiet_libraries
from em.store import Store
from sweeps.config import Launch, Progress, Tracking
from sweeps.plan import Plan
from sweeps.progress import Display
from sweeps.queue import Queue, Snapshot

LANE_STARTS = 5  # times that a lane's process is started again without having held any work
PLAIN_SECONDS = 10.0  # between two lines where the output is no terminal
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # Tune's thread would start a second Ray when this process leaves the first
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store is the record; Tune's JSON, CSV and TensorBoard are not read
}


def launch(config: Launch, found: Plan, store: Store, console: Console) -> None:
    """Work through `found.todo`.

    Raises KeyboardInterrupt after Ctrl-C, once lanes have finished what they held, and InputError where no trial can
    succeed.
    """
    os.environ.update(RAY_SETTINGS)
    quiet_libraries()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lane that died: the queue counts it, Tune restarts it
    prepare_models(found)
    console.print("starting Ray and lanes", style="dim")
    import ray

    cluster = config.cluster
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    with children_ignore_interrupts():
        if cluster.address:
            ray.init(cluster.address, runtime_env={"env_vars": SETTINGS}, **quiet)
        else:
            ray.init("local", include_dashboard=False, **quiet)
    try:
        room = ray.cluster_resources()
        lanes = min(cluster.lanes_that_fit(room), len(found.todo))
        queue: Any = ray.remote(num_cpus=0)(Queue).remote(found.todo, config.sweep.max_attempts, found.attempts)
        tune = TuneThread(config, cluster.bundle(room.get("GPU", 0)), lanes, len(found.todo), queue, store)
        tune.start()
        display = Display(config.sweep.name, len(found.wanted), found.recorded)
        watch(tune, lambda: ray.get(queue.snapshot.remote()), queue.stop.remote, display, config.tracking, console)
    finally:
        ray.shutdown()


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """A terminal sends Ctrl-C to every process of its group; those started here leave it to this one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def prepare_models(found: Plan) -> None:
    """Pretrain or download every model once, before lanes ask for it."""
    for model in {unit.trial.base.id: unit.trial.model for unit in found.todo}.values():
        checkpoint_folder(model, show_progress=True)


class TuneThread(threading.Thread):
    """`Tuner.fit` beside the display; out of the main thread Tune leaves Ctrl-C to us."""

    def __init__(
        self, config: Launch, bundle: dict[str, float], lanes: int, units: int, queue: Any, store: Store
    ) -> None:
        super().__init__(name="tune", daemon=True)
        self.config, self.bundle, self.lanes, self.units = config, bundle, lanes, units
        self.queue, self.store = queue, store
        self.error: BaseException | None = None
        self.ended = threading.Event()  # an interrupted `join` takes a thread for ended (3.11, 3.12)

    def run(self) -> None:
        try:
            self.fit()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def fit(self) -> None:
        from ray import tune

        from sweeps.lane import Lane

        trainable: Any = tune.with_parameters(Lane, queue=self.queue, store=str(self.store.root.resolve()))
        # The queue caps the attempts at each unit; this ends lanes whose process cannot even start.
        restarts = LANE_STARTS + self.config.sweep.max_attempts * self.units
        tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory([self.bundle])),
            param_space={"lane": tune.grid_search(list(range(self.lanes)))},
            run_config=tune.RunConfig(
                name=self.config.sweep.name,
                storage_path=str(self.store.tune.resolve()),
                failure_config=tune.FailureConfig(max_failures=restarts),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()


def watch(
    tune: TuneThread,
    snapshot: Callable[[], Snapshot],
    stop: Callable[[str], Any],
    display: Display,
    tracking: Tracking,
    console: Console,
) -> None:
    """Show the sweep until it ends; the first Ctrl-C lets lanes finish what they hold, the second does not."""
    interrupted = False
    with shower(display, tracking, console) as show:
        while not tune.ended.is_set():
            try:
                tune.ended.wait(tracking.refresh_seconds)
                now = snapshot()
                show(now)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                stop("lanes finish the trials they are in (Ctrl-C again: drop those)")
        now = snapshot()
        show(now)
    if tune.error:
        raise tune.error
    if interrupted:
        raise KeyboardInterrupt
    left = now.planned - now.recorded - now.given_up
    if now.stopped or left:
        raise InputError(now.stopped or f"{left} units of work are left, and no lane is; see Ray's logs in /tmp/ray")


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
            text, over = display.line(now), now.stopped or now.recorded + now.given_up == now.planned
            if text != said and (over or time.monotonic() - at >= PLAIN_SECONDS):
                console.print(text, highlight=False, soft_wrap=True)
                said, at = text, time.monotonic()

        yield line
    else:
        yield lambda now: None
