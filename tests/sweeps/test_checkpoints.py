"""Base models of a sweep, before its lanes start."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from em.model.checkpoint import cache_folder
from em.tiny.recipe import Recipe, path
from em.trial.model import Model
from sweeps import checkpoints


def model(seed: int) -> Model:
    return Model(pretrain=Recipe(seed=seed, steps=2))


def weights(of: Model) -> bytes:
    assert of.pretrain is not None
    return (path(of.pretrain, cache_folder()) / "model.safetensors").read_bytes()


def test_several_are_pretrained_at_once_to_the_same_bits_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, models = StringIO(), [model(1), model(2)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "together"))
    checkpoints.prepare(models, "", Console(file=output))
    assert "pretraining 2 base models (once)" in output.getvalue()
    assert "pretrained tiny-2" in output.getvalue()
    together = [weights(item) for item in models]
    assert together[0] != together[1]
    monkeypatch.setattr(checkpoints, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("pretrained again"))
    checkpoints.prepare(models, "", Console(file=StringIO()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "alone"))
    checkpoints.prepare(models[:1], "", Console(file=StringIO()))
    assert weights(models[0]) == together[0]
