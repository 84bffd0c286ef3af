"""Fields of a config by their dotted paths: how an axis of a sweep varies a trial."""

import dataclasses
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from em.errors import InputError, require, require_known
from em.trial.identity import capacity_fields
from em.trial.prompts import Prompts


def with_value(config: Any, path: str, value: Any) -> Any:
    """`config` with the field at a dotted path replaced, every check run again; the value is of the field's type."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: with_value(getattr(config, name), rest, value) if rest else value})


def typed_value(config: Any, path: str, value: Any) -> Any:
    """`value` as the type that the field at a dotted path has: what Hydra does with a value of the command line.

    Raises InputError where the path names no field, names one that does not identify a trial, or the types disagree.
    """
    kind, owner, place, name = type(config), config, "", ""
    for name in path.split("."):
        require(dataclasses.is_dataclass(owner), path, value, f"{place[:-1]} has no fields of its own")
        require_known("field", f"{place}{name}", [f"{place}{item.name}" for item in dataclasses.fields(owner)])
        kind, owner, place = type(owner), getattr(owner, name), f"{place}{name}."
    require(not dataclasses.is_dataclass(owner), path, value, "vary one of its fields")
    # What prompts are read from makes their texts, which do identify a trial.
    require(kind is Prompts or name not in capacity_fields(kind), path, value, "it changes nothing of what a trial is")
    node: Any = OmegaConf.structured(kind)
    try:
        node[name] = value
        return OmegaConf.to_object(node[name]) if OmegaConf.is_config(node[name]) else node[name]
    except OmegaConfBaseException as error:
        raise InputError(f"{path}={value}: {str(error).splitlines()[0]}") from None
