"""Sweeps whose scores a claim rests on: run by the command, read from the store."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from analysis import load
from analysis.seeds import observe
from bench.processes import command_seconds
from sweeps import expand
from sweeps.config import compose_launch

QUIET = ["eval.texts=none", "tracking.progress=none"]


def store_of(folder: Path) -> tuple[Path, dict[str, str]]:
    """The store to work in, EM_BENCHMARK_STORE or a new one, and what changes in the environment: a cache beside it."""
    given = os.environ.get("EM_BENCHMARK_STORE")
    return (Path(given), {}) if given else (folder / "results", {"XDG_CACHE_HOME": str(folder / "cache")})


def scores(words: Sequence[str], folder: Path) -> pl.DataFrame:
    """Run the sweep of these words where it is not recorded; a row for each trial and measured step.

    Columns as of `analysis.seeds.observe`.
    """
    store, cache = store_of(folder)
    words = [*words, *QUIET, f"store={store}"]
    command_seconds(sys.executable, "-m", "sweeps", *words, "sweep.figures=[]", environment=os.environ | cache)
    return recorded(words, store)


def recorded(words: Sequence[str], store: Path) -> pl.DataFrame:
    launch = compose_launch(words)
    cells = expand.frame(launch)
    tables = load(store, {*cells["trial_id"], *cells["base_id"]})
    steps = [step for step in launch.eval.steps if step]
    return observe(cells, tables, launch.headline().evaluations, steps)
