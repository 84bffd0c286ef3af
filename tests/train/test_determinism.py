"""model.deterministic: a step takes deterministic algorithms alone, and on a CPU the bits are what they are anyway."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from em.train.entropy import EntropyMinimisation
from em.train.learner import Learner
from em.trial.method import Tokens
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample
from tests.model.architectures import random_model, save

SAMPLES = [Sample(step=1, prompt=0, token_ids=[number, 5, 6], truncated=False) for number in range(1, 9)]
SEEN = list[bool]()


@dataclass(kw_only=True)
class Watching(EntropyMinimisation):
    def terms(self, tokens: Tokens) -> Tensor:
        SEEN.append(torch.are_deterministic_algorithms_enabled())
        return super().terms(tokens)


@dataclass(kw_only=True)
class Careless(EntropyMinimisation):
    """Writes to places in whatever order, which torch knows no deterministic way to do."""

    def terms(self, tokens: Tokens) -> Tensor:
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
        return super().terms(tokens)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return save(random_model("Qwen3ForCausalLM"), tmp_path / "model")


def trained(folder: Path, method: EntropyMinimisation, deterministic: bool) -> Learner:
    learner = Learner(folder, Model(path=str(folder), deterministic=deterministic))
    learner.begin(Optimizer(lr=1e-3))
    for _ in range(3):
        assert learner.step([[1, 2]], SAMPLES, method, max_norm=1.0).is_finite
    return learner


def test_the_whole_step_is_deterministic_and_nothing_beside_it(folder: Path) -> None:
    SEEN.clear()
    wanted = trained(folder, Watching(), deterministic=True)
    assert SEEN
    assert all(SEEN)
    assert not torch.are_deterministic_algorithms_enabled()
    options: Any = torch.utils.deterministic
    assert options.fill_uninitialized_memory
    assert wanted.device.endswith(", deterministic")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    SEEN.clear()
    plain = trained(folder, Watching(), deterministic=False)
    assert SEEN
    assert not any(SEEN)
    assert "deterministic" not in plain.device
    if not torch.cuda.is_available():
        assert wanted.digest() == plain.digest()


def test_an_operation_that_is_not_deterministic_is_named(folder: Path) -> None:
    trained(folder, Careless(), deterministic=False)
    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        trained(folder, Careless(), deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()
