"""What EM gains on three base models that no choice was made on, 16 seeds on each."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from analysis import gain
from bench.processes import command_seconds
from bench.rows import Row, at_least
from em.store import Store
from sweeps import expand
from sweeps.config import compose_launch

FRESH_BASES = (5, 6, 7)  # pretraining seeds
RANDOM = 0


def rows(folder: Path) -> Iterator[Row]:
    store = Store(folder / "results")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    for base_seed in FRESH_BASES:
        words = ["sweep=gain", f"model.pretrain.seed={base_seed}", f"store={store.root}"]
        command_seconds(sys.executable, "-m", "sweeps", *words, environment=environment)
        config = compose_launch(words)
        trials = expand.trials(config)
        step = max(config.eval.steps)
        em = gain.problem_scores(store, [trial.id for trial in trials], config.evaluations, step)
        base = gain.problem_scores(store, [trials[0].base.id], config.evaluations, 0)
        validation = [name for name in config.benchmarks if name.endswith("_validation")]
        test = [name for name in config.benchmarks if name not in validation]
        at_one = (pl.col("temperature") == 1.0) & pl.col("benchmark").is_in(test)
        em_at_one, base_at_one = (gain.mean_scores(scores.filter(at_one))[1.0] for scores in (em, base))
        print(f"base {base_seed}: {100 * base_at_one:.1f} -> {100 * em_at_one:.1f} at temperature 1")
        name = f"base {base_seed}: EM over base at temperature 1"
        yield Row(name, 100 * (em_at_one - base_at_one), "points", at_least(8))
        best = gain.gain(em, base, validation, test, np.random.default_rng(RANDOM))
        print(
            f"base {base_seed}: {100 * best.base:.1f} at its best temperature {best.base_temperature:g} -> "
            f"{100 * best.em:.1f} at {best.temperature:g}, gain {100 * best.gain:.1f} "
            f"({100 * best.low:.1f} to {100 * best.high:.1f}), {best.seeds} seeds"
        )
        yield Row(f"base {base_seed}: best against best, low end", 100 * best.low, "points", at_least(0))
