"""What a store says of each claim of the paper (Gao et al., 2025, arXiv 2505.20282): one module for each claim.

A claim is contrasts, each a number and the side that it is claimed to lie on.  Their intervals hold together with 95%
confidence (Bonferroni within the claim).  It holds where every interval lies on its side, it does not where one lies
wholly off it, and else nobody can tell.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Protocol, cast

import polars as pl
from numpy.random import default_rng

from analysis.draw import warnings
from analysis.findings.contrasts import Contrast
from analysis.seeds import Headline, Outcome, observe, seeds
from analysis.stats import CONFIDENCE
from analysis.tables import Tables
from em.trial.evaluation import Evaluation

CLAIMS = ("t1", "t2", "f1", "f2", "f3", "f4", "f5", "f6", "s", "d", "n")  # a module each: tables, figures, what else


class Verdict(Enum):
    holds = "holds"
    fails = "does not hold"
    unclear = "cannot tell"
    gap = "not recorded"


@dataclass(frozen=True)
class Effect:
    """A contrast as measured, with its interval, simultaneous within the claim."""

    name: str
    value: float | None  # null: nothing to compute it from
    low: float | None  # null: too few seeds
    high: float | None
    n: int  # seeds
    unit: str
    claimed_low: float | None  # it is claimed to lie above this ...
    claimed_high: float | None  # ... and below that; null: no such end

    @property
    def holds(self) -> bool:
        low, high = self.claimed
        return self.low is not None and self.high is not None and self.low > low and self.high < high

    @property
    def fails(self) -> bool:
        low, high = self.claimed
        return self.low is not None and self.high is not None and (self.high < low or self.low > high)

    @property
    def claimed(self) -> tuple[float, float]:
        low, high = self.claimed_low, self.claimed_high
        return -math.inf if low is None else low, math.inf if high is None else high


@dataclass(frozen=True)
class Finding:
    id: str
    claim: str
    verdict: Verdict
    effects: Sequence[Effect]
    units: Sequence[str]  # ids of the records that it rests on
    notes: Sequence[str]  # what a reader should know, and what would record what is missing


@dataclass(frozen=True)
class Part:
    """A sweep that claims rest on: what it wants, and what is recorded of it."""

    name: str
    axes: Sequence[str]
    cells: pl.DataFrame  # as of `analysis.seeds.cells`
    headline: Headline
    evaluations: Sequence[Evaluation]  # that scores are reported on, at all temperatures
    steps: Sequence[int]  # that it measures
    rate: float  # learning rate, where it is not varied
    command: str  # that records what is missing
    tables: Tables

    @property
    def temperatures(self) -> list[float]:
        """Of evaluation."""
        return sorted({item.temperature for item in self.evaluations})

    def observed(self, steps: Sequence[int | None] = (None,), temperatures: Sequence[float] = ()) -> pl.DataFrame:
        """As of `analysis.seeds.observe`, a step once; without temperatures at the headline's."""
        at = temperatures or [self.headline.temperature]
        rows = observe(self.cells, self.tables, self.evaluations, steps, at)
        return rows.unique(["trial_id", "step", "temperature"], maintain_order=True)


class Claim(Protocol):
    """What the module of a claim holds; its docstring says how the claim is made a number, and of which unit."""

    ID: str
    CLAIM: str  # one sentence
    SWEEPS: Sequence[str]  # that it rests on

    def contrasts(self, parts: Mapping[str, Part]) -> list[Contrast]:
        """Of those of its sweeps that have a score, at least one, by name."""
        ...


def claims() -> list[Claim]:
    return [cast(Claim, import_module(f"{__name__}.{name}")) for name in CLAIMS]


def all_of(parts: Sequence[Part]) -> list[Finding]:
    """What is found of every claim that rests on one of these sweeps.  The same records give the same findings."""
    by_name = {part.name: part for part in parts}
    return [found(claim, by_name) for claim in claims() if by_name.keys() & set(claim.SWEEPS)]


def found(claim: Claim, parts: Mapping[str, Part]) -> Finding:
    """Without a seed of any effect it is not recorded, and one that lacks a whole sweep cannot hold yet."""
    asked = [parts[name] for name in claim.SWEEPS if name in parts]
    outcomes = [seeds(part.cells, part.tables, part.headline) for part in asked]
    recorded = {part.name: part for part, rows in zip(asked, outcomes, strict=True) if rows["score"].count()}
    effects = measured(claim.contrasts(recorded)) if recorded else []
    verdict = judged(effects)
    if verdict is Verdict.holds and len(recorded) < len(claim.SWEEPS):
        verdict = Verdict.unclear
    remedy = f"not asked for; take sweep={','.join(claim.SWEEPS)}"
    notes = [f"sweep {name}: {remedy}" for name in claim.SWEEPS if name not in parts]
    notes += [
        f"sweep {part.name}: {note}"
        for part, rows in zip(asked, outcomes, strict=True)
        for note in notes_of(part, rows)
    ]
    rested = () if verdict is Verdict.gap else recorded.values()
    units = sorted({unit for part in rested for unit in units_of(part)})
    return Finding(claim.ID, claim.CLAIM, verdict, tuple(effects), tuple(units), tuple(notes))


def measured(contrasts: Sequence[Contrast]) -> list[Effect]:
    """Each at a confidence at which all hold together."""
    rng, effects = default_rng(0), list[Effect]()
    for contrast in contrasts:
        value, low, high = contrast.interval(rng, 1 - (1 - CONFIDENCE) / len(contrasts))
        effects.append(
            Effect(
                name=contrast.name,
                value=finite(value),
                low=finite(low),
                high=finite(high),
                n=contrast.n,
                unit=contrast.unit,
                claimed_low=finite(contrast.claimed[0]),
                claimed_high=finite(contrast.claimed[1]),
            )
        )
    return effects


def finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def judged(effects: Sequence[Effect]) -> Verdict:
    if not any(effect.n for effect in effects):
        return Verdict.gap
    if any(effect.fails for effect in effects):
        return Verdict.fails
    return Verdict.holds if all(effect.holds for effect in effects) else Verdict.unclear


def notes_of(part: Part, rows: pl.DataFrame) -> list[str]:
    """What a reader should know of a sweep's scores (of `analysis.seeds.seeds`), and the command for the rest."""
    notes, axes = [], list(part.axes)
    for outcome in (Outcome.diverged, Outcome.failed, Outcome.missing):
        if lost := int((rows["outcome"] == outcome.value).sum()):
            remedy = f": {part.command}" if outcome is Outcome.missing else ""
            notes.append(f"{lost:,} of {len(rows):,} trials {outcome.value}{remedy}")
    return notes + warnings(axes, rows)


def units_of(part: Part) -> list[str]:
    """The records of its trials, and of what they started from."""
    trials = {*part.cells["trial_id"], *part.cells["base_id"], *part.cells["start_id"]}
    return part.tables.records.filter(pl.col("trial_id").is_in(trials))["unit_id"].to_list()
