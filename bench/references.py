"""Fixed things whose cost moves with the machine: bars of time and memory are multiples of them.

    python -m bench.references

prints what each takes now.  None of them runs code of this project.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median

from bench.processes import command_seconds, resident_mib


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


def arithmetic() -> None:
    """Half in Python, as sampling and grading are, half in torch on one thread, as training is."""
    import torch

    torch.set_num_threads(1)
    total = 0
    for number in range(10_000_000):
        total += number * number % 7
    matrix = torch.ones(512, 512)
    for _ in range(300):
        torch.matmul(matrix, matrix)


def arithmetic_wall_seconds() -> float:
    start = time.perf_counter()
    arithmetic()
    return time.perf_counter() - start


def arithmetic_cpu_seconds() -> float:
    start = time.process_time()
    arithmetic()
    return time.process_time() - start


def ray_init_seconds() -> float:
    import ray

    start = time.perf_counter()
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return time.perf_counter() - start


def driver_mib() -> float:
    """What a driver with Tune and Polars, and a worker with Polars, hold before they do anything."""
    import polars  # noqa: F401
    import ray
    import ray.tune

    @ray.remote
    def worker_mib() -> float:

        return resident_mib(os.getpid())

    ray_init_seconds()
    return ray.get(worker_mib.remote()) + resident_mib(os.getpid())


def apart(function: Callable[[], float], processes: int = 1) -> float:
    """Its mean over so many processes that run it at once."""
    command = [sys.executable, "-m", "bench.references", function.__name__]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(processes)]
    return mean(float(process.communicate()[0].split()[-1]) for process in running)


INTERPRETER = Reference(
    "start of Python with Hydra and Polars", "s", lambda: command_seconds(sys.executable, "-c", "import hydra, polars")
)
LOOP = Reference("arithmetic on every core", "s", lambda: apart(arithmetic_wall_seconds, len(os.sched_getaffinity(0))))
LOOP_CPU = Reference("the CPU time of arithmetic", "s", lambda: apart(arithmetic_cpu_seconds))
RAY_INIT = Reference("ray.init", "s", lambda: apart(ray_init_seconds))
DRIVER = Reference("a bare driver of Ray and its worker", "MiB", lambda: apart(driver_mib))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(globals()[name]())
    if not sys.argv[1:]:
        for reference in (INTERPRETER, LOOP, LOOP_CPU, RAY_INIT, DRIVER):
            print(reference.read(), flush=True)
