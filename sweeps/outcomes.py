"""What became of trials, as whatever decides by results goes by it: searches, seeds that stop, budgets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analysis.seeds import Headline, Outcome, judged
from analysis.seeds import cells as frame_of
from analysis.tables import Tables, among
from em.store import Store
from sweeps import expand
from sweeps.config import Launch
from sweeps.grids import Cell
from sweeps.plan import compare


@dataclass(frozen=True)
class Fate:
    """Of a trial."""

    score: float = np.nan  # nan: none, or none yet
    seconds: float = np.nan  # of a lane
    is_over: bool = False  # recorded, or given up
    has_diverged: bool = False


def fates(
    launch: Launch, store: Store, records: pl.DataFrame, cells: Sequence[Cell], headline: Headline
) -> tuple[dict[str, Fate], Tables]:
    """By trial, what became of these cells' trials by that score (`analysis.seeds.judged`), and what is recorded of
    them."""
    trials = [trial for cell in cells for trial in cell.trials]
    attempts = store.failed_attempts()
    tables = among(store, records, attempts, {trial.id for trial in trials})
    given_up = set[str]()
    if attempts:  # maybe of the phase that a trial starts from
        units = expand.units(replace(launch, settled=tuple(cells)))
        given_up = {of.trial.id for of in compare(units, records, attempts, [], launch.sweep.max_attempts).given_up}
    steps = [max(cell.steps) for cell in cells for _ in cell.trials]
    rows = judged(frame_of(trials, {}, steps), tables, headline)
    known = pl.col("score", "seconds").cast(pl.Float64).fill_null(np.nan)
    has_diverged = pl.col("outcome") == Outcome.diverged.value
    made = dict[str, Fate]()
    columns = rows.select(pl.col("trial_id").cast(pl.String), known, has_diverged.alias("has_diverged"))
    for trial, score, seconds, diverged in columns.iter_rows():
        made[trial] = Fate(score, seconds, bool(np.isfinite(score)) or trial in given_up, diverged)
    return made, tables
