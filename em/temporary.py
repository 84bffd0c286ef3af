"""A folder for temporary files in which sockets fit: a name of AF_UNIX has 107 bytes, and Ray's are long."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from em.errors import InputError

LONGEST = 36  # bytes: below it, Ray makes ray/session_<date>_<time>_<pid>/sockets/plasma_store
PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def settle() -> None:
    """Let this process and its children keep temporary files where TMPDIR says or, where that will not do, elsewhere.

    Raises InputError where no folder will do.
    """
    if not is_good(os.environ.get("RAY_TMPDIR", "")):
        os.environ.pop("RAY_TMPDIR", None)  # Ray takes TMPDIR then
    given = os.environ.get("TMPDIR")
    if given is None and is_good(PLACES[0]):
        return
    folder = next(filter(is_good, places(given)), None)
    if folder is None:
        raise InputError(f"TMPDIR={given or ''}: nor can {', '.join(PLACES)} be written; set TMPDIR to a short folder")
    os.environ["TMPDIR"] = tempfile.tempdir = folder


def places(given: str | None) -> Iterator[str]:
    if given:
        yield str(Path(given).absolute())
    yield from PLACES


def is_good(folder: str) -> bool:
    """Whether it is short, and files can be made in it."""
    if not folder or len(os.fsencode(folder)) > LONGEST:
        return False
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, ValueError):
        return False
