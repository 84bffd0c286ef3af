"""A whole step of entropy minimisation on a CPU, ours beside two loops of transformers: seconds and losses, as JSON.

    python -m bench.step tiny|50M vllm|transformers FOLDER

All start from the same weights, have the same threads and fp32, sample as many new tokens (no token ends an answer) and
train on the ids that ours sampled.  Each samples, takes the gradient, clips it and updates; ours pushes too.

published   the paper's code: without a cache of keys and values, 2 samples at a time, all logits.  Its micro-batches
            are alike, so that some of them say what all take.
competent   all samples in one batch with such a cache, training in micro-batches of as many tokens as ours, all logits
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em.quiet import quiet_libraries

if TYPE_CHECKING:
    from bench.loops import Loop, Ours

SAMPLES, TEMPERATURE, PUBLISHED_ROWS = 64, 0.5, 2
BUDGET = 16_384  # padded tokens of a micro-batch, ours (what a plan takes on a CPU) and the competent loop's
WARM_TOKENS = 4  # of the answers of a step that is not timed


@dataclass(frozen=True)
class Size:
    prompt: int  # tokens
    answer: int
    threads: int
    rounds: int  # the least time of each counts
    parts: int  # micro-batches of the published code that are timed, of SAMPLES / PUBLISHED_ROWS


SIZES = {"tiny": Size(8, 20, 1, 5, 32), "50M": Size(16, 256, 2, 1, 1)}


@dataclass
class Seconds:
    """Of one step."""

    sample: float
    train: float
    push: float = 0.0

    @property
    def sum(self) -> float:
        return self.sample + self.train + self.push


@dataclass(frozen=True)
class Timings:
    ours: Seconds
    published: Seconds
    competent: Seconds
    apart: float  # the largest relative difference of a loss or gradient norm from ours on the same samples


def checkpoint(size: str, folder: Path) -> Path:
    """Random weights of the tiny model's shape, or of a Qwen2's of 50M parameters; nothing ends its answers."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    from em.tiny.pretrain import initial
    from em.tiny.recipe import Recipe
    from em.tiny.tokenizer import tokenizer

    model: Any = initial(Recipe())
    if size != "tiny":
        config = Qwen2Config(
            vocab_size=32_768,
            hidden_size=512,
            intermediate_size=1_408,
            num_hidden_layers=12,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            dtype="float32",
        )
        model = Qwen2ForCausalLM(config)
    model.config.eos_token_id = None
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder)
    reads = tokenizer()
    reads.eos_token = None
    reads.save_pretrained(folder)
    return folder


def measure(name: str, engine: str, folder: Path) -> Timings:
    import torch

    from bench.loops import Loop, Ours

    size = SIZES[name]
    checkpoint(name, folder)
    prompt = list(range(40, 40 + size.prompt))
    ours = Ours(folder, engine, size.threads, prompt, BUDGET)
    loop = Loop(folder, prompt)
    assert torch.get_num_threads() == size.threads
    rounds = [take_turns(ours, loop, size, number) for number in range(size.rounds + 1)]
    ours.close()
    taken = zip(*(seconds for seconds, _ in rounds[1:]), strict=True)
    best = (min(of, key=lambda seconds: seconds.sum) for of in taken)
    return Timings(*best, apart=max(apart for _, apart in rounds))


def take_turns(ours: "Ours", loop: "Loop", size: Size, number: int) -> tuple[list[Seconds], float]:
    """A step each, as Timings has them, and how far apart; the first, of short answers, is for kernels to be made."""
    tokens = size.answer if number else WARM_TOKENS
    ours.restore()
    sampled, sample_seconds = timed(ours.sample, SAMPLES, tokens, number)
    assert {len(ids) for ids in sampled} == {tokens}
    update, train_seconds = timed(ours.train, sampled)
    _, push_seconds = timed(ours.push)
    taken = [Seconds(sample_seconds, train_seconds, push_seconds)]

    part = sampled[: PUBLISHED_ROWS * size.parts]
    times = SAMPLES / len(part)
    loop.restore()
    _, sample_seconds = timed(lambda: [loop.sample(PUBLISHED_ROWS, tokens, False) for _ in range(size.parts)])
    part_loss, train_seconds = timed(loop.gradient, part, PUBLISHED_ROWS)
    part_norm, update_seconds = timed(loop.update)
    taken.append(Seconds(times * sample_seconds, times * train_seconds + update_seconds))

    loop.restore()
    _, sample_seconds = timed(loop.sample, SAMPLES, tokens, True)
    found, train_seconds = timed(loop.train, sampled, BUDGET // (size.prompt + size.answer))
    taken.append(Seconds(sample_seconds, train_seconds))

    ours.restore()
    own = ours.train(part)
    pairs = [*zip(found, update, strict=True), *zip((part_loss, part_norm), own, strict=True)]
    return taken, max(abs(theirs / wanted - 1) for theirs, wanted in pairs)


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    value = work(*arguments)
    return value, time.perf_counter() - start


def main(words: Sequence[str]) -> None:
    quiet_libraries()
    print(json.dumps(asdict(measure(words[0], words[1], Path(words[2])))))


if __name__ == "__main__":
    main(sys.argv[1:])
