"""JSONL files of prompts and problems, read with errors that name file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from em.errors import InputError, unknown_name


def rows(path: str, config_field: str, required: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, each checked to hold the required fields."""
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
            for name in required:
                if name not in row:
                    raise InputError(f"{path}:{number}: {unknown_name('field', name, row)}")
            empty = False
            yield row
    if empty:
        raise InputError(f"{config_field}={path}: the file holds no rows")


def text_of(value: Any) -> str:
    """A prompt as text, also where the file holds it as a one-message chat."""
    return value[0]["content"] if isinstance(value, list) and value else str(value)
