"""Fields of a config by their dotted paths: how an axis of a sweep varies a trial."""

import dataclasses
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from em.errors import InputError, require, require_known
from em.trial.identity import capacity_fields


def with_value(config: Any, path: str, value: Any) -> Any:
    """`config` with the field at a dotted path replaced, every check run again; the value is of the field's type."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: with_value(getattr(config, name), rest, value) if rest else value})


def typed_value(config: Any, path: str, value: Any) -> Any:
    """`value` as the type that the field at a dotted path has: what Hydra does with a value of the command line.

    Raises InputError where the path names no field, names one that does not identify a trial, or the types disagree.
    """
    name, _, rest = path.partition(".")
    fields = {item.name: item for item in dataclasses.fields(config)}
    require_known("field", name, fields)
    if rest:
        require(dataclasses.is_dataclass(getattr(config, name)), name, rest, "this field has no fields of its own")
        return typed_value(getattr(config, name), rest, value)
    require(not dataclasses.is_dataclass(getattr(config, name)), name, value, "vary one of its fields")
    require(name not in capacity_fields(type(config)), name, value, "it changes nothing of what a trial is")
    node: Any = OmegaConf.structured(type(config))
    try:
        node[name] = value
    except OmegaConfBaseException as error:
        raise InputError(f"{name}={value}: {str(error).splitlines()[0]}") from None
    return OmegaConf.to_object(node[name]) if OmegaConf.is_config(node[name]) else node[name]
