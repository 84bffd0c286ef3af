"""What a thing IS, as a short hash of its content: the ids of trials and evaluations.

Only scientific fields count.  A field whose metadata says `identity=False` (where a file lies, how much memory an
engine may take) never enters; a field at its default is left out, so that a new option changes no old id.
"""

import dataclasses
import hashlib
import json
from enum import Enum
from functools import cache
from typing import Any

ID_CHARACTERS = 16  # hexadecimal: 64 bits, a collision among 10^6 trials has probability 3e-8


def not_identity(**kwargs: Any) -> Any:
    """A dataclass field that does not change what is measured."""
    return dataclasses.field(metadata={"identity": False}, **kwargs)


def added(**kwargs: Any) -> Any:
    """A field that records of before do not have: left out of a record while it is at its default."""
    return dataclasses.field(metadata={"added": True}, **kwargs)


def absent(**kwargs: Any) -> Any:
    """A field that was added, and does not change what is measured."""
    return dataclasses.field(metadata={"identity": False, "added": True}, **kwargs)


def canonical(value: Any) -> Any:
    """`value` as plain JSON data that holds only what identifies it.

    A dataclass may define `identity()` to say this itself, made of `fields_off_default` (a model is its weights, not
    the folder they lie in).  The result is kept on the instance: thousands of trials share their parts, and no part
    changes once it is composed.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if "_canonical" not in value.__dict__:
            own = getattr(value, "identity", None)
            value.__dict__["_canonical"] = own() if own else fields_off_default(value)
        return value.__dict__["_canonical"]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def fields_off_default(value: Any) -> dict[str, Any]:
    """The identifying fields of a dataclass that differ from their defaults, canonical."""
    items = ((name, canonical(getattr(value, name)), default) for name, default in defaults(type(value)).items())
    return {name: item for name, item, default in items if item != default}


def capacity_fields(kind: type) -> list[str]:
    """The fields of a dataclass that do not identify it."""
    return [item.name for item in dataclasses.fields(kind) if not item.metadata.get("identity", True)]


@cache
def defaults(kind: type) -> dict[str, Any]:
    """The canonical default of each identifying field of a dataclass; MISSING where it has none."""
    by_name = {}
    for field in dataclasses.fields(kind):
        if field.metadata.get("identity", True):
            made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            by_name[field.name] = canonical(made) if made is not dataclasses.MISSING else made
    return by_name


def content_id(value: Any) -> str:
    """The id of anything `canonical` takes."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_CHARACTERS]
