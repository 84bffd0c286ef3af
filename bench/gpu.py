"""What a GPU of 80 GB or more has to reach: the loss, a step of 1.5 and of 7 billion weights, engine and digest.

Weights are random, of Qwen2.5's shapes; a step trains on 64 answers of 512 tokens to a prompt of 110.
Where there is no GPU, it says so and measures nothing.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, Qwen2Config

from bench.rows import Row, at_least, at_most
from em.memory.device import GIB
from em.model.head import Head
from em.rollout import Request
from em.rollout.vllm import VllmEngine
from em.store import Store
from em.tiny.tokenizer import tokenizer
from em.train.agreement import prompts, with_trainer
from em.train.local import LocalPolicy
from em.train.objective import token_loss
from em.trial.method import default_method
from em.trial.model import Model, Precision
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample

LOSSES = {(16_384, 3_584, 152_064): (100.0, 3.3), (4_096, 1_536, 151_936): (None, None)}  # N, H, V: ms, GiB
SIZES: dict[str, dict[str, Any]] = {
    "1.5B": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "7B": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
}
STEP = {"1.5B": 1.0, "7B": 4.0}  # seconds
HELD = {"1.5B": 140.0, "7B": 70.0}  # GiB while it trains
PROMPT, ANSWER, SAMPLES = 110, 512, 64
TESTS = ["tests/rollout", "tests/train/test_trainer.py", "tests/train/test_objective.py"]


def rows(folder: Path) -> Iterator[Row]:
    if not torch.cuda.is_available():
        sys.exit("bench gpu: this machine has no GPU")
    print(torch.cuda.get_device_name(), flush=True)
    for shape, (ms, gib) in LOSSES.items():
        yield from loss_rows(shape, ms, gib)
    for size in SIZES:
        yield from model_rows(size, checkpoint(size, folder / size))
        free()
    for name, command in (
        ("tests of engines and trainer", ["-m", "pytest", "-q", "-m", "not slow", "-n", "4", *TESTS]),
        ("a sweep of the tiny model", ["-m", "sweeps", "sweep=smoke", f"store={folder / 'store'}"]),
    ):
        yield Row(f"{name}: exit status", run(*command), "", at_most(0))
    yield from deterministic_rows(folder)


def run(*words: str) -> int:
    """Exit status of a program."""
    return subprocess.run([sys.executable, *words], check=False).returncode


def deterministic_rows(folder: Path) -> Iterator[Row]:
    """A trial of the tiny model in two processes each, with and without model.deterministic."""
    for wanted in ("false", "true"):
        store = Store(folder / f"deterministic-{wanted}")
        run("-m", "em", "model=tiny", f"model.deterministic={wanted}", f"store={store.root}")
        [record] = [record for record in map(store.record, store.recorded_units()) if record.steps]
        again = run("-m", "em.rerun", record.unit_id, f"store={store.root}", f"to={store.root}-again")
        seconds = f"{record.provenance.seconds:.2f} s, again {'the same' if again == 0 else 'other'} bits"
        print(f"tiny trial, model.deterministic={wanted}: {seconds}", flush=True)
    yield Row("model.deterministic: two processes differ", again, "", at_most(0))


def loss_rows(shape: tuple[int, int, int], ms: float | None, gib: float | None) -> Iterator[Row]:
    """Ours, and plain logits beside."""
    N, H, V = shape
    hidden_NH = torch.randn(N, H, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    head_VH = (torch.randn(V, H, device="cuda") / H**0.5).bfloat16().requires_grad_()
    target_N = torch.randint(V, (N,), device="cuda")

    def ours() -> Tensor:
        return token_loss(hidden_NH, Head(head_VH), target_N, lambda entropy, logprob, span: entropy / N)[0]

    def plain() -> Tensor:
        logp_NV = (hidden_NH @ head_VH.T).float().log_softmax(-1)
        return -(logp_NV.exp() * logp_NV).sum() / N

    for name, way in (("ours", ours), ("plain logits", plain)):
        taken, held = timed(lambda way=way: torch.autograd.grad(way(), (hidden_NH, head_VH)), rounds=5)
        held -= (hidden_NH.nbytes + head_VH.nbytes) / GIB  # the gradients
        print(f"loss of {shape}, {name}: {1000 * taken:.1f} ms, {held:.2f} GiB", flush=True)
        if name == "ours" and ms and gib:
            yield Row(f"loss of {N} tokens, V = {V}", 1000 * taken, "ms", at_most(ms))
            yield Row("its memory beyond inputs and gradients", held, "GiB", at_most(gib))
    free()


def model_rows(size: str, folder: Path) -> Iterator[Row]:
    model = Model(path=str(folder), precision=Precision.bf16)
    start = time.perf_counter()
    policy = LocalPolicy(folder, model, EngineConfig())
    opened = time.perf_counter() - start
    print(f"{size}: opened in {opened:.1f} s; plan: {policy.plan}", flush=True)
    prompt = [40 + number % 200 for number in range(PROMPT)]
    request = Request(prompt=prompt, seed=0, samples=SAMPLES, max_new_tokens=ANSWER)
    first = policy.fingerprint()
    policy.begin(Optimizer())
    for turn in ("first", "second"):
        sampling, _ = timed(lambda: policy.generate([request]))
        ids = [number % 200 for number in range(ANSWER)]
        samples = [Sample(step=0, prompt=0, token_ids=ids, truncated=True)] * SAMPLES
        asleep, _ = timed(policy.engine.sleep)
        training, held = timed(
            lambda samples=samples: policy.step([prompt], samples, default_method(), 1.0), whole=True
        )
        pushing, _ = timed(policy.push)
        print(
            f"{size}, {turn} step: sample {sampling:.2f} s, sleep {asleep:.2f} s, train {training:.2f} s "
            f"({held:.1f} GiB, planned {policy.plan.peak.total / GIB:.1f}), wake and push {pushing:.2f} s",
            flush=True,
        )
    engine = policy.engine
    assert isinstance(engine, VllmEngine)
    if engine.in_place:
        engine.in_place = False
        reloading, _ = timed(policy.push)
        engine.in_place = True
        print(f"{size}: vLLM's own reload in place of copies takes {reloading:.2f} s", flush=True)
    yield Row(f"{size}: a step's training", training, "s", at_most(STEP[size]))
    yield Row(f"{size}: held while it trains", held, "GiB", at_most(HELD[size]))
    planned = next(phase for phase in policy.plan.phases if phase.name == "train")
    tensors = (planned.total - planned.parts.get("engine", 0)) / GIB
    yield Row(f"{size}: plan's peak off torch's", abs(tensors / held - 1), "", at_most(0.1))
    size_gib = sum(weight.nbytes for weight in policy.model.parameters()) / GIB
    yield Row(f"{size}: digest", size_gib / timed(policy.digest, rounds=2)[0], "GiB/s", at_least(8.0))
    turnover, _ = timed(lambda: (policy.restore(), policy.push()))
    yield Row(f"{size}: base weights restored and pushed", turnover, "s", at_most(3.0))
    yield Row(f"{size}: fingerprint is as it was", float(policy.fingerprint() == first), "", at_least(1.0))
    print(f"{size}: engine and trainer are {drift(policy, folder):.4f} nats apart", flush=True)
    policy.close()


def drift(policy: LocalPolicy, folder: Path) -> float:
    """Mean difference of the log-probabilities of sampled tokens."""
    apart = list[Tensor]()
    for prompt in prompts(folder, policy.context):
        for answer in policy.generate([Request(prompt=prompt, seed=0, samples=4, max_new_tokens=64)], logprobs=True)[0]:
            _, logprob_N = with_trainer(policy.objective, prompt, answer.token_ids, policy.model.device)
            apart.append((logprob_N - torch.tensor(answer.logprobs)).abs())
    return float(torch.cat(apart).mean())


def timed(work: Callable[[], Any], rounds: int = 1, whole: bool = False) -> tuple[float, float]:
    """Seconds of one round, and the most GiB that torch holds in it; `whole`: with what it held before."""
    if rounds > 1:
        work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, start = 0 if whole else torch.cuda.memory_allocated(), time.perf_counter()
    for _ in range(rounds):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / rounds, (torch.cuda.max_memory_allocated() - before) / GIB


def checkpoint(size: str, folder: Path) -> Path:
    config = Qwen2Config(num_hidden_layers=28, max_position_embeddings=4096, dtype="bfloat16", **SIZES[size])
    with torch.device("cuda"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    del model
    free()
    return folder


def free() -> None:
    gc.collect()
    torch.cuda.empty_cache()
