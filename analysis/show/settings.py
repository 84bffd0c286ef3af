"""A trial's config as a reader of one trial wants it: dotted paths, what is at its default, what changes no result."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from em.errors import InputError
from em.store.record import Record
from em.trial.method import DEFAULT
from em.trial.trial import Phase, Trial
from em.trial.written import plain, trial_from


class Setting(NamedTuple):
    path: str  # as on the command line; of what came before, before.0.optimizer.lr
    value: Any  # JSON data
    is_default: bool = False
    identifies: bool = True  # part of what the trial is (em.trial.identity)


def read(record: Record) -> tuple[Trial | None, str]:
    """The trial that a record is of and, where this version reads it otherwise or not at all, what to say of that."""
    try:
        trial = trial_from(json.loads(record.trial))
    except InputError as error:
        return None, f"this version cannot read its config: {error}"
    if trial.id != record.trial_id:
        return trial, f"by this version it would be trial {trial.id}: a method, or a default, has changed since"
    return trial, ""


def of_trial(trial: Trial) -> Iterator[Setting]:
    yield from _of(trial.model, "model")
    if trial.phase is not None:
        yield from _of_phase(trial.phase)
    yield from _of(trial.engine, "rollout")
    if trial.phase is not None:
        yield Setting("seed", trial.seed, trial.seed == 0)
    for index, earlier in enumerate(trial.before):
        place = f"before.{index}."
        yield from _of_phase(earlier.phase, place)
        yield Setting(f"{place}steps", earlier.steps)
        yield Setting(f"{place}seed", earlier.seed, earlier.seed == 0)


def as_written(record: Record) -> Iterator[Setting]:
    """Of a config that this version cannot read: all of it, as it is recorded."""
    return (Setting(path, value) for path, value in _leaves(json.loads(record.trial)))


def _of_phase(phase: Phase, place: str = "") -> Iterator[Setting]:
    yield Setting(f"{place}objective", phase.objective.name, phase.objective.name == DEFAULT)
    for name in ("objective", "prompts", "rollout", "optimizer"):
        yield from _of(getattr(phase, name), f"{place}{name}")
    for name, stabiliser in sorted(phase.stabilisers.items()):
        yield Setting(f"{place}stabiliser", name)
        yield from _of(stabiliser, f"{place}stabilisers.{name}")


def _of(config: Any, place: str, identifies: bool = True) -> Iterator[Setting]:
    """The fields of a dataclass."""
    for item in dataclasses.fields(config):
        value, path = getattr(config, item.name), f"{place}.{item.name}"
        identifying = identifies and item.metadata.get("identity", True)
        if dataclasses.is_dataclass(value):
            yield from _of(value, path, identifying)
            continue
        made = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        defaults = dict(_leaves(plain(made), path)) if made is not dataclasses.MISSING else {}
        for name, leaf in _leaves(plain(value), path):
            yield Setting(name, leaf, name in defaults and defaults[name] == leaf, identifying)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted path; a list, and an empty mapping, is one value."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else name)
    else:
        yield path, value
