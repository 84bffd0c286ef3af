"""Configs as records keep them, read back as what they were: trials, evaluations, units of work."""

import json
import types
import typing
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from em.errors import InputError
from em.store.record import Record
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit

RENAMED = {
    "problem_field": "problem_fields",
    "answer_field": "answer_fields",
}  # of a benchmark: one became several

OLDER = "check out the older version"


def trial_of(record: Record) -> Trial:
    """The trial that a record is of; raises InputError where today's config makes another one of it."""
    trial = config_of(Trial, json.loads(record.trial))
    if trial.id != record.trial_id:
        raise InputError(f"trial {record.trial_id}: by this version's reading it is {trial.id}; {OLDER}")
    return trial


def evaluations_of(record: Record) -> dict[str, Evaluation]:
    """By id."""
    found = json.loads(record.evaluations_config)
    for evaluation in found.values():
        benchmark = evaluation["benchmark"]
        for old, new in RENAMED.items():
            if old in benchmark:
                benchmark[new] = [benchmark.pop(old)]
    return {key: config_of(Evaluation, evaluation) for key, evaluation in found.items()}


def unit_of(record: Record) -> Unit:
    """The unit of work that a record is of; raises InputError where today's config makes another trial of it."""
    if not record.measurements:
        raise InputError(f"{record.unit_id}: recorded by a version that did not say what was to be measured")
    evaluations = evaluations_of(record)
    measurements = (Measurement(key.step, evaluations[key.evaluation_id]) for key in record.measurements)
    unit = Unit(trial_of(record), tuple(measurements))
    if unit.id != record.unit_id:
        raise InputError(f"{record.unit_id}: by this version's reading it is {unit.id}; {OLDER}")
    return unit


def config_of(kind: Any, plain: Any) -> Any:
    """A value of a type of em.trial.config from the JSON that a record keeps of it.

    Not by OmegaConf, which takes `${` in a prompt for an interpolation, and `???` for a value that is missing.
    """
    if typing.get_origin(kind) is types.UnionType:  # T | None
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    if plain is None:
        return None
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if unknown := sorted(set(plain) - set(hints)):
            raise InputError(f"{unknown[0]}: no field of this version, a later one recorded it; check that out")
        return kind(**{name: config_of(hints[name], value) for name, value in plain.items()})  # type: ignore[operator]
    return kind(plain) if isinstance(kind, type) and issubclass(kind, Enum) else plain
