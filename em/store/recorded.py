"""What a record is of: its trial, evaluations, unit of work, read back from the configs that it keeps."""

import json

from em.errors import InputError
from em.store.record import Record
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from em.trial.written import config_of, trial_from

RENAMED = {"problem_field": "problem_fields", "answer_field": "answer_fields"}  # of a benchmark: one became several
OLDER = "check out the older version"


def trial_of(record: Record) -> Trial:
    """The trial that a record is of; raises InputError where today's config makes another one of it."""
    trial = trial_from(json.loads(record.trial))
    if trial.id != record.trial_id:
        raise InputError(f"trial {record.trial_id}: by this version's reading it is {trial.id}; {OLDER}")
    return trial


def evaluations_of(record: Record) -> dict[str, Evaluation]:
    """By id."""
    written = json.loads(record.evaluations_config)
    for evaluation in written.values():
        benchmark = evaluation["benchmark"]
        for old, new in RENAMED.items():
            if old in benchmark:
                benchmark[new] = [benchmark.pop(old)]
    return {key: config_of(Evaluation, evaluation) for key, evaluation in written.items()}


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
