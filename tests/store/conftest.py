"""The store's tests run on files of a file system and on files in memory."""

import os
from pathlib import Path

import pytest

from em.store.files import Files, PosixFiles
from tests.memory import MemoryFiles


@pytest.fixture(params=["posix", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return PosixFiles(tmp_path / "results") if request.param == "posix" else MemoryFiles()


def make_older(files: Files, name: str, seconds: float) -> None:
    """Let it be as if a piece had been written so many seconds earlier."""
    if isinstance(files, MemoryFiles):
        files.touched[name] -= seconds
    else:
        path = Path(files.where(name))
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))
