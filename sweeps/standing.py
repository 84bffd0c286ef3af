"""What the store holds of a sweep: its plan, its seeds, what failed.  Needs neither Ray nor torch nor vLLM."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis import load
from em.cli.command import terminal
from em.errors import InputError
from em.store import Store
from sweeps import expand, figures
from sweeps.board import Notice, notices
from sweeps.config import Launch
from sweeps.plan import Plan, compare


@dataclass(frozen=True)
class Standing:
    plan: Plan
    seeds: pl.DataFrame  # one row for each wanted trial, made by `analysis.load.seeds`
    base: float | None  # score of the untrained model; None: there are several, or it is not measured
    diverged: int  # trials
    failed: int  # attempts

    @property
    def trouble(self) -> list[str]:
        """What did not go well, nothing where all did."""
        counts = {
            "diverged": self.diverged,
            "failed attempts": self.failed,
            "given up": len(self.plan.given_up),
            "damaged": len(self.plan.damaged),
        }
        return [f"{count} {name}" for name, count in counts.items() if count]


class Observer:
    """Expands a sweep once, and reads the records again only where there are others than before."""

    def __init__(self, config: Launch) -> None:
        self.config, self.store = config, Store(config.store)
        self.units, self.wanted = expand.units(config), expand.frame(config)
        self.trial_ids = {unit.trial.id for unit in self.units}
        self.cell = [axis.field for axis in config.axes] or ["model"]  # the columns that make a cell
        self.headline = config.headline()
        self.drawable = True
        self.seen: tuple[set[str], Counter[str]] | None = None
        self.standing: Standing

    def look(self) -> Standing:
        stored = self.store.recorded_units(), self.store.failed_attempts()
        if stored != self.seen:
            self.standing, self.seen = self.count(stored[1]), stored
        return self.standing

    def count(self, attempts: Counter[str]) -> Standing:
        stored, damaged = self.store.records()
        records = load.of_trials(stored, self.trial_ids)
        failed = [trial for unit in attempts.elements() if (trial := unit.partition("-")[0]) in self.trial_ids]
        diverged = load.diverged(records)
        seeds = load.seeds(self.wanted, load.scores(records), self.headline, diverged, set(failed))
        return Standing(
            plan=compare(self.units, stored, attempts, damaged, self.config.sweep.max_attempts),
            seeds=seeds,
            base=load.base_score(seeds),
            diverged=len(diverged),
            failed=len(failed),
        )

    def launches(self) -> list[Notice]:
        """The launches of the sweep that are live, else the last one."""
        own = notices(self.store, self.config.sweep.name)
        return [notice for notice in own if notice.is_live] or own[-1:]

    def draw(self) -> list[Path]:
        """The files of the figures; none where there is nothing to draw, or the store can only be read."""
        if not self.drawable:
            return []
        try:
            return figures.draw(self.config, self.wanted, self.store, terminal(quiet=True))
        except InputError:  # nothing is scored yet, or a figure cannot show the sweep
            return []
        except OSError:
            self.drawable = False
            return []
