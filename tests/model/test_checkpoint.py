"""Checkpoints from the hub, and from where a cluster keeps its own."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Semaphore

import pytest
import torch
from filelock import FileLock
from rich.console import Console
from safetensors.torch import load_file

from em.errors import InputError, UnavailableError
from em.model import cache, hub, mirror
from em.model.checkpoint import check_available
from em.trial.model import Model
from sweeps import checkpoints
from sweeps.config import Cluster
from tests.model.architectures import random_model, save
from tests.model.hub import COMMIT, GATED, Hub, serving

NAME = "owner/llama"


@pytest.fixture(name="hub")
def hub_fixture(tmp_path: Path) -> Iterator[Hub]:
    with serving(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(random_model("LlamaForCausalLM"), tmp_path_factory.mktemp("llama"), max_shard_size="100KB")


def put(source: Path, *places: Path) -> None:
    for place in places:
        shutil.copytree(source, place)


def test_one_format_of_weights_is_downloaded(hub, llama):
    put(llama, hub.root / NAME)
    for name in ("consolidated.safetensors", "pytorch_model.bin", "flax_model.msgpack", "picture.png"):
        (hub.root / NAME / name).write_bytes(b"never asked for")
    names = hub.get(NAME).split()
    assert [name for name in names if name.endswith(("bin", "msgpack", "png"))] == []
    assert len([name for name in names if name.endswith(".safetensors")]) > 2
    assert "consolidated.safetensors" not in names


def test_torch_files_are_taken_where_there_are_no_others(hub):
    folder = save(random_model("LlamaForCausalLM"), hub.root / NAME)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "pytorch_model.bin" in hub.get(NAME).split()
    hub.asked.clear()
    assert "pytorch_model.bin" in hub.get(NAME).split()
    assert hub.asked == []


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_processes_that_want_a_model_at_once_download_it_once_and_later_ones_ask_nobody(hub, llama, revision):
    put(llama, hub.root / NAME)
    waiting = [hub.start("get", NAME, revision) for _ in range(3)]
    [names] = {said() for said in waiting}
    assert "model.safetensors.index.json" in names.split()
    assert sorted(hub.downloads()) == sorted(names.split())
    assert len([path for path in hub.asked if path.startswith("GET api/") and "/tree/" in path]) == 1
    hub.asked.clear()
    assert (hub.get(NAME, revision), hub.check(NAME, revision), hub.asked) == (names, "", [])


def test_a_launch_looks_a_model_up_and_leaves_its_weights_to_the_nodes(hub, llama):
    put(llama, hub.root / NAME)
    assert hub.check(NAME) == ""
    assert {"config.json", "tokenizer.json"} <= set(hub.downloads())
    assert not [name for name in hub.downloads() if name.endswith(".safetensors")]
    hub.asked.clear()
    assert (hub.check(NAME), hub.asked) == ("", [])
    assert len([name for name in hub.get(NAME).split() if name.endswith(".safetensors")]) > 2
    assert "config.json" not in hub.downloads()


@pytest.mark.parametrize("verb", ["get", "check"])
def test_what_cannot_be_had_or_trained_is_one_line(hub, llama, verb):
    put(llama, hub.root / NAME, hub.root / "owner" / "gated", hub.root / "owner" / "classifier")
    (hub.root / "owner" / "gated" / GATED).touch()
    config = json.loads((llama / "config.json").read_text())
    changed = json.dumps(config | {"architectures": ["LlamaForTokenClassification"]})
    (hub.root / "owner" / "classifier" / "config.json").write_text(changed)
    expected = {
        ("owner/nothing", "main"): "no such folder, and the hub has no such model, or a private one; check the",
        (NAME, "nope"): "the hub has no model.revision=nope of it; name a branch, tag or commit that there is, or",
        (NAME, "f" * 40): f"the hub has no model.revision={'f' * 40} of it; name a branch, tag or commit",
        ("owner/gated", "main"): f"is gated; accept its licence at {hub.environment['HF_ENDPOINT']}/owner/gated and",
        ("owner/classifier", "main"): "config.json: unknown architecture 'LlamaForTokenClassification'",
        ("a/b/c", "main"): "no such folder, and no name that a model of the hub can have; check the spelling, or",
    }
    asked = {given: hub.start(verb, *given) for given in expected}
    for (name, revision), message in expected.items():
        said = asked[name, revision]()
        assert said.startswith(f"error: model.path={name}: {message}"), said
        assert "\n" not in said
        assert "cluster.models=FOLDER" in said or name == "owner/classifier"


@pytest.mark.parametrize("verb", ["get", "check"])
def test_without_a_network_it_is_said_at_once(hub, verb):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        hub.environment["HF_ENDPOINT"] = f"http://127.0.0.1:{bound.getsockname()[1]}"
        start = time.monotonic()
        asked = [hub.start(verb, NAME, revision) for revision in ("main", COMMIT)]
        for said in asked:
            assert said().startswith(f"error: model.path={NAME}: not on this node, and the hub is out of reach (")
        assert time.monotonic() - start < 15  # huggingface_hub would try for 23 seconds
    hub.environment["HF_HUB_OFFLINE"] = "1"
    assert "and the hub is out of reach (" in hub.start(verb, NAME)()


def test_a_folder_of_the_cluster_is_read_in_place(hub, llama, tmp_path, monkeypatch):
    models = tmp_path / "models"
    put(llama, models / NAME, models / f"{NAME}@v2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert mirror.folder(Model(path=NAME), str(models)) == models / NAME
    assert mirror.folder(Model(path=NAME, revision="v2"), str(models)) == models / f"{NAME}@v2"
    assert mirror.folder(Model(path="owner/other"), str(models)) is None
    names = hub.get(NAME, place=str(models))
    assert (hub.check(NAME, place=str(models)), hub.asked) == ("", [])
    put(llama, hub.root / "owner" / "other")
    assert hub.get("owner/other", place=str(models)).split() == names.split()
    assert hub.asked  # the hub has what the cluster has not
    (models / NAME / "config.json").unlink()
    with pytest.raises(InputError, match=f"^model.path={NAME}: cluster.models={models}: not a Hugging Face checkpoint"):
        check_available(Model(path=NAME), str(models))
    with pytest.raises(InputError, match=r"^cluster.models=/nowhere: no such folder on this node; name one that all"):
        check_available(Model(path=NAME), "/nowhere")


def test_a_bucket_is_copied_once_to_a_node_and_a_killed_copy_does_not_count(hub, llama, tmp_path, monkeypatch):
    bucket = tmp_path / "bucket"
    put(llama, bucket / NAME)
    (bucket / NAME / "original").mkdir()
    (bucket / NAME / "pytorch_model.bin").write_bytes(b"another format of the same")
    place = f"file://{bucket}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    partial = mirror.copies(place) / f"{NAME}.partial"
    partial.mkdir(parents=True)
    (partial / "rubbish.json").write_text("of a copy that was killed")
    assert hub.check(NAME, place=place) == ""
    assert not mirror.local(Model(path=NAME), place)
    waiting = [hub.start("get", NAME, place=place) for _ in range(2)]
    [names] = {said() for said in waiting}
    assert sorted(names.split()) == sorted(path.name for path in llama.iterdir() if path.suffix != ".md")
    assert not partial.exists()
    shutil.rmtree(bucket)
    assert (hub.get(NAME, place=place), hub.check(NAME, place=place), hub.asked) == (names, "", [])


def test_what_a_bucket_refuses_is_one_line():
    for place in ("file:relative://x", "nope://bucket/models"):
        with pytest.raises(UnavailableError, match=f"^cluster.models={place}: cannot be read [(].*; check the address"):
            check_available(Model(path=NAME), place)
    assert Cluster(models="s3://bucket/models").models_place == "s3://bucket/models"
    assert Cluster(models="models").models_place == str(Path("models").resolve())


def test_who_waits_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "BEAT_SECONDS", 0.02)
    (tmp_path / "one-shot-em" / "locks").mkdir(parents=True)
    held, said = FileLock(tmp_path / "one-shot-em" / "locks" / "a--b"), []

    def tell(doing: str) -> None:
        said.append(doing)
        if len(said) == 3:
            held.release()

    held.acquire()
    with cache.one_at_a_time("a/b", "downloading b", tell):
        assert said == ["waiting for another process that is downloading b"] * 3


def test_who_downloads_gives_a_sign_of_life_as_often_as_something_came(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BEAT_SECONDS", 0.02)
    folder, said, looks = tmp_path / "filled", [], Semaphore(0)
    folder.mkdir()
    look = cache.bytes_in

    def counted(path):
        total = look(path)
        looks.release()
        return total

    monkeypatch.setattr(cache, "bytes_in", counted)

    def wait_for_looks(number: int) -> None:
        for _ in range(number):
            assert looks.acquire(timeout=30)

    def work() -> str:
        wait_for_looks(1)  # the one before work began
        for name in ("first", "second"):
            (tmp_path / name).touch()
            os.truncate(tmp_path / name, 6 * 10**7)
            (tmp_path / name).rename(folder / name)
            wait_for_looks(5)  # all but the first or second of them find nothing new
        return "done"

    assert cache.watched(work, folder, "downloading b", said.append) == "done"
    assert said == ["downloading b", "downloading b: 0.1 GB", "downloading b: 0.1 GB"]


def test_a_launch_looks_at_every_model_before_it_starts(llama, tmp_path):
    put(llama, tmp_path / "owner" / "first", tmp_path / "owner" / "second")
    models = [Model(path="owner/first"), Model(path="owner/second")]
    checkpoints.prepare(models, str(tmp_path), Console(file=StringIO()))
    (tmp_path / "owner" / "second" / "config.json").unlink()
    with pytest.raises(InputError, match=r"^model.path=owner/second: cluster.models=.*: not a Hugging Face checkpoint"):
        checkpoints.prepare(models, str(tmp_path), Console(file=StringIO()))


def test_the_commit_of_a_folder_of_the_cache(tmp_path):
    assert hub.commit_of(tmp_path / "snapshots" / COMMIT) == COMMIT
    assert hub.commit_of(tmp_path / "models") is None
