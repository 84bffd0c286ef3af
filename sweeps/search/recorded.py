"""Which points of a search's space recorded trials may be of."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import polars as pl
from optuna.distributions import CategoricalDistribution

from em.cli.overrides import choices
from em.trial.fields import parts_of
from em.trial.identity import capacity_fields
from em.trial.prompts import Prompts
from em.trial.trial import Trial
from em.trial.written import plain, trial_from
from sweeps.search.space import Space, holds


def candidates(space: Space, records: pl.DataFrame) -> list[dict[str, Any]]:
    """The values of points that records (`Store.records`) may be of, each once, in the order of trials' ids.

    A trial has the values of its fields, those at their defaults too, which records leave out.  It does not say which
    choice of a group made it, nor which file its texts are of: of these, every choice.
    """
    unsaid = {*choices(), *(f"prompts.{name}" for name in capacity_fields(Prompts))}
    groups = {
        name: kind.choices
        for name, kind in space.items()
        if name in unsaid and isinstance(kind, CategoricalDistribution)
    }
    fields = [name for name in space if name not in groups]
    known = [fields_of(trial) for trial in trained(records)]
    found = [{name: of[name] for name in fields} for of in known if of.keys() >= {*fields}]
    combinations = [dict(zip(groups, values, strict=True)) for values in product(*groups.values())]
    points = [of | more for of in once(found) for more in combinations]
    return [point for point in points if holds(space, point)]


def trained(records: pl.DataFrame) -> list[Trial]:
    """The recorded trials that have a phase, one of those that differ in their seeds alone."""
    texts = records.sort("trial_id")["trial"].unique(maintain_order=True)
    cells = dict.fromkeys(json.dumps(json.loads(text) | {"seed": 0}) for text in texts)
    return [trial for trial in map(trial_from, map(json.loads, cells)) if trial.phase]


def fields_of(trial: Trial) -> dict[str, Any]:
    """The fields of a trial's last phase, as a config has them, by dotted path."""
    return dict([*_flat(trial.phase), *_flat(trial.engine, "rollout.")])


def _flat(owner: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parts_of(owner).items():
        inner = _flat(value, f"{prefix}{name}.") if parts_of(value) else [(f"{prefix}{name}", plain(value))]
        yield from inner


def once(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({repr(point): point for point in points}.values())
