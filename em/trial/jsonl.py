"""Rows of prompts and problems, from JSONL files or elsewhere, with errors that name file and line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em.errors import InputError, unknown_name


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
        if not isinstance(value, int | float):
            raise InputError(f"{self.where}: {name}={value!r}: must be a number")
        return value

    def text(self, name: str) -> str:
        """A text or a number as text, texts as lines, a chat that is one message of the user as that message."""
        match value := self.value(name):
            case str() | int() | float():
                return str(value)
            case [{"role": "user", "content": str(text)}]:
                return text
            case [str(), *rest] if all(isinstance(line, str) for line in rest):
                return "\n".join(value)
        raise InputError(f"{self.where}: {name}={str(value)[:40]}: must be text, a number or one message of a user")


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
                values = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not a JSON object ({error.msg})") from None
            except UnicodeDecodeError:
                raise InputError(f"{path}:{number}: not UTF-8 text") from None
            if not isinstance(values, dict):
                raise InputError(f"{path}:{number}: not a JSON object ({line.decode().strip()[:30]})")
            empty = False
            yield Row(values, f"{path}:{number}")
    if empty:
        raise InputError(f"{config_field}={path}: the file holds no rows")
