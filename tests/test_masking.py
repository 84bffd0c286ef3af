"""Keys are not written down, whatever says them; and nothing that others wrote is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from em.errors import InputError
from em.masking import masked
from em.store.provenance import ROOT
from sweeps.config import compose_launch
from sweeps.protocol import tail
from tests.processes import end_all, finished, started

KEYS = {
    "HF_TOKEN": "planted-hub-token",
    "WANDB_API_KEY": "planted0123456789abcdef0123456789abcdef0",
    "AWS_ACCESS_KEY_ID": "planted-access-key",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+access",
    "RAY_AUTH_TOKEN": "planted-ray-token",
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *((f"with {value}.", "with ***.") for value in KEYS.values()),
        ("AWS planted%2Fsecret%2Baccess", "AWS ***"),
        ("s3://id:se/cr+et@bucket/folder", "s3://***@bucket/folder"),
        ("https://user:pass@host:80/x and http://host:80/x@main", "https://***@host:80/x and http://host:80/x@main"),
        ("s3://bucket/models, git@host:path, a@b", "s3://bucket/models, git@host:path, a@b"),
        ("token hf_abcdefghijklmnopqrstuv!", "token ***!"),
        ("{'Authorization': 'Bearer abc.def-1'}", "{'Authorization': 'Bearer ***'}"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("eval.steps=[2,4] rollout.temperature=0.5", "eval.steps=[2,4] rollout.temperature=0.5"),
    ],
)
def test_keys_are_masked_and_all_else_stays(text, shown):
    assert masked(text) == shown
    assert str(InputError(text)) == shown


def test_short_values_are_no_keys(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "lr")
    assert masked("optimizer.lr=1") == "optimizer.lr=1"


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    "word",
    [
        "cluster.models=s3://id:planted-secret@bucket/models",
        f"tracking.entity={KEYS['WANDB_API_KEY']}",
        f"model.path=https://host/{KEYS['HF_TOKEN']}",
    ],
)
def test_a_key_in_a_config_is_refused_without_saying_it(word):
    with pytest.raises(InputError, match="would be recorded; leave the key out and export it") as raised:
        compose_launch(["sweep=smoke", word])
    assert str(raised.value).startswith(f"{word.partition('=')[0]}=")
    assert "planted" not in str(raised.value)


@pytest.mark.usefixtures("keys")
def test_the_end_of_a_log_holds_no_key(tmp_path):
    log = tmp_path / "log"
    log.write_text(f"{KEYS['HF_TOKEN']} was refused\n")
    assert tail(str(log)) == "*** was refused\n"


def test_what_is_not_foreseen_is_said_without_keys():
    code = (
        "from em.cli.command import run_command\ndef fail(words): raise OSError('planted-hub-token')\n"
        "run_command(fail, None)"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env={**KEYS, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("\nOSError: ***\n")


def held(store: Path) -> str:
    """All that the files of a store hold: Parquet as text of its values, all else as it is."""
    texts = []
    for path in (path for path in store.rglob("*") if path.is_file()):
        frame = path.suffix == ".parquet"
        texts.append(str(pl.read_parquet(path).to_dicts()) if frame else path.read_bytes().decode(errors="replace"))
    return "\n".join(texts)


@pytest.mark.slow
def test_a_whole_sweep_writes_no_key(tmp_path):
    words = ["sweep=temperature", "sweep.seeds=2", "model.pretrain.steps=2", "cluster.lanes=1"]
    command = [sys.executable, "-m", "tests.sweep", "tests.leaky:Trainer", *words, f"store={tmp_path / 'store'}"]
    environment = os.environ | KEYS | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    try:
        said = finished(started(command, environment), status=2)
    finally:
        end_all()
    stored = held(tmp_path / "store")
    assert "all failed alike: ConnectionError: " in said
    assert "HF_TOKEN=*** " in said
    assert "HF_TOKEN=*** " in stored  # as error, and as the end of the log
    cached = held(tmp_path / "cache")
    for text in (said, stored, cached):
        assert "planted" not in text


UNSAFE = re.compile(r"import (pickle|joblib|dill|marshal|shelve)\b|\b(torch|np|numpy)\.load\(|weights_only=False")


@pytest.mark.parametrize("folder", ["em/store", "em/model", "em/rebuild", "analysis", "sweeps"])
def test_nothing_that_is_read_is_unpickled(folder):
    """Weights are safetensors, records Parquet, boards JSON."""
    found = [path.name for path in (ROOT / folder).rglob("*.py") if UNSAFE.search(path.read_text())]
    assert found == []


def test_code_of_checkpoints_is_not_run():
    tracked = [path for folder in ("em", "sweeps", "analysis", "conf") for path in (ROOT / folder).rglob("*.[py]*")]
    texts = {path: path.read_text() for path in tracked if path.suffix in (".py", ".yaml")}
    assert len(texts) > 200
    assert [path.name for path, text in texts.items() if "trust_remote_code" in text] == []
