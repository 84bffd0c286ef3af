"""Paths as users write them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from em.errors import InputError


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder; that of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises for an unknown user)


@contextmanager
def one_line() -> Iterator[None]:
    """What the file system refuses, as an InputError that names the path."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(f"{error.filename}: {error.strerror}; check this path, or name another one") from error
