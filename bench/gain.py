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
from analysis.seeds import AVERAGE
from bench.processes import command_seconds
from bench.rows import Row, at_least
from bench.trials import store_of

POINTS = 8.0  # that EM has to gain on average, best against best
NAMES = {AVERAGE: "at temperature 1", gain.OWN: "best against best"}


def rows(folder: Path) -> Iterator[Row]:
    store, cache = store_of(folder)
    command_seconds(sys.executable, "-m", "sweeps", "sweep=gain", f"store={store}", environment=os.environ | cache)
    yield from verdicts(pl.read_csv(store / "figures" / "gain.csv"))


def verdicts(numbers: pl.DataFrame) -> Iterator[Row]:
    """The numbers of the figure, a row per base model for each way to compare, printed and held to their bars."""
    for (name,), models in numbers.group_by("metric", maintain_order=True):
        for model in models.iter_rows(named=True):
            base, em, gained = (100 * model[column] for column in ("base", "mean", "gain"))
            temperatures = f"at {model['base_temperature']:g} and {model['temperature']:g}"
            print(f"{model['model']}: {base:.1f} -> {em:.1f} ({gained:+.1f}) {temperatures}; {model['n']} seeds")
        gains, said = gain.over_models(100 * models["gain"].to_numpy()), NAMES.get(str(name), str(name))
        print(f"{said}: {gains}")
        yield Row(f"{said}: mean gain", gains.mean, "points", at_least(POINTS))
        yield Row(f"{said}: low end over base models", gains.low, "points", at_least(0))
