"""Temporary files lie where TMPDIR says, unless sockets do not fit there or nothing can be written."""

import os
import tempfile
from pathlib import Path

import pytest

from em import temporary
from em.errors import InputError


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.setenv(name, "/tmp")
    monkeypatch.setattr(tempfile, "tempdir", None)


def settled(monkeypatch: pytest.MonkeyPatch, folder: str) -> str:
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setenv("RAY_TMPDIR", folder)
    temporary.settle()
    assert tempfile.gettempdir() == os.environ["TMPDIR"]
    return os.environ.get("RAY_TMPDIR", os.environ["TMPDIR"])


def test_a_short_folder_stays(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        assert settled(monkeypatch, folder) == folder


@pytest.mark.parametrize("name", ["a" * 100, "ä" * 20, "missing", "file", ""])
def test_another_folder_stands_in_for_one_that_will_not_do(name, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder, name)
        if name == "file":
            place.touch()
        elif name and name != "missing":
            place.mkdir()
        assert settled(monkeypatch, str(place) if name else "") == "/tmp"


def test_where_none_will_do_it_is_one_line(monkeypatch):
    monkeypatch.setattr(temporary, "PLACES", ("/nowhere",))
    monkeypatch.setenv("TMPDIR", "/no/folder")
    with pytest.raises(InputError, match=r"^TMPDIR=/no/folder: nor can /nowhere be written; set TMPDIR"):
        temporary.settle()
