"""Base models of a sweep, before its lanes start."""

import os
import signal
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from em.model.checkpoint import cache_folder
from em.tiny.recipe import Recipe, path
from em.trial.model import Model
from sweeps import checkpoints
from tests.processes import finished, started, wait_for

ENDLESS = """
from rich.console import Console
from em.tiny.recipe import Recipe
from em.trial.model import Model
from sweeps import checkpoints
if __name__ == "__main__":
    models = [Model(pretrain=Recipe(seed=seed, steps=100_000)) for seed in (1, 2)]
    checkpoints.prepare(models, "", Console())
"""


def model(seed: int) -> Model:
    return Model(pretrain=Recipe(seed=seed, steps=2))


def weights(of: Model) -> bytes:
    assert of.pretrain is not None
    return (path(of.pretrain, cache_folder()) / "model.safetensors").read_bytes()


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_goes_on_pretraining_for_a_launch_that_is_gone(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(root)}
    launch = started([sys.executable, str(script)], environment)
    own = Path(f"/proc/{launch.pid}/task/{launch.pid}/children")

    def pretraining() -> list[Path]:
        """multiprocessing's own tracker is none of them."""
        children = [Path(f"/proc/{child}") for child in own.read_text().split()]
        return [child for child in children if b"spawn_main" in (child / "cmdline").read_bytes()]

    wait_for(lambda: len(list(tmp_path.glob("cache/**/*.lock"))) == 2)
    children = pretraining()
    assert len(children) == 2
    launch.send_signal(how)
    finished(launch, -how)
    wait_for(lambda: not any(child.exists() for child in children), 20)
