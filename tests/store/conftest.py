"""The store's tests run on files of a file system, on files in memory, and on a server of S3's protocol."""

import os
from pathlib import Path

import pytest

from em.store.files import Files, PosixFiles, files_at
from tests import s3_server
from tests.memory import MemoryFiles


@pytest.fixture(params=["posix", "memory", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "s3":
        return files_at(request.getfixturevalue("bucket"))
    return PosixFiles(tmp_path / "results") if request.param == "posix" else MemoryFiles()


def make_older(files: Files, name: str, seconds: float) -> None:
    """Let it be as if a piece had been written so many seconds earlier."""
    where = files.where(name)
    if isinstance(files, MemoryFiles):
        files.touched[name] -= seconds
    elif where.startswith("s3://"):
        bucket, _, key = where.removeprefix("s3://").partition("/")
        s3_server.make_older(os.environ["AWS_ENDPOINT_URL"], bucket, key, seconds)
    else:
        then = Path(where).stat().st_mtime - seconds
        os.utime(where, (then, then))
