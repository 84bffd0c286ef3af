"""What became of trials, as whatever decides by results goes by it: searches, seeds that stop, budgets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analysis.seeds import Outcome, seeds
from analysis.seeds import cells as frame_of
from analysis.tables import Tables, among
from em.store import Store
from sweeps import expand
from sweeps.config import Launch
from sweeps.grids import Cell
from sweeps.plan import compare


@dataclass(frozen=True)
class Fate:
    """Of a trial.  A diverged one has no model to speak of: its score is 0."""

    score: float = np.nan  # nan: none, or none yet
    seconds: float = np.nan  # of a lane
    is_over: bool = False  # recorded, or given up
    has_diverged: bool = False


def fates(launch: Launch, store: Store, records: pl.DataFrame, cells: Sequence[Cell]) -> tuple[dict[str, Fate], Tables]:
    """By trial, what became of these cells' trials, and what is recorded of them."""
    trials = [trial for cell in cells for trial in cell.trials]
    attempts = store.failed_attempts()
    tables = among(store, records, attempts, {trial.id for trial in trials})
    given_up = set[str]()
    if tables.failed:
        units = expand.units(replace(launch, settled=tuple(cells)))
        given_up = {of.trial.id for of in compare(units, records, attempts, [], launch.sweep.max_attempts).given_up}
    steps = [max(cell.steps) for cell in cells for _ in cell.trials]
    rows = seeds(frame_of(trials, {}, steps), tables, launch.sought).with_columns(pl.col("trial_id").cast(pl.String))
    took = tables.records.group_by("trial_id").agg(pl.sum("seconds"))
    rows = rows.join(took, on="trial_id", how="left").select("trial_id", "score", "outcome", "seconds")
    made = dict[str, Fate]()
    for trial, score, outcome, seconds in rows.iter_rows():
        diverged = outcome == Outcome.diverged.value
        value = 0.0 if diverged else np.nan if score is None else score
        is_over = diverged or score is not None or trial in given_up
        made[trial] = Fate(value, np.nan if seconds is None else seconds, is_over, diverged)
    return made, tables
