"""Files that are no JSONL, each in one line that names file, line and remedy; and files that are, however odd."""

import codecs
import gzip
import json
import os
from pathlib import Path

import polars as pl
import pytest

from em.cli.compose import compose_trial
from em.errors import InputError
from em.trial.jsonl import rows

GOOD = b'{"problem": "1+1?", "answer": "2"}\n'


def texts(path: Path) -> list[str]:
    return [row.question(["problem"]) for row in rows(str(path), "prompts.path")]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as raised:
        compose_trial(["prompts=jsonl", f"prompts.path='{path}'"])
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (codecs.BOM_UTF8 + GOOD, ["1+1?"]),
        (GOOD.replace(b"\n", b"\r\n") * 2, ["1+1?"] * 2),
        (b"\n \n" + GOOD.strip(), ["1+1?"]),
        (json.dumps({"problem": "x" * 10**7}).encode(), ["x" * 10**7]),
        (b'{"problem": "\\ud83d\\ude00"}', ["\N{GRINNING FACE}"]),
    ],
    ids=["BOM", "CRLF", "blank lines", "a long line", "a surrogate pair"],
)
def test_what_is_odd_and_right_is_read(content, read, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert texts(tmp_path / "a.jsonl") == read


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"problem": "\\ud800"}', ":1: problem='\\ud800': must be whole characters"),
        (b'{"problem": "a\\u0000b"}', ":1: problem='a\\x00b': must be whole characters"),
        (GOOD + b'{"problem": ""}', ":2: problem='': is empty; give it a text, or leave it out"),
        (b'{"problem": " \\n\\t"}', ":1: problem=' \\n\\t': is empty"),
        (b'{"problem": "a", "problem": "b"}', ":1: the field 'problem' stands there twice; keep one of them"),
        (b'{"problem": "a", "x": {"y": 1, "y": 2}}', ":1: the field 'y' stands there twice"),
        (gzip.compress(GOOD, mtime=0), ": is compressed, not JSONL in UTF-8; unpack it with gunzip"),
        (GOOD.decode().encode("utf-16"), ": is in UTF-16, not JSONL in UTF-8; save it as UTF-8"),
        (GOOD.decode().encode("utf-16-le"), ": is in UTF-16, not JSONL in UTF-8; save it as UTF-8"),
        (GOOD.decode().encode("utf-32"), ": is in UTF-32"),
        (b"[" + GOOD.strip() + b"]", ":1: not a JSON object ("),
        (b"[\n" + GOOD.strip() + b"\n]", "write one JSON object a line, without brackets and commas around them"),
        (b"{\n" + GOOD[1:], ":1: not a JSON object (Expecting property name"),
        (b'{"problem": \0}', ":1: not a JSON object (Expecting value); write one JSON object a line"),
        (b'{"problem": "caf\xe9"}', ":1: not UTF-8 text; save the file as UTF-8"),
        (b"[" * 100_000, ":1: not a JSON object (nested too deep)"),
        (b"", ": the file holds no rows"),
    ],
)
def test_what_is_no_jsonl_is_one_line(content, said, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert f"a.jsonl{said}" in refused(tmp_path / "a.jsonl") or said in refused(tmp_path / "a.jsonl")


def test_parquet_says_what_to_write(tmp_path):
    pl.DataFrame({"problem": ["1+1?"]}).write_parquet(tmp_path / "a.jsonl")
    assert "is a Parquet file, not JSONL in UTF-8; write one JSON object a line" in refused(tmp_path / "a.jsonl")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or a device, name a file" in refused(tmp_path / "pipe")
    assert "is a pipe or a device, name a file" in refused(Path("/dev/zero"))
    assert "is a folder, name a file" in refused(tmp_path)
    assert "cannot be read (File name too long)" in refused(tmp_path / ("a" * 300))


def test_what_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    file = tmp_path / "a.jsonl"
    file.write_bytes(GOOD)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InputError, match=r"^prompts.path=.*a\.jsonl: cannot be read \(Permission denied\)$"):
        texts(file)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("prompts.texts=['']", "prompts.texts='': is empty"),
        ("prompts.texts=['1?','  ']", "prompts.texts='  ': is empty"),
        ("prompts.texts=['\ud800']", "prompts.texts='\\ud800': "),
    ],
)
def test_the_command_line_is_checked_alike(word, said):
    with pytest.raises(InputError) as raised:
        compose_trial([word])
    assert said in str(raised.value)
