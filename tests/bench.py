"""Measures what README and log claim: one row a figure (name, value, bar, ok or SHORT); exit status 1 if any is SHORT.

    python -m tests.bench [speed] [gain] [memory]

`speed` runs the main command from nothing, again, and the smoke sweep; `gain` trains three base models that no choice
was made on, and 16 seeds on each; `memory` watches one lane through 300 trials.  Everything lies in a temporary folder,
caches too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis import gain
from em.store import Store
from sweeps import expand
from sweeps.config import compose_launch

FRESH_BASES = (5, 6, 7)  # pretraining seeds that no choice was made on
RANDOM = 0


class Row(NamedTuple):
    name: str
    value: float
    bar: float
    at_most: bool  # whether the bar is an upper limit
    unit: str

    def __str__(self) -> str:
        holds = self.value <= self.bar if self.at_most else self.value >= self.bar
        bar = f"{'<=' if self.at_most else '>='} {self.bar:g}"
        return f"{self.name:44}{self.value:10.2f} {self.unit:8}{bar:>10}  {'ok' if holds else 'SHORT'}"


def command(folder: Path, *words: str) -> float:
    """Seconds that `python -m ...` takes with its caches below `folder`."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *words], env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}, check=True
    )
    return time.perf_counter() - start


def speed(folder: Path) -> Iterator[Row]:
    store = folder / "results"
    run = ["sweeps", "sweep=temperature", f"store={store}"]
    yield Row("sweep-temperature, pretraining included", command(folder, *run), 300, True, "s")
    yield Row("the same again, all recorded", command(folder, *run), 10, True, "s")
    yield Row(
        "smoke, model cached", command(folder, "sweeps", "sweep=smoke", f"store={folder / 'smoke'}"), 60, True, "s"
    )
    yield Row("plan", command(folder, "sweeps.plan", f"store={store}"), 2, True, "s")
    trials = pl.read_parquet(store / "records" / "*.parquet").select("steps", "provenance").unnest("provenance")
    trained = trials.filter(pl.col("steps").list.len() > 0)
    yield Row("seconds a trial, median", column(trained, "seconds", np.median), 4, True, "s")
    first_token = 1000 * first_token_seconds(folder)
    turnover = 1000 * column(trials.drop_nulls("turnover_seconds"), "turnover_seconds", np.median) + first_token
    yield Row("lane turnover, median, to the first token", turnover, 80, True, "ms")
    starts = (
        trials["turnover_seconds"].null_count() / trials["lane"].n_unique()
    )  # a loaded engine's first trial has none
    yield Row("engine starts a lane", starts, 1, True, "")


def column(frame: pl.DataFrame, name: str, reduce: Callable[..., np.floating]) -> float:
    return float(reduce(frame[name].to_numpy()))


def first_token_seconds(folder: Path) -> float:
    """From asking the engine for a trial's 64 first samples to the first token of each; median of 20."""
    code = """
import os, sys, time
from em.cli.compose import compose_trial
from em.trial.config import Config
from em.quiet import quiet_libraries
quiet_libraries()
from em.train.trainer import Trainer
from em.rollout import Request
trial = compose_trial([]).trial
trainer = Trainer(trial.model, trial.rollout)
prompt = trainer.reader.encode(trial.prompts.texts[0], trial.rollout.max_new_tokens)
seconds = []
for seed in range(20):
    start = time.perf_counter()
    trainer.engine.generate([Request(prompt=prompt, seed=seed << 20, samples=trial.rollout.samples, max_new_tokens=1)])
    seconds.append(time.perf_counter() - start)
print(sorted(seconds)[10])
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def gains(folder: Path) -> Iterator[Row]:
    store = Store(folder / "gain")
    for base_seed in FRESH_BASES:
        words = ["sweep=gain", f"model.pretrain.seed={base_seed}", f"store={store.root}"]
        command(folder, "sweeps", *words)
        config = compose_launch(words)
        trials = expand.trials(config)
        step = max(config.eval.steps)
        em = gain.problem_scores(store, [trial.id for trial in trials], config.evaluations, step)
        base = gain.problem_scores(store, [trials[0].base.id], config.evaluations, 0)
        validation = [name for name in config.benchmarks if name.endswith("_validation")]
        test = [name for name in config.benchmarks if name not in validation]
        at_one = (pl.col("temperature") == 1.0) & pl.col("benchmark").is_in(test)
        em_at_one, base_at_one = (gain.mean_scores(scores.filter(at_one))[1.0] for scores in (em, base))
        label = f"base {base_seed}: EM over base at temperature 1"
        print(f"base {base_seed}: {100 * base_at_one:.1f} -> {100 * em_at_one:.1f} at temperature 1")
        yield Row(label, 100 * (em_at_one - base_at_one), 8, False, "points")
        best = gain.gain(em, base, validation, test, np.random.default_rng(RANDOM))
        print(
            f"base {base_seed}: {100 * best.base:.1f} at its best temperature {best.base_temperature:g} -> "
            f"{100 * best.em:.1f} at {best.temperature:g}, gain {100 * best.gain:.1f} "
            f"({100 * best.low:.1f} to {100 * best.high:.1f}), {best.seeds} seeds"
        )
        yield Row(f"base {base_seed}: best against best, low end", 100 * best.low, 0, False, "points")


def memory(folder: Path) -> Iterator[Row]:
    """What a lane's worker holds after 30 and after 300 trials of the main sweep."""
    store = folder / "memory"
    words = ["sweeps", "sweep=temperature", "sweep.seeds=38", "cluster.lanes=1", f"store={store}", "tracking=quiet"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen([sys.executable, "-m", *words], env=environment)
    resident: dict[int, float] = {}
    while process.poll() is None:
        time.sleep(0.2)
        done = len(Store(store).recorded_units()) - 1  # without the base model
        if done > 0 and done % 30 == 0 and done not in resident and (worker := claimed_by(store)):
            resident[done] = resident_mib(worker)
            print(f"{done} trials: {resident[done]:.0f} MiB", flush=True)
    yield Row("memory of a lane, 300 trials against 30", resident[300] / resident[30], 1.15, True, "x")


def claimed_by(store: Path) -> int | None:
    """The process that is at work, where one is just now."""
    for path in (store / "claims").glob("[!.]*"):
        with suppress(OSError, ValueError):
            return json.loads(path.read_text())["pid"]
    return None


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {"speed": speed, "gain": gains, "memory": memory}


def main(names: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    rows = []
    try:
        for name in names or list(PARTS):
            for row in PARTS[name](folder):
                print(row, flush=True)
                rows.append(row)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + "\n".join(map(str, rows)))
    return int(any("SHORT" in str(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
