"""Where a sweep's work comes from."""

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch


class Source(Protocol):
    """Says what a sweep wants measured.

    `wanted` gets the records, one row each (`Store.records`), and returns all units of work that the sweep wants by
    now, the recorded ones too, in the order of work: base models before what is trained from them.  It follows from the
    records alone, so that a launch that goes on wants what the one before wanted: what is left to do is wanted minus
    recorded.

    `follows_results`: whether other records may make it want more.  Then it is asked again after each result, until
    it wants nothing that is not recorded or given up; else it is asked once.
    """

    @property
    def follows_results(self) -> bool: ...

    def wanted(self, records: pl.DataFrame) -> list[Unit]: ...


@dataclass(frozen=True)
class Grid:
    """Every combination of the axes' values, each with its seeds: what is wanted is known from the start."""

    launch: Launch
    follows_results = False

    def wanted(self, records: pl.DataFrame) -> list[Unit]:
        return expand.units(self.launch)


def source_of(launch: Launch) -> Source:
    return Grid(launch)
