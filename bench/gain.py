"""What EM gains on twelve base models that no choice was made on, 16 seeds on each: the sweep `gain` and its figure.

EM_BENCHMARK_STORE names a folder of records to go on from, and to find the figure in; the base models are then those of
the user's cache.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from analysis import gain
from bench.processes import command_seconds
from bench.rows import Row, at_least
from bench.trials import store_of

POINTS = 8.0  # that EM has to gain on average, best against best
COMPARED = {  # columns of the figure's numbers: base model, EM
    "at temperature 1": ("base_score", "mean"),
    "best against best": ("own_base_score", "own_mean"),
}


def rows(folder: Path) -> Iterator[Row]:
    store, cache = store_of(folder)
    command_seconds(sys.executable, "-m", "sweeps", "sweep=gain", f"store={store}", environment=os.environ | cache)
    yield from verdicts(pl.read_csv(store / "figures" / "gain.csv"))


def verdicts(models: pl.DataFrame) -> Iterator[Row]:
    """The numbers of the figure, one row per base model, printed and held to their bars."""
    for model in models.iter_rows(named=True):
        at_one, own = (
            f"{100 * model[base]:.1f} -> {100 * model[em]:.1f} ({100 * (model[em] - model[base]):+.1f})"
            for base, em in COMPARED.values()
        )
        temperatures = f"at {model['own_base_temperature']:g} and {model['own_temperature']:g}"
        print(f"{model['model']}: {at_one} at temperature 1; {own} {temperatures}; {model['n']} seeds")
    for name, (base, em) in COMPARED.items():
        gains = gain.over_models(100 * (models[em] - models[base]).to_numpy())
        print(f"{name}: {gains}")
        yield Row(f"{name}: mean gain", gains.mean, "points", at_least(POINTS))
        yield Row(f"{name}: low end over base models", gains.low, "points", at_least(0))
