"""Fixed things whose cost moves with the machine: bars of time and memory are multiples of them.

    python -m bench.references

prints what each takes now.  None of them runs code of this project.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import mean, median

from bench.processes import command_seconds, resident_mib, seconds_until


@dataclass(frozen=True)
class Reading:
    """What a reference took in this run."""

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name}, {self.value:.4g} {self.unit}"


@dataclass(frozen=True)
class Reference:
    name: str
    unit: str
    measure: Callable[[], float]

    def read(self) -> Reading:
        return Reading(self.name, self.measure(), self.unit)


def beside(reference: Reference, work: Callable[[], float], runs: int = 1) -> tuple[float, Reading]:
    """What the work takes, and the reference before, between and after its runs: the median of each.

    In turns, so that what else the machine does meanwhile slows both.
    """
    taken, readings = [], [reference.measure()]
    for _ in range(runs):
        taken.append(work())
        readings.append(reference.measure())
    return median(taken), Reading(reference.name, median(readings), reference.unit)


def arithmetic(clock: Callable[[], float]) -> float:
    """Seconds of a fixed loop: in Python, as sampling and grading are, and in torch on one thread, as training is."""
    import torch

    torch.set_num_threads(1)
    matrix, total = torch.ones(512, 512), 0
    start = clock()
    for number in range(30_000_000):
        total += number * number % 7
    for _ in range(900):
        torch.matmul(matrix, matrix)
    return clock() - start


def arithmetic_wall() -> float:
    return arithmetic(time.perf_counter)


def arithmetic_cpu() -> float:
    return arithmetic(time.process_time)


def bare_seconds(starts: int) -> float:
    """Of one that imports nothing."""
    start = time.perf_counter()
    for _ in range(starts):
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    return (time.perf_counter() - start) / starts


def tune_seconds() -> float:
    """From the command until the first actor of a Tune that does nothing else is set up, Ray's own start included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.baselines", "tune_alone", folder, "1"]
        return seconds_until(lambda: any(Path(folder).glob("starts/*")), *command)


def ray_seconds() -> float:
    """Import of Ray and `ray.init`, of a cluster of one machine."""
    start = time.perf_counter()
    import ray

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return time.perf_counter() - start


def driver_mib() -> float:
    """What a driver of Ray with the libraries of a sweep's, and its worker, hold before they do anything."""
    import ray

    for library in ("ray.tune", "polars", "altair", "vl_convert", "scipy.stats"):
        import_module(library)

    @ray.remote
    def worker_mib() -> float:
        return resident_mib(os.getpid())

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return ray.get(worker_mib.remote()) + resident_mib(os.getpid())


def apart(function: Callable[[], float], processes: int = 1) -> float:
    """What a function of APART gives in a process of its own; the mean of so many that run it at once."""
    command = [sys.executable, "-m", "bench.references", function.__name__]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    # In sessions of their own, as the workers of lanes: Linux shares busy cores among sessions.
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(processes)
    ]
    return mean(float(process.communicate()[0].split()[-1]) for process in running)


INTERPRETER = Reference(
    "start of Python with Hydra and Polars", "s", lambda: command_seconds(sys.executable, "-c", "import hydra, polars")
)
BARE = Reference("start of a bare Python", "s", lambda: bare_seconds(100))
LOOP = Reference("arithmetic on every core", "s", lambda: apart(arithmetic_wall, len(os.sched_getaffinity(0))))
LOOP_CPU = Reference("the CPU time of arithmetic", "s", lambda: apart(arithmetic_cpu))
RAY = Reference("start of a bare Ray", "s", lambda: apart(ray_seconds))
TUNE = Reference("start of a bare Tune", "s", tune_seconds)
DRIVER = Reference("a bare driver of Ray and its worker", "MiB", lambda: apart(driver_mib))


APART = {function.__name__: function for function in (arithmetic_wall, arithmetic_cpu, ray_seconds, driver_mib)}

if __name__ == "__main__":
    if sys.argv[1:]:
        print(APART[sys.argv[1]]())
    else:
        for reference in (INTERPRETER, BARE, LOOP, LOOP_CPU, RAY, TUNE, DRIVER):
            print(reference.read(), flush=True)
