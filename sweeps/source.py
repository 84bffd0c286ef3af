"""Where a sweep's work comes from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from em.store import Store
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch


class Source(Protocol):
    """Says what a sweep wants measured.

    `wanted` gets the records, one row each (`Store.records`), and returns all units of work that the sweep wants by
    now, the recorded ones too, in the order of work: base models before what is trained from them.  It follows from the
    records alone, and from what was decided by them before (`Store.decisions`), so that a launch that goes on wants
    what the one before wanted: what is left to do is wanted minus recorded.

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


class Growing(ABC):
    """A source whose records decide which cells the sweep has, how many seeds these, or how they are measured."""

    follows_results = True

    @abstractmethod
    def settled(self, records: pl.DataFrame) -> Launch:
        """The sweep as far as these records decide it: what is wanted of it, and what figures show, is known."""

    def wanted(self, records: pl.DataFrame) -> list[Unit]:
        return expand.units(self.settled(records))


class Union(Growing):
    """The sweeps of a union, of which some grow."""

    def __init__(self, launch: Launch, parts: Sequence[Source]) -> None:
        self.launch, self.parts = launch, parts

    def settled(self, records: pl.DataFrame) -> Launch:
        both = zip(self.launch.parts, self.parts, strict=True)
        parts = (of.settled(records) if isinstance(of, Growing) else part for part, of in both)
        return replace(self.launch, parts=tuple(parts))


def source_of(launch: Launch, store: Store) -> Source:
    if launch.parts:
        parts = [source_of(part, store) for part in launch.parts]
        return Union(launch, parts) if any(part.follows_results for part in parts) else Grid(launch)
    return Grid(launch)


def settled(launch: Launch, store: Store, source: Source | None = None) -> Launch:
    """The sweep as far as its store decides it by now."""
    source = source or source_of(launch, store)
    return source.settled(store.records()[0]) if isinstance(source, Growing) else launch


def opened(arguments: Sequence[str]) -> tuple[Launch, Store]:
    """The sweep of these words, as far as it is decided by now, and its store."""
    launch = compose_launch(arguments)
    store = Store(launch.store)
    return settled(launch, store), store
