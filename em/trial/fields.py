"""Fields of a config by their dotted paths: how an axis of a sweep varies a trial."""

import dataclasses
import re
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from em.errors import InputError, require, require_known
from em.trial.identity import capacity_fields
from em.trial.prompts import Prompts


def with_value(config: Any, path: str, value: Any) -> Any:
    """`config` with the field at a dotted path replaced, every check run again; the value is of the field's type."""
    name, _, rest = path.partition(".")
    changed = {name: with_value(parts_of(config)[name], rest, value) if rest else value}
    return config | changed if isinstance(config, dict) else dataclasses.replace(config, **changed)


def parts_of(config: Any) -> dict[str, Any]:
    """The fields of a dataclass, or the dataclasses that a dictionary names (`stabilisers`), by name."""
    if dataclasses.is_dataclass(config):
        return {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    named = isinstance(config, dict) and all(map(dataclasses.is_dataclass, config.values()))
    return config if named else {}


def typed_value(config: Any, path: str, value: Any) -> Any:
    """`value` as the type that the field at a dotted path has: what Hydra does with a value of the command line.

    Raises InputError where the path names no field, names one that does not identify a trial, or the types disagree.
    """
    kind, owner, place, name = type(config), config, "", ""
    for name in path.split("."):
        known = parts_of(owner)
        require(bool(known), path, value, f"{place[:-1]} has no fields of its own")
        require_known("field", f"{place}{name}", [f"{place}{item}" for item in known])
        kind, owner, place = type(owner), known[name], f"{place}{name}."
    require(not parts_of(owner) and kind is not dict, path, value, "vary one of its fields")
    # What prompts are read from makes their texts, which do identify a trial.
    require(kind is Prompts or name not in capacity_fields(kind), path, value, "it changes nothing of what a trial is")
    node: Any = OmegaConf.structured(kind)
    try:
        node[name] = literal(value)
        return OmegaConf.to_object(node[name]) if OmegaConf.is_config(node[name]) else node[name]
    except OmegaConfBaseException as error:
        raise InputError(f"{path}={value}: {str(error).splitlines()[0]}") from None


def literal(value: Any) -> Any:
    """A value for OmegaConf, which takes `${` in a text for an interpolation."""
    match value:
        case str():
            return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        case list():
            return [literal(item) for item in value]
        case dict():
            return {key: literal(item) for key, item in value.items()}
    return value


WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@cache
def type_of(kind: Any, path: str) -> Any:
    """The type of the field at a dotted path of a dataclass, without its None; None where there is no such field."""
    for name in path.split("."):
        if dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind).get(name)
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else None
        kind = next((item for item in get_args(kind) if NoneType in get_args(kind) and item is not NoneType), kind)
    return kind


def type_in(config: Any, path: str) -> Any:
    """`type_of`, in a config that is composed: of a field, too, that its objective or a stabiliser has of its own."""
    *owners, name = path.split(".")
    for owner in owners:
        config = parts_of(config).get(owner)
    return type_of(type(config), name)


def expected(kind: Any, path: str) -> str:
    """What to give a field of this type."""
    if kind in WORDS:
        return f"give {WORDS[kind]}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"choose from {', '.join(item.name for item in kind)}"
    if get_origin(kind) is list:
        return f"give a list, {path}=[...]"
    return f"give its fields one by one, {path}.NAME=VALUE" if path else "python -m em -h lists what can be given"
