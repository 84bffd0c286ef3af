"""What 13,440 trials cost as W&B runs, offline: as 840 cells of 16 seeds, and one by one.

The store is filled with near-empty records of 10 steps and 6 measurements; then the exporter is timed from outside.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.processes import resident_mib
from bench.references import LOOP, beside
from bench.rows import Row, at_least, at_most, at_most_times
from em.store import Store
from sweeps import expand
from sweeps.config import compose_launch
from tests.near_empty import Trainer
from tests.trials import run

TRIALS, SEEDS, TEMPERATURES = 13_440, 16, 8
WARM = 0.2  # of the runs, after which memory should not grow any more
BESIDE = 3  # runs: the monitor and two curves

# 60 s and 720 s for all trials where the loop takes 4.8 s; measured there: 38 to 46 s, 360 s.
EXPORTING = {"cell": 12.5, "trial": 150}


def rows(folder: Path, trials: int = TRIALS) -> Iterator[Row]:
    store = folder / "results"
    fill(store, trials)
    for kind, wanted in (("cell", trials // SEEDS), ("trial", trials + 1)):
        exporter = Exporter(store, trials, kind, wanted)
        seconds, loop = beside(LOOP, exporter.run)
        bar = at_most_times(EXPORTING[kind] * trials / TRIALS, loop)
        yield Row(f"{trials} trials as {kind}s", seconds, "s", bar)
        yield Row("growth of memory after a fifth", exporter.growth_mib, "MiB", at_most(50))
        yield Row("runs, beside the monitor and two curves", exporter.written() - BESIDE, "", at_least(wanted))


def words(store: Path, trials: int) -> list[str]:
    rates = [f"{(number + 1) * 1e-5:.5f}" for number in range(trials // (SEEDS * TEMPERATURES))]
    temperatures = [0.25 * (number + 1) for number in range(TEMPERATURES)]
    axes = [("rollout.temperature", temperatures), ("optimizer.lr", rates)]
    written = ", ".join(f"{{field: {field}, values: [{', '.join(map(str, values))}]}}" for field, values in axes)
    sweep = [f"sweep.axes=[{written}]", "sweep.figures=[]", f"sweep.seeds={SEEDS}"]
    return ["sweep=temperature", *sweep, f"store={store}", "model.pretrain.steps=30"]


def fill(folder: Path, trials: int) -> None:
    config, store = compose_launch(words(folder, trials)), Store(folder)
    for unit in config.units(expand.trials(config)):
        store.commit(run(Trainer(unit.trial.model, unit.trial.engine), unit))
    store.flush()


class Exporter:
    """One pass of `python -m sweeps.wandb`."""

    def __init__(self, store: Path, trials: int, kind: str, wanted: int) -> None:
        self.runs = store / "wandb"  # in a folder for each project
        self.project, self.wanted = f"em-{kind}", wanted
        self.words = [*words(store, trials), f"tracking.runs={kind}", f"tracking.project={self.project}"]
        self.growth_mib = 0.0  # after WARM of the runs

    def written(self) -> int:
        return sum(1 for _ in self.runs.glob(f"{self.project}*/offline-run-*"))

    def run(self) -> float:
        """Seconds until all is written."""
        start, warm, most = time.perf_counter(), 0.0, 0.0
        command = [sys.executable, "-m", "sweeps.wandb", *self.words]
        process = subprocess.Popen(command, env=os.environ | {"WANDB_MODE": "offline"}, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.5)
            with suppress(OSError, StopIteration):  # it has just ended
                most = max(most, resident_mib(process.pid))
            if not warm and self.written() >= WARM * self.wanted:
                warm = most
        assert process.returncode == 0, self.words
        self.growth_mib = most - warm
        return time.perf_counter() - start
