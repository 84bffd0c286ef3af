"""Where a sweep's work comes from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from em.errors import require
from em.store import Store
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.seeding import Rule


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

    def at_most(self, records: pl.DataFrame) -> Launch:
        """The sweep if the records to come decide for as much as they can, with stand-ins for what is not decided yet:
        what a quote is of."""
        return self.settled(records)

    def is_bounded(self, records: pl.DataFrame) -> bool:
        """Whether it comes to no more than `at_most`."""
        return True

    def wanted(self, records: pl.DataFrame) -> list[Unit]:
        return expand.units(self.settled(records))

    def said(self, records: pl.DataFrame) -> list[str]:
        """What was decided and what came out by now, in words, a line a fact."""
        return []

    def publish(self) -> list[str]:
        """Show elsewhere what was settled last, such as in a database; says where.  Raises InputError where that cannot
        be written; nothing depends on it."""
        return []


class Union(Growing):
    """The sweeps of a union, of which some grow."""

    def __init__(self, launch: Launch, parts: Sequence[Source]) -> None:
        self.launch, self.parts = launch, parts

    def settled(self, records: pl.DataFrame) -> Launch:
        return self.united(lambda part: part.settled(records))

    def at_most(self, records: pl.DataFrame) -> Launch:
        return self.united(lambda part: part.at_most(records))

    def is_bounded(self, records: pl.DataFrame) -> bool:
        return all(part.is_bounded(records) for part in self.parts if isinstance(part, Growing))

    def united(self, made: Callable[[Growing], Launch]) -> Launch:
        both = zip(self.launch.parts, self.parts, strict=True)
        parts = (made(of) if isinstance(of, Growing) else part for part, of in both)
        return replace(self.launch, parts=tuple(parts))

    def said(self, records: pl.DataFrame) -> list[str]:
        return [line for part in self.parts if isinstance(part, Growing) for line in part.said(records)]

    def publish(self) -> list[str]:
        return [line for part in self.parts if isinstance(part, Growing) for line in part.publish()]


def source_of(launch: Launch, store: Store) -> Source:
    if launch.parts:
        parts = [source_of(part, store) for part in launch.parts]
        return Union(launch, parts) if any(part.follows_results for part in parts) else Grid(launch)
    if launch.settled is not None:
        return Grid(launch)
    deciders = {"eval=budget": launch.eval.decided, "search": launch.search.is_on}
    deciders["stopping=decided"] = launch.stopping.rule is Rule.decided
    chosen = [name for name, is_chosen in deciders.items() if is_chosen]
    require(len(chosen) < 2, "sweep", " and ".join(chosen), "each decides what is wanted in its own way; choose one")
    if launch.eval.decided:
        from sweeps.budget import Budget

        return Budget(launch, store)
    if launch.search.is_on:
        from sweeps.search.source import Search  # imports Optuna

        return Search(launch, store)
    if chosen:
        from sweeps.decided import Decided

        return Decided(launch, store)
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
