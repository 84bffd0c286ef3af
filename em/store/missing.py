"""Planning is set arithmetic: wanted measurements minus recorded ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from em.store.record import Status
from em.trial.unit import Unit


def missing_units(wanted: Iterable[Unit], records: pl.DataFrame) -> list[Unit]:
    """Wanted measurements minus those in a store's `records`, as units of work."""
    wanted = list(wanted)
    recorded = set(records["unit_id"])
    left = {unit.trial.id for unit in wanted if unit.id not in recorded}
    by_trial: dict[str, list[Mapping[str, Any]]] = {}
    known = records.filter(pl.col("trial_id").is_in(left)).select(
        "trial_id", "unit_id", "status", "evaluations", steps=pl.col("steps").list.len()
    )
    for row in known.iter_rows(named=True):
        by_trial.setdefault(row["trial_id"], []).append(row)
    parts = (missing(unit, by_trial.get(unit.trial.id, [])) for unit in wanted if unit.id not in recorded)
    return [unit for unit in parts if unit is not None]


def missing(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> Unit | None:
    """The part of a unit that no record of its trial holds yet, or None.

    A diverged trial has no later measurements to make.
    """
    if not rows:
        return unit
    held = {(result["step"], result["evaluation_id"]) for row in rows for result in row["evaluations"]}
    diverged_after = min((row["steps"] - 1 for row in rows if row["status"] == Status.diverged), default=float("inf"))
    left = tuple(m for m in unit.measurements if m.key not in held and m.step <= diverged_after)
    if not left:
        return None
    longest = max(rows, key=lambda row: (row["steps"], row["unit_id"]))
    return replace(unit, measurements=left, source=longest["unit_id"], whole=unit.measurements)
