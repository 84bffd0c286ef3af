"""What a sweep costs beside its trials: 13,440 near-empty ones through the real queue, lanes and store."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import command_seconds, cpu_seconds, resident_mib, seconds_until
from bench.references import DRIVER, INTERPRETER, RAY, TUNE, Reading, beside
from bench.rows import Row, at_least, at_most, at_most_times
from em.store import Store

TRIALS, FEW, LANES = 13_440, 504, 2
MISSING = 100  # records that the sweep that is resumed lacks
TUNE_TRIALS = 500  # that Tune with one trial a model can finish in a minute or two
TEMPERATURES = 8

# 2 s, 2 s and 5 s where the interpreter starts in 0.46 s; measured there: 1.0 to 1.3 s, 0.1 s, 3.2 to 3.9 s.
PLANNING, READING, AGAIN = 4.3, 4.3, 11
# 5 s, which is not reached yet, where a bare Tune starts in 6.3 s; measured there: 5.7 to 7.1 s.  The multiple of Tune
# is the same with other work beside it (0.9 to 1.2), that of ray.init is not (1.8, and 2.9).
RESUMING = 0.8
MEMORY = 1.3  # 500 MiB where the bare driver and its worker hold 384 MiB; measured there: 485 to 495 MiB
CPU = 1.5  # of the ActorPool's


def words(store: Path, trials: int) -> list[str]:
    return ["sweep=temperature", f"sweep.seeds={trials // TEMPERATURES}", "model.pretrain.steps=30", f"store={store}"]


def lanes(store: Path, trials: int) -> list[str]:
    """The command that runs such a sweep."""
    module = ["-m", "tests.sweep", "tests.near_empty:Trainer"]
    return [sys.executable, *module, *words(store, trials), f"cluster.lanes={LANES}", "tracking=quiet"]


def baseline(name: str, folder: Path, trials: int) -> list[str]:
    return [sys.executable, "-m", "bench.baselines", name, str(folder), str(trials)]


@dataclass(frozen=True)
class Cost:
    cpu_ms: float  # of driver and queue, a trial
    mib: float  # the most that both held
    rate: float  # trials a second


def cost(command: list[str], records: Path) -> Cost:
    """Read from outside: CPU time and rate from the first record to the last, memory to the end, figure included."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    readings: list[tuple[int, float, float]] = []  # records, time, CPU seconds: where there is a new record
    mib = 0.0
    while process.poll() is None:
        time.sleep(0.25 if readings else 0.05)
        done = sum(1 for _ in records.iterdir()) if records.is_dir() else 0
        try:
            watched = [process.pid, *queue_processes(process.pid)]
            now = (done, time.monotonic(), sum(map(cpu_seconds, watched)))
            mib = max(mib, sum(map(resident_mib, watched)))
        except (OSError, StopIteration):  # one has just ended
            continue
        if done > (readings[-1][0] if readings else 0):
            readings.append(now)
    assert process.returncode == 0, command
    trials, seconds, cpu = (last - first for first, last in zip(readings[0], readings[-1], strict=True))
    return Cost(1000 * cpu / trials, mib, trials / seconds)


def queue_processes(driver: int) -> list[int]:
    """The queue's process, among those that the driver's Ray has started, once there is one."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if command.startswith(b"ray::Queue") and os.getsid(int(folder.name)) == os.getsid(driver):
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids


def rows(folder: Path, trials: int = TRIALS) -> Iterator[Row]:
    pool = cost(baseline("actor_pool", folder / "pool", trials), folder / "pool" / "records")
    print(f"ActorPool: {pool.cpu_ms:.3f} ms of driver CPU a trial, {pool.rate:.0f} trials/s", flush=True)
    few = cost(lanes(folder / "few", FEW), folder / "few" / "records")
    print(f"lanes, {FEW} trials: {few.cpu_ms:.3f} ms of driver and queue CPU a trial, {few.rate:.0f} trials/s")
    store = folder / "many"
    many = cost(lanes(store, trials), store / "records")
    print(f"lanes, {trials} trials: {many.cpu_ms:.3f} ms, {many.rate:.0f} trials/s, {many.mib:.0f} MiB", flush=True)
    tune = cost(baseline("tune_alone", folder / "tune", TUNE_TRIALS), folder / "tune" / "records")
    starts = len(list((folder / "tune" / "starts").iterdir()))
    print(f"Tune, one trial a model, {TUNE_TRIALS}: {tune.cpu_ms:.3f} ms of driver CPU a trial, {starts} actor starts")

    bare = Reading("a bare ActorPool", pool.cpu_ms, "ms")
    yield Row("CPU of driver and queue a trial", many.cpu_ms, "ms", at_most_times(CPU, bare))
    yield Row(f"the same, {trials} trials against {FEW}", many.cpu_ms / few.cpu_ms, "x", at_most(1.2))
    yield Row("memory of driver and queue", many.mib, "MiB", at_most_times(MEMORY, DRIVER.read()))
    made = Store(store).records()[0].unnest("provenance")
    yield Row("records", len(made), "", at_least(trials + 1))
    yield Row("engine starts", made.select("lane", "pid").n_unique(), "", at_most(LANES))

    seconds, start = beside(INTERPRETER, lambda: table_seconds(store), runs=3)
    yield Row("reading all records as one frame", seconds, "s", at_most_times(READING, start))
    seconds, start = beside(INTERPRETER, lambda: run("sweeps.plan", *words(folder / "fresh", trials)), runs=3)
    yield Row("planning", seconds, "s", at_most_times(PLANNING, start))
    seconds, start = beside(INTERPRETER, lambda: run("sweeps.plan", *words(store, trials)), runs=3)
    yield Row("planning, all recorded", seconds, "s", at_most_times(PLANNING, start))
    seconds, start = beside(INTERPRETER, lambda: run("sweeps", *words(store, trials)), runs=3)
    yield Row("the finished sweep again", seconds, "s", at_most_times(AGAIN, start))
    seconds, tune_start = beside(TUNE, lambda: resume_seconds(store, trials), runs=3)
    print(f"of which: {RAY.read()}; {tune_start}, with no code of ours", flush=True)
    yield Row("resuming until a worker starts, Ray included", seconds, "s", at_most_times(RESUMING, tune_start))


def run(*arguments: str) -> float:
    return command_seconds(sys.executable, "-m", *arguments, quiet=True)


def table_seconds(store: Path) -> float:
    start = time.perf_counter()
    Store(store).records()
    return time.perf_counter() - start


def resume_seconds(store: Path, trials: int) -> float:
    """From the command until the process that makes the first of some missing trials is started."""
    for path in sorted((store / "records").glob("*.parquet"))[:MISSING]:
        path.unlink()
    with tempfile.TemporaryDirectory() as folder:  # where a lane puts its worker's log, and nobody else anything
        logs = Path(folder)
        environment = os.environ | {"TMPDIR": folder}
        return seconds_until(lambda: any(logs.glob("em-lane-*.log")), *lanes(store, trials), environment=environment)
