"""Rows of prompts and problems, from JSONL files or elsewhere, with errors that name file and line.

Numbers keep the digits that the file has: 0.10 is the text "0.10", and an integer of 1,000 digits all of them.
"""

import codecs
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em.errors import InputError, require, unknown_name
from em.paths import expanded

LONGEST_NUMBER = 1000  # digits of what is read as a number
LISTED = 20  # files that an error lists
ITS_LINES = "write one JSON object a line"
ARRAY = f"{ITS_LINES}, without brackets and commas around them"
FORMATS = {  # by how a file begins
    b"\x1f\x8b": ("compressed", "unpack it with gunzip"),
    b"BZh": ("compressed", "unpack it with bunzip2"),
    b"\xfd7zXZ": ("compressed", "unpack it with unxz"),
    b"\x28\xb5\x2f\xfd": ("compressed", "unpack it with unzstd"),
    b"PK\x03\x04": ("a zip archive", "unpack it"),
    b"PAR1": ("a Parquet file", ITS_LINES),
    b"ARROW1": ("an Arrow file", ITS_LINES),
    codecs.BOM_UTF32_LE: ("in UTF-32", "save it as UTF-8"),
    codecs.BOM_UTF32_BE: ("in UTF-32", "save it as UTF-8"),
    codecs.BOM_UTF16_LE: ("in UTF-16", "save it as UTF-8"),
    codecs.BOM_UTF16_BE: ("in UTF-16", "save it as UTF-8"),
    b"{\0": ("in UTF-16", "save it as UTF-8"),
    b"\0{": ("in UTF-16", "save it as UTF-8"),
}


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
        """A field; one within another by its dotted path, `reward_model.ground_truth`."""
        owner, _, rest = name.partition(".")
        if name not in self.values and rest and isinstance(self.values.get(owner), dict):
            return Row(self.values[owner], self.where).value(rest)
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

    def question(self, names: Sequence[str]) -> str:
        """Fields as lines of what a model is asked; raises InputError where that is empty, or no text."""
        text, said = "\n".join(map(self.text, names)), f"{self.where}: {', '.join(names)}"
        require_question(text, said)
        return text


def require_question(text: str, said: str) -> None:
    """Raise InputError, which begins with `said`, for what a model cannot be asked."""
    require(bool(text.strip()), said, repr(text), "is empty; give it a text, or leave it out")
    require(is_unicode(text), said, shown(text), "must be whole characters: no NUL, no half of a surrogate pair")


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
    file = expanded(path)
    said, empty = f"{config_field}={path}", True
    try:
        require_file(file, said)
        with file.open("rb") as lines:
            require_jsonl(lines.peek(8)[:8], said)
            for number, line in enumerate(lines, 1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if content.strip():
                    yield Row(_object(content, f"{path}:{number}"), f"{path}:{number}")
                    empty = False
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{said}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if empty:
        raise InputError(f"{said}: the file holds no rows")


def require_file(file: Path, said: str) -> None:
    """Raise InputError, which begins with `said`, for what is no file."""
    if file.is_file():
        return
    folder, wrong = (file, "is a folder, name a file") if file.is_dir() else (file.parent, "no such file")
    if file.exists() and not file.is_dir():
        wrong = "is a pipe or a device, name a file"
    near = sorted(item.name for item in folder.glob("*.jsonl")) if folder.is_dir() else []
    listed = ", ".join(near[:LISTED]) + ", ..." * (len(near) > LISTED)
    raise InputError(f"{said}: {wrong}{f'; {folder} holds {listed}' if near else ''}")


def require_jsonl(start: bytes, said: str) -> None:
    """Raise InputError where a file begins as those of another format do."""
    for magic, (kind, remedy) in FORMATS.items():
        if start.startswith(magic):
            raise InputError(f"{said}: is {kind}, not JSONL in UTF-8; {remedy}")


def _object(line: bytes, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise InputError(f"{where}: the field {shown(twice)} stands there twice; keep one of them")
        return made

    try:
        values = json.loads(
            line.decode(), parse_int=_integer, parse_float=_decimal, parse_constant=NoNumber, object_pairs_hook=unique
        )
    except json.JSONDecodeError as error:
        wrong = f"not a JSON object ({error.msg}); {ARRAY if line.lstrip().startswith(b'[') else ITS_LINES}"
    except RecursionError:
        wrong = f"not a JSON object (nested too deep); {ITS_LINES}"
    except UnicodeDecodeError:
        wrong = "not UTF-8 text; save the file as UTF-8"
    else:
        if isinstance(values, dict):
            return values
        wrong = f"not a JSON object ({line.decode().strip()[:30]}); {ARRAY if isinstance(values, list) else ITS_LINES}"
    raise InputError(f"{where}: {wrong}")
