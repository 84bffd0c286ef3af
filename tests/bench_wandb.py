"""What 13,440 trials cost as W&B runs, offline: as 840 cells of 16 seeds, and one by one.

    python -m tests.bench_wandb [trials]

The store is filled with near-empty records of 10 steps and 6 measurements; then the exporter is timed from outside.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from em.store import Store
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.wandb.folder import Folder
from tests.bench import Row, resident_mib
from tests.near_empty import Trainer
from tests.trials import run

TRIALS, SEEDS, TEMPERATURES = 13_440, 16, 8
WARM = 0.2  # of the runs, after which memory should not grow any more
SECONDS = {"cell": 60.0, "trial": 720.0}  # bars for 13,440 trials


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


def measure(store: Path, trials: int, kind: str) -> tuple[float, float, int]:
    """Seconds until all is written, MiB that the exporter grows by after WARM of the runs, and how many runs."""
    project, folder = f"em-{kind}", Folder(Store(store), f"em-{kind}")
    given = [*words(store, trials), f"tracking.runs={kind}", f"tracking.project={project}"]
    command = [sys.executable, "-m", "sweeps.wandb", *given]
    start, warm, most = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, env=os.environ | {"WANDB_MODE": "offline"}, stdout=subprocess.DEVNULL)
    enough = WARM * trials / (SEEDS if kind == "cell" else 1)
    while process.poll() is None:
        time.sleep(0.5)
        try:
            memory = resident_mib(process.pid)
        except (OSError, StopIteration):  # it has just ended
            continue
        most = max(most, memory)
        if not warm and len(folder.runs()) >= enough:
            warm = most
    assert process.returncode == 0, kind
    return time.perf_counter() - start, most - warm, len(folder.runs())


def rows(folder: Path, trials: int) -> Iterator[Row]:
    fill(folder, trials)
    for kind, wanted in (("cell", trials // SEEDS), ("trial", trials + 1)):
        seconds, growth, found = measure(folder, trials, kind)
        yield Row(f"{trials} trials as {kind}s", seconds, SECONDS[kind] * trials / TRIALS, True, "s")
        yield Row(
            "the same, a run", 1000 * seconds / found, 1000 * SECONDS[kind] * trials / TRIALS / wanted, True, "ms"
        )
        yield Row("growth of memory after a fifth", growth, 50, True, "MiB")
        yield Row("runs, beside the monitor and two curves", found - 3, wanted, False, "")


def main(arguments: list[str]) -> int:
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-wandb-") as folder:
        for row in rows(Path(folder) / "results", int(arguments[0]) if arguments else TRIALS):
            print(row, flush=True)
            found.append(row)
    return int(any("SHORT" in str(row) for row in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
