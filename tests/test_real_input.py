"""`python -m em` as a user runs it: on their own checkpoint and files, on published data, with the default model."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from em.store import Store

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["rollout.samples=4", "rollout.max_new_tokens=8", "eval.samples=1", "eval.steps=[1]"]
PRETRAINING = "Pretraining the tiny model"


def records(store: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(store / "records" / "*.parquet").to_dicts()


def em(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "em", *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "400", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def lines(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What a successful run printed; nothing may have gone to the error stream."""
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout.splitlines()


def is_ours(line: str) -> bool:
    ours = (r"trial [0-9a-f]{16}: \S+, seed \d+, records in \S+$", r"\s*accuracy, %\s*$", "[┏┃┡│└]", PRETRAINING)
    return any(re.match(pattern, line) for pattern in ours)


def local_arguments(checkpoint: Path, prompts: Path, benchmark: Path, store: Path) -> list[str]:
    return [
        "model=checkpoint",
        f"model.path={checkpoint}",
        "prompts=jsonl",
        f"prompts.path={prompts}",
        "benchmark=jsonl",
        f"benchmarks.jsonl.path={benchmark}",
        "benchmarks.jsonl.max_new_tokens=8",
        "rollout=transformers",
        f"store={store}",
        *SMALL,
    ]


@pytest.mark.slow
def test_own_checkpoint_own_prompts_own_problems(checkpoint: Callable[..., Path], tmp_path: Path):
    prompts, problems = tmp_path / "prompts.jsonl", tmp_path / "problems.jsonl"
    prompts.write_text(json.dumps({"problem": "What is 1+1?"}) + "\n")
    problems.write_text("".join(json.dumps({"problem": f"{n}+{n}?", "answer": 2 * n}) + "\n" for n in range(3)))
    arguments = local_arguments(checkpoint(tied=False), prompts, problems, tmp_path / "store")
    printed = lines(em(*arguments))
    assert all(map(is_ours, printed)), printed
    base, trained = sorted(records(tmp_path / "store"), key=lambda row: len(row["steps"]))
    assert (base["status"], trained["status"]) == ("done", "done")
    assert bytes(trained["prompts"][0]) == b"What is 1+1?"
    assert len(trained["rollouts"]) == 4
    assert [result["problems"] for result in base["evaluations"] + trained["evaluations"]] == [3, 3]


def test_a_bad_file_is_one_line_and_no_traceback(tmp_path: Path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{\n")
    run = em("prompts=jsonl", f"prompts.path={bad}", f"store={tmp_path / 'store'}")
    assert run.returncode == 2
    assert run.stdout == ""
    said = rf"error: {re.escape(str(bad))}:1: not a JSON object \(.*\); write one JSON object a line\n"
    assert re.fullmatch(said, run.stderr)
    assert not (tmp_path / "store").exists()


def qwen2_checkpoint(folder: Path) -> Path:
    """Random weights in the shape of the paper's models (biases in attention, Qwen2's tokenizer), as they are saved."""
    letters = sorted(ByteLevel.alphabet())
    tokenizer: Any = Qwen2Tokenizer(vocab={letter: index for index, letter in enumerate(letters)}, merges=[])
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.2, generator=generator)  # biases and norms too
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_published_data(engine: str, tmp_path: Path):
    """A Qwen2 checkpoint on published prompts and problems, in either engine."""
    if "EM_BENCHMARK_DATA" not in os.environ:
        pytest.skip("set EM_BENCHMARK_DATA to a folder with one_shot_prompt.jsonl and math500.jsonl")
    data = Path(os.environ["EM_BENCHMARK_DATA"])
    folder = qwen2_checkpoint(tmp_path / "qwen2")
    arguments = local_arguments(folder, data / "one_shot_prompt.jsonl", data / "math500.jsonl", tmp_path / "store")
    printed = lines(em(*arguments, f"rollout={engine}", "benchmarks.jsonl.limit=3"))
    assert all(map(is_ours, printed)), printed
    rows = records(tmp_path / "store")
    [trained] = [row for row in rows if row["steps"]]
    read = AutoTokenizer.from_pretrained(folder).decode(trained["prompts"][0])
    assert read.startswith("The pressure \\( P \\) exerted by wind on a sail")
    assert [result["problems"] for result in trained["evaluations"]] == [3]


@pytest.mark.slow
def test_the_default_model_pretrains_trains_and_is_recorded_once(tmp_path: Path):
    """With vLLM, the default engine; a second run finds everything recorded and starts neither model nor engine."""
    pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    store = Store(tmp_path / "store")
    arguments = ["model.pretrain.steps=20", "rollout=vllm", f"store={store.root}", *SMALL]
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    printed = lines(em(*arguments, **cache))
    assert all(map(is_ours, printed)), printed
    kept = tmp_path / "cache" / "one-shot-em"
    names = [re.sub("[0-9a-f]{12}", "X", entry.name) for entry in sorted(kept.iterdir())]
    assert names == ["composed", "selections", "tiny-X", "tiny-X.lock"]
    rows = records(store.root)
    assert sorted(len(row["steps"]) for row in rows) == [0, 1]
    assert {len(row["evaluations"]) for row in rows} == {6}
    assert printed[-2].split()[1] == "mean"

    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    (tmp_path / "cache").rename(tmp_path / "gone")  # loading the model again would pretrain it again
    assert lines(em(*arguments, **cache)) == [line for line in printed if not line.startswith(PRETRAINING)]
    assert [entry.name for entry in kept.iterdir()] == ["composed"]
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before
