"""What every back end of the store guarantees (em.store.files), on a file system and in memory."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.store.files import Files, PosixFiles
from tests.store.conftest import make_older


def test_what_is_written_is_read(files: Files) -> None:
    content = bytes(range(256)) * 1000
    assert files.create_once("a/b/piece", content)
    assert (files.read("a/b/piece"), files.exists("a/b/piece")) == (content, True)
    files.replace("a/b/piece", b"")
    assert files.read("a/b/piece") == b""


def test_a_name_is_created_once(files: Files) -> None:
    assert files.create_once("a/piece", b"first")
    assert not files.create_once("a/piece", b"second")
    assert files.read("a/piece") == b"first"
    files.remove("a/piece")
    assert files.create_once("a/piece", b"third")


def test_of_many_threads_one_creates_it(files: Files) -> None:
    barrier = threading.Barrier(16)

    def create(number: int) -> bool:
        barrier.wait()
        return files.create_once("a/piece", f"{number}".encode())

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(16)))
    assert files.read("a/piece") == f"{won.index(True)}".encode()
    assert won.count(True) == 1
    assert files.list("a") == ["piece"]


def test_who_reads_while_it_is_replaced_reads_one_or_the_other(files: Files) -> None:
    contents = {b"x" * 100_000, b"y" * 70_000}
    files.replace("piece", b"x" * 100_000)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for content in contents:
                files.replace("piece", content)

    writer = threading.Thread(target=write)
    writer.start()
    read = {files.read("piece") for _ in range(300)}
    over.set()
    writer.join()
    assert read <= contents


def test_a_folder_lists_what_lies_directly_in_it(files: Files) -> None:
    for name in ("top", "a/2", "a/1", "a/b/3", "ab/4", "a/.hidden"):
        files.create_once(name, b"")
    assert files.list("") == ["a", "ab", "top"]
    assert files.list("a") == ["1", "2", "b"]
    assert files.list("a/b") == ["3"]
    assert files.list("none") == files.list("top/none") == []


def test_age_is_since_the_last_touch_or_write(files: Files) -> None:
    files.create_once("piece", b"")
    make_older(files, "piece", 1000)
    assert files.age("piece") == pytest.approx(1000, abs=60)
    files.touch("piece")
    assert files.age("piece") == pytest.approx(0, abs=60)
    make_older(files, "piece", 1000)
    files.replace("piece", b"")
    assert files.age("piece") == pytest.approx(0, abs=60)
    assert files.list("") == ["piece"]


def test_what_is_moved_keeps_its_bytes(files: Files) -> None:
    files.create_once("a/piece", b"1")
    files.move("a/piece", "new/place")
    assert (files.list("a"), files.read("new/place")) == ([], b"1")


def test_a_piece_and_a_whole_folder_are_removed_and_what_is_gone_too(files: Files) -> None:
    for name in ("a/1", "a/b/2", "ab/3"):
        files.create_once(name, b"")
    files.remove("a/1")
    files.remove("a/1")
    assert files.list("a") == ["b"]
    files.remove("a")
    files.remove("a")
    assert files.list("") == ["ab"]


def test_a_name_that_is_missing_is_said(files: Files) -> None:
    assert not files.exists("none")
    for call in (files.read, files.age, files.touch, lambda name: files.move(name, "to")):
        with pytest.raises(FileNotFoundError):
            call("none")


# Of a file system alone.


@pytest.mark.parametrize("failing", ["fsync", "link", "rename"])
def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*_: object) -> None:
        raise OSError("power")

    files = PosixFiles(tmp_path)
    if failing == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="power"):
        (files.replace if failing == "rename" else files.create_once)("piece", b"content")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_not_listed(tmp_path: Path) -> None:
    """`kill -9` runs no `finally`: a temporary file stays, and disturbs nobody."""
    (tmp_path / ".0123.tmp").write_bytes(b"PAR1")
    assert PosixFiles(tmp_path).list("") == []


def test_a_clock_that_is_wrong_changes_no_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both times are the file system's; only where nothing can be written this machine's clock has to do."""
    files = PosixFiles(tmp_path)
    files.create_once("piece", b"")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert files.age("piece") == pytest.approx(0, abs=60)
    monkeypatch.setattr(Path, "touch", lambda self: (_ for _ in ()).throw(PermissionError()))
    assert PosixFiles(tmp_path).age("piece") == pytest.approx(1e6, abs=60)


def test_the_clock_is_asked_once_for_many_ages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, probes, touch = PosixFiles(tmp_path), [], Path.touch
    for name in "abc":
        files.create_once(name, b"")
    monkeypatch.setattr(Path, "touch", lambda self: (probes.append(self), touch(self)))
    assert [files.age(name) for name in "abc"] == pytest.approx([0, 0, 0], abs=60)
    assert len(probes) == 1
