"""Runs a plan: Ray Tune places the lanes, the lanes empty the queue, this process watches."""

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rich.console import Console

from em.errors import InputError
from em.quiet import SETTINGS, quiet_libraries
from em.store import Store
from sweeps import checkpoints
from sweeps.board import Board
from sweeps.config import Cluster, Launch
from sweeps.join import address_of, guard_token
from sweeps.plan import Plan
from sweeps.progress import Display
from sweeps.protocol import TRAINER, Setup
from sweeps.queue import Queue
from sweeps.source import Source
from sweeps.supervisor import Supervisor
from sweeps.wandb import start_exporter

BEATS_A_SECOND = 200  # of all lanes together, which take the queue a tenth of a core
MOST_LANES = 10_000  # where it is not known how much work there will be
LANE_STARTS = 200  # times that Tune starts one lane again
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # Tune's thread would start a second Ray when this process leaves the first
    "RAY_kill_child_processes_on_worker_exit": "false",  # a worker whose lane is gone finishes its unit
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store is the record; Tune's JSON, CSV and TensorBoard are not read
}


def launch(
    config: Launch,
    arguments: list[str],
    source: Source,
    planned: Plan,
    store: Store,
    console: Console,
    trainer: str = TRAINER,
) -> Launch:
    """Work through `planned.todo`, what the source wants after results, and what is added meanwhile.

    Returns the config of the last that was asked for.

    Raises SpentError where the budget is spent before all is done, KeyboardInterrupt after Ctrl-C or SIGTERM, once
    lanes have finished what they held, and InputError where no trial can succeed.
    """
    began = time.monotonic()
    quiet_libraries()
    address_of(config.cluster.address)  # a mistake is said before minutes of pretraining or downloading
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a lane that died: the queue counts it, Tune restarts it
    for unit_id in store.states.unfinished_units():
        if store.is_recorded(unit_id):
            store.states.drop_unfinished(unit_id)
    cluster, models = config.cluster, {unit.trial.base.id: unit.trial.model for unit in planned.todo}
    checkpoints.prepare(models.values(), cluster.models_place, console)
    console.print("starting Ray and lanes", style="dim")
    board = Board(store, config.sweep.name, arguments, [part.sweep.name for part in config.parts])
    if config.tracking.wandb:
        console.print(start_exporter(config, arguments, store), style="dim", soft_wrap=True)
    try:
        with connected(cluster):
            import ray  # reads the settings
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            room = ray.cluster_resources()
            bundle = cluster.bundle(room.get("GPU", 0))
            lanes = cluster.lanes_in(room, MOST_LANES if source.follows_results else len(planned.todo))
            here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            queue: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(Queue).remote(
                planned.todo,
                config.sweep.max_attempts,
                planned.attempts,
                cluster.lease_seconds,
                is_open=source.follows_results,
                lanes_expected=lanes,
            )
            setup = Setup(
                store=store.place,
                lane="",
                log="",
                trainer=trainer,
                lease_seconds=cluster.lease_seconds,
                outage_seconds=cluster.outage_seconds,
                stall_seconds=cluster.stall_seconds,
                gpus=float(bundle.get("GPU", 0)),
                models=cluster.models_place,
                beat_seconds=max(Setup.beat_seconds, lanes / BEATS_A_SECOND),
            )
            tune = TuneThread(lambda: run_lanes(config, bundle, lanes, queue, setup, store, board.folder))
            tune.start()
            display = Display(config.sweep.name, planned.recorded)

            def call(method: str, *arguments: Any) -> Any:
                return ray.get(getattr(queue, method).remote(*arguments))

            gpus = bundle.get("GPU", 0.0) * lanes
            supervisor = Supervisor(config, source, store, call, board, display, console, gpus, began)
            with termination_interrupts():
                return supervisor.watch(tune)
    finally:
        shutil.rmtree(store.root / "tune" / board.folder, ignore_errors=True)


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Ray, a running one or its own for the time; raises InputError where there is none to join."""
    os.environ.update(RAY_SETTINGS)  # before Ray is imported, which reads some of them then
    quiet_libraries()
    import ray

    address = address_of(cluster.address)
    guard_token()
    threading.Thread(target=import_module, args=["ray.tune"], daemon=True).start()  # while Ray's processes start
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with children_ignore_interrupts():
            if address:
                ray.init(address, runtime_env={"env_vars": SETTINGS | RAY_SETTINGS}, **quiet)
            else:
                ray.init("local", include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"cluster.address={cluster.address}: no Ray to join; `ray start --head` ({said})") from None
    try:
        yield
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


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """SIGTERM, by which a scheduler says that time is up, is as good as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class TuneThread(threading.Thread):
    """`run_lanes` beside the display; out of the main thread Tune leaves Ctrl-C to us."""

    def __init__(self, fit: Callable[[], None]) -> None:
        super().__init__(name="tune", daemon=True)
        self.fit = fit
        self.error: BaseException | None = None
        self.ended = threading.Event()  # an interrupted `join` takes a thread for ended (3.11, 3.12)

    def run(self) -> None:
        try:
            self.fit()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def release_lanes_that_wait_for_room(self) -> None:
        from sweeps.lane import Enough

        Enough.reached = True


def run_lanes(
    config: Launch, bundle: dict[str, float], lanes: int, queue: Any, setup: Setup, store: Store, name: str
) -> None:
    """Let Tune run so many lanes, each with such resources, until all have ended."""
    from ray import tune

    from sweeps.lane import Enough, Lane

    Enough.reached = False
    trainable: Any = tune.with_parameters(Lane, queue=queue, worker=setup, max_gib=config.cluster.max_lane_gib)
    tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([bundle])),
        param_space={"lane": tune.grid_search(list(range(lanes)))},
        run_config=tune.RunConfig(
            name=name,
            storage_path=str((store.root / "tune").resolve()),
            stop=Enough(),
            failure_config=tune.FailureConfig(max_failures=LANE_STARTS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
