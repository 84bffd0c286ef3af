"""What a sweep costs beside its trials: 13,440 near-empty ones through the real queue, lanes and store, beside a plain
ActorPool that writes a file a trial, and Tune with one trial a model.

    python -m tests.bench_sweep [trials]

Each runs in a process of its own; CPU time is read from outside, between the first trial's record and the last one's.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from em.store import Store
from tests.bench import Row, resident_mib

TRIALS, FEW, LANES = 13_440, 504, 2
MISSING = 100  # records that the sweep that is resumed lacks
TUNE_TRIALS = 500  # that Tune with one trial a model can finish in a minute or two
TEMPERATURES = 8
TICK = os.sysconf("SC_CLK_TCK")


def lanes(folder: Path, trials: int) -> None:
    words = ["sweep=temperature", f"sweep.seeds={trials // TEMPERATURES}", f"store={folder}", "model.pretrain.steps=30"]
    words += [f"cluster.lanes={LANES}", "tracking=quiet"]
    os.execv(sys.executable, [sys.executable, "-m", "tests.sweep", "tests.near_empty:Trainer", *words])


def start_ray() -> None:
    import ray

    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    ray.init("local", include_dashboard=False, **settings)


def actor_pool(folder: Path, trials: int) -> None:
    import ray
    from ray.util import ActorPool

    @ray.remote
    class Actor:
        def work(self, number: int) -> int:
            (folder / "records" / f"{number}.json").write_text(json.dumps({"trial": number, "accuracy": 0.5}))
            return number

    start_ray()
    (folder / "records").mkdir(parents=True)
    pool = ActorPool([Actor.remote() for _ in range(LANES)])
    for _ in pool.map_unordered(lambda actor, number: actor.work.remote(number), list(range(trials))):
        pass
    time.sleep(2)  # to be read from outside


def tune_alone(folder: Path, trials: int) -> None:
    from ray import tune

    (folder / "records").mkdir(parents=True)
    (folder / "starts").mkdir()

    class Model(tune.Trainable):
        def setup(self, config: dict) -> None:
            (folder / "starts" / f"{os.getpid()}-{time.time_ns()}").touch()

        def step(self) -> dict:
            (folder / "records" / f"{self.config['number']}.json").write_text(json.dumps({"accuracy": 0.5}))
            return {"accuracy": 0.5, "done": True}

        def reset_config(self, new_config: dict) -> bool:
            return True

    start_ray()
    tune.Tuner(
        tune.with_resources(Model, {"cpu": 1}),
        param_space={"number": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=LANES),
        run_config=tune.RunConfig(
            storage_path=str(folder / "tune"),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    time.sleep(2)


KINDS: dict[str, Callable[[Path, int], None]] = {"lanes": lanes, "actor_pool": actor_pool, "tune_alone": tune_alone}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def queue_process(driver: int) -> list[int]:
    """The queue's process, among those that the driver's Ray has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if command.startswith(b"ray::Queue") and os.getsid(int(folder.name)) == os.getsid(driver):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def measure(kind: str, trials: int, folder: Path) -> dict[str, float]:
    """Milliseconds of CPU a trial in driver and queue, the most memory that both held, trials a second."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench_sweep", kind, str(folder), str(trials)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    first: tuple[int, float, float] | None = None
    last, memory = (0, 0.0, 0.0), 0.0
    while process.poll() is None:  # to its end: the figure is drawn by the driver, too
        time.sleep(0.05 if first is None else 0.25)
        done = sum(1 for _ in (folder / "records").iterdir()) if (folder / "records").is_dir() else 0
        try:
            watched = [process.pid, *queue_process(process.pid)]
            now = (done, time.monotonic(), sum(map(cpu_seconds, watched)))
            memory = max(memory, sum(map(resident_mib, watched)))
        except OSError:
            continue
        if done and first is None:
            first = now
        if first and done > last[0]:
            last = now
    assert first is not None
    assert process.returncode == 0, kind
    counted = last[0] - first[0]
    return {
        "cpu_ms": 1000 * (last[2] - first[2]) / counted,
        "memory": memory,
        "rate": counted / (last[1] - first[1]),
    }


def rows(folder: Path, trials: int) -> Iterator[Row]:
    pool = measure("actor_pool", trials, folder / "pool")
    print(f"ActorPool: {pool['cpu_ms']:.3f} ms of driver CPU a trial, {pool['rate']:.0f} trials/s", flush=True)
    few = measure("lanes", FEW, folder / "few")
    print(f"lanes, {FEW} trials: {few['cpu_ms']:.3f} ms of driver and queue CPU a trial, {few['rate']:.0f} trials/s")
    many = measure("lanes", trials, folder / "many")
    print(f"lanes, {trials} trials: {many['cpu_ms']:.3f} ms, {many['rate']:.0f} trials/s, {many['memory']:.0f} MiB")
    tune = measure("tune_alone", TUNE_TRIALS, folder / "tune")
    starts = len(list((folder / "tune" / "starts").iterdir()))
    print(
        f"Tune, one trial a model, {TUNE_TRIALS}: {tune['cpu_ms']:.3f} ms of driver CPU a trial, {starts} actor starts"
    )
    yield Row("CPU of driver and queue a trial", many["cpu_ms"], 1.5 * pool["cpu_ms"], True, "ms")
    yield Row(f"the same, {trials} trials against {FEW}", many["cpu_ms"] / few["cpu_ms"], 1.2, True, "x")
    yield Row("memory of driver and queue", many["memory"], 500, True, "MiB")
    made = Store(folder / "many").table()[0].unnest("provenance")
    start = time.perf_counter()
    Store(folder / "many").table()
    yield Row("reading all records as one table", time.perf_counter() - start, 2, True, "s")
    yield Row("records", len(made), trials + 1, False, "")
    yield Row("engine starts", made.select("lane", "pid").n_unique(), LANES, True, "")
    again = ["sweep=temperature", f"sweep.seeds={trials // TEMPERATURES}", "model.pretrain.steps=30"]
    yield Row("planning", seconds("sweeps.plan", *again, f"store={folder / 'fresh'}"), 2, True, "s")
    yield Row("planning, all recorded", seconds("sweeps.plan", *again, f"store={folder / 'many'}"), 2, True, "s")
    yield Row("the finished sweep again", seconds("sweeps", *again, f"store={folder / 'many'}"), 5, True, "s")
    yield Row("resuming until a worker starts, Ray included", resume(folder / "many", trials), 5, True, "s")


def seconds(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def resume(store: Path, trials: int) -> float:
    """Seconds from the command until the process that makes the first of some missing trials is started."""
    for path in sorted((store / "records").glob("*.parquet"))[:MISSING]:
        path.unlink()
    with tempfile.TemporaryDirectory() as folder:  # where a lane puts its worker's log, and nobody else anything
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench_sweep", "lanes", str(store), str(trials)],
            env=os.environ | {"TMPDIR": folder},
            stdout=subprocess.DEVNULL,
        )
        while process.poll() is None and not list(Path(folder).glob("em-lane-*.log")):
            time.sleep(0.02)
        took = time.perf_counter() - start
        assert process.wait() == 0
    return took


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in KINDS:
        KINDS[arguments[0]](Path(arguments[1]), int(arguments[2]))
        return 0
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-sweep-") as folder:
        for row in rows(Path(folder), int(arguments[0]) if arguments else TRIALS):
            print(row, flush=True)
            found.append(row)
    return int(any("SHORT" in str(row) for row in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
