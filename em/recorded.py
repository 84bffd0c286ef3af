"""Configs as records keep them, read back as what they were: trials, evaluations, units of work."""

import json
from typing import Any, TypeVar

from omegaconf import OmegaConf

from em.config import Evaluation, Measurement, Trial, Unit
from em.errors import InputError

ConfigT = TypeVar("ConfigT")

RENAMED = {
    "problem_field": "problem_fields",
    "answer_field": "answer_fields",
}  # of a benchmark: one became several


def trial_of(record: dict[str, Any]) -> Trial:
    return config_of(Trial, json.loads(record["trial"]))


def evaluations_of(record: dict[str, Any]) -> dict[str, Evaluation]:
    """By id."""
    found = json.loads(record["evaluations_config"])
    for evaluation in found.values():
        benchmark = evaluation["benchmark"]
        for old, new in RENAMED.items():
            if old in benchmark:
                benchmark[new] = [benchmark.pop(old)]
    return {key: config_of(Evaluation, evaluation) for key, evaluation in found.items()}


def unit_of(record: dict[str, Any]) -> Unit:
    """The unit of work that a record is of; raises InputError where today's config makes another trial of it."""
    if not record["measurements"]:
        raise InputError(f"{record['unit_id']}: recorded by a version that did not say what was to be measured")
    evaluations = evaluations_of(record)
    measurements = (Measurement(key["step"], evaluations[key["evaluation_id"]]) for key in record["measurements"])
    unit = Unit(trial_of(record), tuple(measurements))
    if unit.id != record["unit_id"]:
        raise InputError(f"{record['unit_id']}: by this version's reading it is {unit.id}; check out the older version")
    return unit


def config_of(kind: type[ConfigT], plain: dict[str, Any]) -> ConfigT:
    """A dataclass of em.config from the JSON that a record keeps of it."""
    made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), plain))
    assert isinstance(made, kind)
    return made
