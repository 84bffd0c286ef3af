"""JSONL files of prompts and problems, read with errors that name file and line."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from em.errors import InputError, unknown_name


def rows(path: str, config_field: str, fields: Sequence[str]) -> Iterator[list[str]]:
    """The named fields of each line's object, as texts; raises InputError with file and line where one has them not."""
    file = Path(path).expanduser()
    if not file.is_file():
        near = sorted(str(item.name) for item in file.parent.glob("*.jsonl")) if file.parent.is_dir() else []
        found = f"; {file.parent} holds {', '.join(near)}" if near else ""
        raise InputError(f"{config_field}={path}: no such file{found}")
    empty = True
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: not a JSON object ({error.msg})") from None
            except UnicodeDecodeError:
                raise InputError(f"{path}:{number}: not UTF-8 text") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}: not a JSON object ({line.decode().strip()[:30]})")
            for name in fields:
                if name not in row:
                    raise InputError(f"{path}:{number}: {unknown_name('field', name, row)}")
            empty = False
            yield [text_of(row[name], f"{path}:{number}: {name}") for name in fields]
    if empty:
        raise InputError(f"{config_field}={path}: the file holds no rows")


def text_of(value: Any, where: str) -> str:
    """A text or a number as text; a chat that is one message of the user as that message."""
    match value:
        case str() | int() | float():
            return str(value)
        case [{"role": "user", "content": str(text)}]:
            return text
    raise InputError(f"{where}={str(value)[:40]}: must be a text, a number or one message of a user")
