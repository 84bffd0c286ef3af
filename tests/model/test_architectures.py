"""Every supported architecture is trained and measured as a user would, and its numbers are those of its own logits."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from em.__main__ import main
from em.cli.compose import compose_trial
from em.cli.local import run
from em.model.files import ARCHITECTURES
from em.store import Store
from tests.model.architectures import OWN, random_model, save

ROUNDING = 1e-4  # nats
LR = 1e-3
SMALL = [
    "rollout.samples=4",
    "rollout.max_new_tokens=12",
    "prompts.texts=['What is 7 times 8?']",
    f"optimizer.lr={LR}",
    "eval.steps=[2]",
    "eval.samples=1",
    *(f"benchmarks.{suite}.limit=2" for suite in ("sum", "difference", "product", "max", "bit", "mixed")),
]


def test_every_architecture_of_the_list_has_a_checkpoint():
    assert set(OWN) == set(ARCHITECTURES)


def plain_entropies(folder: Path, record: dict[str, Any]) -> list[float]:
    """Mean token entropy before each step, by whole logits, autograd and torch's AdamW, on the recorded tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01)
    [prompt] = record["prompts"]
    entropies = []
    for step in (1, 2):
        by_token = []
        for sample in record["rollouts"]:
            if sample["step"] == step:
                ids = torch.tensor([prompt + sample["token_ids"]])
                logp = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                by_token.append(-(logp.exp() * logp).sum(-1))
        loss = torch.cat(by_token).mean()
        entropies.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return entropies


def check(folder: Path, rows: list[dict[str, Any]]) -> None:
    [trained] = [row for row in rows if row["steps"]]
    recorded = [step["entropy"] for step in trained["steps"]]
    assert recorded == pytest.approx(plain_entropies(folder, trained), abs=ROUNDING)
    assert abs(recorded[0] - recorded[1]) > ROUNDING
    assert [(result["step"], result["problems"]) for result in trained["evaluations"]] == [(2, 2)] * 6


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_steps_are_those_of_the_models_own_logits(architecture, tmp_path):
    folder = save(random_model(architecture), tmp_path / "model")
    config = compose_trial(["model=checkpoint", f"model.path={folder}", "rollout=transformers", *SMALL])
    store = Store(tmp_path / "store")
    run(config.units([config.trial]), store, Console(quiet=True))
    check(folder, pl.read_parquet(store.root / "records" / "*.parquet").to_dicts())


@pytest.fixture(scope="module")
def beside() -> Iterator[Executor]:
    """Another process: vLLM changes some of transformers' classes."""
    pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield process


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_vllm_as_well(architecture, beside, tmp_path):
    folder, store = save(random_model(architecture), tmp_path / "model"), tmp_path / "store"
    beside.submit(main, ["model=checkpoint", f"model.path={folder}", f"store={store}", *SMALL]).result()
    check(folder, pl.read_parquet(store / "records" / "*.parquet").to_dicts())
