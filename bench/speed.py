"""The main command from nothing, again, and the smoke sweep; what a trial takes and what lies between two."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bench.processes import command_seconds
from bench.references import INTERPRETER, LOOP, beside
from bench.rows import Row, at_most, at_most_times

# 300 s, 60 s, 4 s and 80 ms where the loop takes 4.8 s; measured there: 222 to 290 s, 24 to 27 s, 2.0 to 2.3 s and
# 36 to 51 ms.
SWEEP, SMOKE, TRIAL, TURNOVER = 62, 12.5, 0.83, 0.0167
# 10 s and 2 s where the interpreter starts in 0.46 s; measured there: 2.3 to 2.4 s, 0.6 s.
AGAIN, PLAN = 21, 4.3


def rows(folder: Path) -> Iterator[Row]:
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    store = f"store={folder / 'results'}"

    def run(*words: str) -> float:
        return command_seconds(sys.executable, "-m", *words, environment=environment)

    seconds, loop = beside(LOOP, lambda: run("sweeps", "sweep=temperature", store))
    yield Row("sweep-temperature, pretraining included", seconds, "s", at_most_times(SWEEP, loop))
    again, start = beside(INTERPRETER, lambda: run("sweeps", "sweep=temperature", store))
    yield Row("the same again, all recorded", again, "s", at_most_times(AGAIN, start))
    smoke, smoke_loop = beside(LOOP, lambda: run("sweeps", "sweep=smoke", f"store={folder / 'smoke'}"))
    yield Row("smoke, model cached", smoke, "s", at_most_times(SMOKE, smoke_loop))
    planning, start = beside(INTERPRETER, lambda: run("sweeps.plan", store), runs=3)
    yield Row("plan", planning, "s", at_most_times(PLAN, start))

    records = pl.scan_parquet(folder / "results" / "records" / "*.parquet")
    trials = records.select("steps", "provenance").unnest("provenance").collect()
    trained = trials.filter(pl.col("steps").list.len() > 0)
    yield Row("seconds a trial, median", median_of(trained["seconds"]), "s", at_most_times(TRIAL, loop))
    asked = subprocess.run(
        [sys.executable, "-m", "bench.first_token"], env=environment, check=True, capture_output=True
    )
    turnover = median_of(trials["turnover_seconds"].drop_nulls()) + float(asked.stdout.split()[-1])
    yield Row("lane turnover, median, to the first token", turnover, "s", at_most_times(TURNOVER, loop))
    starts = trials["turnover_seconds"].null_count() / trials["lane"].n_unique()  # a loaded engine's first has none
    yield Row("engine starts a lane", starts, "", at_most(1))


def median_of(column: pl.Series) -> float:
    value = column.median()
    assert isinstance(value, float)
    return value
