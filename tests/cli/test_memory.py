"""What was composed is remembered: by words, config files and code; a damaged or unwritable cache changes nothing."""

from pathlib import Path

import pytest

from em.cli import memory, overrides
from em.cli.memory import remembered


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "one-shot-em" / "composed"


def counted(calls: list[int]) -> int:
    calls.append(1)
    return len(calls)


def test_the_same_words_are_composed_once():
    calls: list[int] = []
    made = [remembered("launch", words, lambda: counted(calls)) for words in (["a=1"], ["a=1"], ["a=2"], ["a=1"])]
    assert made == [1, 1, 2, 1]
    assert remembered("trial", ["a=1"], lambda: counted(calls)) == 3


def test_other_code_or_config_files_are_composed_anew(monkeypatch):
    calls: list[int] = []
    remembered("launch", ["a=1"], lambda: counted(calls))
    monkeypatch.setattr(memory, "meaning_of_code", lambda: b"another")
    assert remembered("launch", ["a=1"], lambda: counted(calls)) == 2


def test_the_meaning_follows_every_config_file(tmp_path, monkeypatch):
    (tmp_path / "sized").mkdir()
    file = tmp_path / "sized" / "a.yaml"
    monkeypatch.setattr(overrides, "CONF", tmp_path)
    digests = []
    for text in ("a: 1", "a: 2", "a: 1"):
        file.write_text(text)
        digests.append(memory.meaning())
    assert digests[0] == digests[2] != digests[1]


def test_what_was_edited_while_it_was_composed_is_not_remembered(cache, monkeypatch):
    digests = iter([b"before", b"after"])
    monkeypatch.setattr(memory, "meaning", lambda: next(digests))
    assert remembered("launch", ["a=1"], lambda: 7) == 7
    assert not cache.exists()


def test_a_damaged_file_is_made_again(cache):
    calls: list[int] = []
    remembered("launch", ["a=1"], lambda: counted(calls))
    [file] = cache.iterdir()
    file.write_bytes(file.read_bytes()[:3])
    assert remembered("launch", ["a=1"], lambda: counted(calls)) == 2
    assert remembered("launch", ["a=1"], lambda: counted(calls)) == 2


def test_an_error_is_not_remembered(cache):
    with pytest.raises(ZeroDivisionError):
        remembered("launch", ["a=1"], lambda: 1 // 0)
    assert not cache.exists() or not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_no_error(cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in its place")
    assert remembered("launch", ["a=1"], lambda: 7) == 7


def test_old_files_are_removed_where_they_are_many(cache, monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 3)
    for value in range(10):
        remembered("launch", [f"a={value}"], lambda: 1)
    assert len(list(cache.iterdir())) <= 5
