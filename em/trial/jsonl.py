"""Rows of prompts and problems, from JSONL files or elsewhere, with errors that name file and line.

Numbers keep the digits that the file has: 0.10 is the text "0.10", and an integer of 1,000 digits all of them.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em.errors import InputError, unknown_name

LONGEST_NUMBER = 1000  # digits of what is read as a number


class Float(float):
    """A float that is written as in its file."""

    def __new__(cls, spelling: str) -> "Float":
        made = super().__new__(cls, spelling)
        made.spelling = spelling
        return made

    spelling: str

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True)
class NoNumber:
    """What stands in a file as a number, and is none that we take: NaN, Infinity, an integer of 5,000 digits."""

    spelling: str

    def __repr__(self) -> str:
        return self.spelling


def is_number(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


@dataclass(frozen=True)
class Row:
    values: dict[str, Any]
    where: str  # file and line, for errors

    def value(self, name: str) -> Any:
        if name not in self.values:
            raise InputError(f"{self.where}: {unknown_name('field', name, self.values)}")
        return self.values[name]

    def number(self, name: str) -> float:
        value = self.value(name)
        if not is_number(value):
            raise InputError(f"{self.where}: {name}={shown(value)}: must be a number")
        return value

    def text(self, name: str) -> str:
        """A text or a number as text, texts as lines, a chat that is one message of the user as that message."""
        match value := self.value(name):
            case str():
                return value
            case int() | float() if is_number(value):
                return str(value)
            case [{"role": "user", "content": str(text)}]:
                return text
            case [str(), *rest] if all(isinstance(line, str) for line in rest):
                return "\n".join(value)
        raise InputError(f"{self.where}: {name}={shown(value)}: must be text, a number or one message of a user")


def shown(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8 and read by everything: no half of a surrogate pair, no NUL."""
    return not any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text)


def _integer(digits: str) -> int | NoNumber:
    return int(digits) if len(digits) <= LONGEST_NUMBER else NoNumber(digits)


def _decimal(digits: str) -> Float | NoNumber:
    number = Float(digits)
    return number if math.isfinite(number) and len(digits) <= LONGEST_NUMBER else NoNumber(digits)


def rows(path: str, config_field: str) -> Iterator[Row]:
    """The objects of a JSONL file; raises InputError with file and line where one is none."""
    file = Path(path).expanduser()
    if not file.is_file():
        folder, wrong = (file, "is a folder, name a file") if file.is_dir() else (file.parent, "no such file")
        near = sorted(item.name for item in folder.glob("*.jsonl"))
        holds = f"; {folder} holds {', '.join(near)}" if near else ""
        raise InputError(f"{config_field}={path}: {wrong}{holds}")
    empty = True
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line, parse_int=_integer, parse_float=_decimal, parse_constant=NoNumber)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not a JSON object ({error.msg})") from None
            except RecursionError:
                raise InputError(f"{path}:{number}: not a JSON object (nested too deep)") from None
            except UnicodeDecodeError:
                raise InputError(f"{path}:{number}: not UTF-8 text") from None
            if not isinstance(values, dict):
                raise InputError(f"{path}:{number}: not a JSON object ({line.decode().strip()[:30]})")
            empty = False
            yield Row(values, f"{path}:{number}")
    if empty:
        raise InputError(f"{config_field}={path}: the file holds no rows")
