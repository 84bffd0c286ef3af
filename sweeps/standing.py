"""What the store holds of a sweep: its plan, its seeds, what failed.  Needs neither Ray nor torch nor vLLM."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.seeds import base_score, seeds
from analysis.tables import Tables, among
from em.cli.command import terminal
from em.errors import InputError
from em.store import Store
from sweeps import expand, figures
from sweeps.board import Notice, notices
from sweeps.config import Launch
from sweeps.plan import Plan, compare
from sweeps.source import Growing, settled, source_of


@dataclass(frozen=True)
class Standing:
    plan: Plan
    parts: list[tuple["Observer", pl.DataFrame]]  # the sweeps of a union, and their seeds
    seeds: pl.DataFrame  # one row for each wanted trial, made by `analysis.seeds.seeds`; of a union of all its sweeps
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
        self.store = Store(config.store)
        self.source = source_of(config, self.store)
        self.expand(settled(config, self.store, self.source))
        self.drawable = True
        self.seen: tuple[set[str], Counter[str]] | None = None
        self.standing: Standing

    def expand(self, config: Launch) -> None:
        self.config, self.parts = config, [Observer(part) for part in config.parts]
        self.units = expand.units(config)
        self.trial_ids = {unit.trial.id for unit in self.units}
        if not self.parts:
            self.wanted, self.headline = expand.frame(config), config.headline()
            self.cell = config.sweep.varied or ["model"]  # the columns that make a cell

    def follow(self, records: pl.DataFrame) -> None:
        """Take in what these records make the sweep want more."""
        if isinstance(self.source, Growing):
            self.expand(self.source.settled(records))

    def look(self) -> Standing:
        stored = self.store.recorded_units(), self.store.failed_attempts()
        if stored != self.seen:
            self.standing, self.seen = self.count(stored[1]), stored
        return self.standing

    def count(self, attempts: Counter[str]) -> Standing:
        stored, damaged = self.store.records()
        self.follow(stored)
        tables = among(self.store, stored, attempts, self.trial_ids)
        parts = [(part, part.seeds(tables)) for part in self.parts]
        common = ["trial_id", "base_id", "temperature", "base_score", "score", "outcome"]
        together = [own.select(common) for _, own in parts]
        own = pl.concat(together) if together else self.seeds(tables)
        return Standing(
            plan=compare(self.units, stored, attempts, damaged, self.config.sweep.max_attempts),
            parts=parts,
            seeds=own,
            base=base_score(own),
            diverged=len(tables.diverged),
            failed=sum(tables.failed_attempts.values()),
        )

    def seeds(self, tables: Tables) -> pl.DataFrame:
        return seeds(self.wanted, tables, self.headline)

    def launches(self) -> list[Notice]:
        """The launches of the sweep that are live, else the last one."""
        own = notices(self.store, self.config.sweep.name)
        return [notice for notice in own if notice.is_live] or own[-1:]

    def draw(self) -> list[Path]:
        """The files of the figures; none where there is nothing to draw, or the store can only be read."""
        if not self.drawable:
            return []
        try:
            return [
                path for of in figures.draw_all(self.config, self.store, terminal(quiet=True)).values() for path in of
            ]
        except InputError:  # nothing is scored yet, or a figure cannot show the sweep
            return []
        except OSError:
            self.drawable = False
            return []
