"""Configs as JSON data that records keep, and back."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from em.errors import InputError
from em.trial.method import DEFAULT, Method, default_method, method_class
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, Rollout
from em.trial.stabiliser import Stabiliser, stabiliser_class
from em.trial.trial import Phase, Trial


def plain(value: Any) -> Any:
    """A config as JSON data.  A trial is written as one of a single phase has always been: fields of its last phase
    beside those of the model, the engine within `rollout`; what was added since only where it says something."""
    if isinstance(value, Trial):
        phase = parts(value.phase) if value.phase else UNTRAINED
        written = {**phase, "rollout": parts(value.engine) | parts(phase["rollout"])}
        before = {"before": value.before} if value.before else {}
        return plain({"model": value.model, **written, "seed": value.seed, **before})
    if is_dataclass(value):
        method = {"method": value.name} if isinstance(value, Method) and value.name != DEFAULT else {}
        return method | plain(parts(value))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def parts(config: Any) -> dict[str, Any]:
    """The fields of a dataclass, without those that were added later and are at their default."""
    return {
        item.name: getattr(config, item.name)
        for item in dataclasses.fields(config)
        if not item.metadata.get("added") or getattr(config, item.name) not in (item.default, [], {})
    }


ASKED = ("texts", "hub", "select")  # of prompts: one of these has what is trained on
UNTRAINED = {"prompts": Prompts(), "objective": default_method(), "optimizer": Optimizer(), "rollout": Rollout()}


def config_of(kind: Any, written: Any) -> Any:
    """A value of a type of em.trial from what `plain` made of it.

    Not by OmegaConf, which takes `${` in a prompt for an interpolation, and `???` for a value that is missing.
    """
    if kind is Trial:
        return trial_from(written)
    kind, _ = without_none(kind)
    if typing.get_origin(kind) is tuple:
        return tuple(config_of(typing.get_args(kind)[0], item) for item in written)
    if kind == dict[str, Stabiliser]:
        return {name: config_of(stabiliser_class(name), fields) for name, fields in written.items()}
    if written is None or not is_dataclass(kind):
        return kind(written) if isinstance(kind, type) and issubclass(kind, Enum) and written is not None else written
    if kind is Method:
        kind = method_class(written.get("method", DEFAULT))
        written = {name: value for name, value in written.items() if name != "method"}
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(written) - set(hints)):
        raise InputError(f"{unknown[0]}: no field of this version, a later one recorded it; check that out")
    return kind(**{name: config_of(hints[name], value) for name, value in written.items()})  # type: ignore[operator]


def without_none(hint: Any) -> tuple[Any, bool]:
    """T and True for `T | None`, T and False for T."""
    if typing.get_origin(hint) is types.UnionType:
        return next(part for part in typing.get_args(hint) if part is not types.NoneType), True
    return hint, False


def trial_from(written: Mapping[str, Any]) -> Trial:
    names = {item.name for item in dataclasses.fields(EngineConfig)}
    rollout = written["rollout"]
    engine = {name: value for name, value in rollout.items() if name in names}
    sampling = {name: value for name, value in rollout.items() if name not in names}
    outside = {name: value for name, value in written.items() if name in ("model", "seed", "before")}
    phase = {name: value for name, value in written.items() if name not in outside} | {"rollout": sampling}
    hints = typing.get_type_hints(Trial)
    return Trial(
        engine=config_of(EngineConfig, engine),
        phase=config_of(Phase, phase) if any(written["prompts"].get(name) for name in ASKED) else None,
        **{name: config_of(hints[name], value) for name, value in outside.items()},
    )
