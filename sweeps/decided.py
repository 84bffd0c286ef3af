"""Cells get seeds in rounds until each is decided against the best one of its base model.

A decision follows from the records alone: rounds are looked at in the order of seeds, once it is known what became of
all that a round has.  A seed that diverged has a score of 0; one that was given up has none, and holds up nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from analysis.sequential import Race, Verdict, race
from analysis.tables import Tables
from em.store import Store
from em.trial.evaluation import Evaluation
from sweeps import expand
from sweeps.config import Launch
from sweeps.grids import Cell
from sweeps.outcomes import fates
from sweeps.source import Growing


@dataclass(frozen=True)
class Decided(Growing):
    launch: Launch
    store: Store

    def settled(self, records: pl.DataFrame) -> Launch:
        return self.cut(records, at_most=False)

    def at_most(self, records: pl.DataFrame) -> Launch:
        return self.cut(records, at_most=True)

    def cut(self, records: pl.DataFrame, at_most: bool) -> Launch:
        """The sweep with each cell's seeds by now or, of those that are not decided, all that they may still get."""
        cells = expand.cells(self.launch)
        score, known, resolution = self.outcomes(records)
        made = list(cells)
        for group in groups(cells):
            ids = [[trial.id for trial in cells[place].trials] for place in group]
            ran = self.race(ids, score, known, resolution)
            for place, seeds, verdict in zip(group, ran.seeds, ran.verdicts, strict=True):
                trials = cells[place].trials
                is_open = verdict is Verdict.undecided and seeds < len(trials)
                kept = trials if is_open and at_most else trials[:seeds]
                made[place] = replace(cells[place], trials=kept, verdict=verdict.value, is_open=is_open)
        return replace(self.launch, settled=tuple(made))

    def race(self, ids: list[list[str]], score: dict[str, float], known: set[str], resolution: float) -> Race:
        stopping = self.launch.stopping
        scores_CS = np.array([[score.get(trial, np.nan) for trial in of] for of in ids])
        known_CS = np.array([[trial in known for trial in of] for of in ids])
        looks = stopping.looks(scores_CS.shape[1])
        return race(scores_CS, known_CS, looks, stopping.error, stopping.margin, resolution)

    def outcomes(self, records: pl.DataFrame) -> tuple[dict[str, float], set[str], float]:
        """Scores by trial, the trials of which it is known what became of them, and the share of one answer."""
        sought = self.launch.sought
        found, tables = fates(self.launch, self.store, records, expand.cells(self.launch), sought)
        score = {trial: of.score for trial, of in found.items() if np.isfinite(of.score)}
        known = {trial for trial, of in found.items() if of.is_over}
        return score, known, share_of_one_answer(tables, sought.evaluations)


def groups(cells: Sequence[Cell]) -> list[list[int]]:
    """The places of the trained cells of each base model, which are compared with each other."""
    by_base = dict[str, list[int]]()
    for place, cell in enumerate(cells):
        if not cell.trials[0].is_base:
            by_base.setdefault(cell.trials[0].base.id, []).append(place)
    return list(by_base.values())


def share_of_one_answer(tables: Tables, evaluations: Sequence[Evaluation]) -> float:
    """The least difference of two scores, in the mean over benchmarks; 0 where nothing is recorded."""
    own = pl.col("evaluation_id").is_in([item.id for item in evaluations])
    most = tables.scores.filter(own).select((pl.col("problems") * pl.col("samples")).max()).item()
    return 1 / (most * len(evaluations)) if most else 0.0
