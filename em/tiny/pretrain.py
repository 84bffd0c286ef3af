"""Pretrains the tiny model of a recipe and keeps it as a Hugging Face checkpoint folder.

A step's examples are divided by length into two groups, padded to two lengths: nothing is masked, since attention is
causal and padding stands to the right.  Two threads differentiate the groups, whatever the number of cores, and the
gradients are added in a fixed order: the same recipe gives the same bits on the same machine.

G examples of a group, T tokens each, V vocabulary.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from filelock import FileLock
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from em.tiny.corpus import EOS, LENGTH, PAD, PROMPT, WORKED, corpus
from em.tiny.recipe import Recipe, path
from em.tiny.tokenizer import VOCABULARY, tokenizer


def build(recipe: Recipe, cache: Path, show_progress: bool = True) -> Path:
    """The folder of the recipe's checkpoint, pretrained first where the cache does not hold it.

    The folder appears complete or not at all; a second process that asks meanwhile waits for the first.
    """
    folder = path(recipe, cache)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            model = pretrain(recipe, show_progress)
            temporary = Path(mkdtemp(prefix=f".{folder.name}-", dir=cache))
            try:
                save(model, recipe, temporary)
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return folder


def save(model: Qwen3ForCausalLM, recipe: Recipe, folder: Path) -> None:
    """Writes weights, configuration, tokenizer and, for whoever finds the folder, the recipe."""
    model.config.save_pretrained(folder)
    GenerationConfig(eos_token_id=EOS, pad_token_id=PAD).save_pretrained(folder)
    save_file(dict(model.named_parameters()), folder / "model.safetensors", {"format": "pt"})  # a tied head only once
    tokenizer().save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    folder.chmod(0o755)


def pretrain(recipe: Recipe, show_progress: bool = True) -> Qwen3ForCausalLM:
    """The pretrained model; leaves torch's thread count and global random state as they were."""
    rng = np.random.default_rng(recipe.seed)
    pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
    with _one_thread(), pool, _bar(show_progress) as progress:
        model = initial(recipe)
        weights = list(model.parameters())
        optimizer = torch.optim.AdamW(
            weights, lr=recipe.lr, betas=(0.9, recipe.beta2), weight_decay=recipe.weight_decay, fused=True
        )
        for step, groups in enumerate(progress.track(batches(recipe, rng), total=recipe.steps)):
            optimizer.param_groups[0]["lr"] = recipe.lr * schedule(recipe, step)
            total = sum(float(weight_GT.sum()) for _, weight_GT in groups)
            gradients = pool.map(partial(gradient, model, weights, total), *zip(*groups, strict=True))
            for weight, *parts in zip(weights, *gradients, strict=True):
                weight.grad = sum(parts[1:], start=parts[0])
            torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
            optimizer.step()
        for weight in weights:
            weight.grad = None
    return model


def initial(recipe: Recipe) -> Qwen3ForCausalLM:
    """The untrained model: normal matrices from the recipe's seed, unit norms.

    Qwen3 rather than Qwen2, since AutoTokenizer (transformers 5) replaces any tokenizer beside a Qwen2 by Qwen2's own.
    """
    config = Qwen3Config(
        architectures=["Qwen3ForCausalLM"],
        vocab_size=VOCABULARY,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.hidden // recipe.heads,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        model = Qwen3ForCausalLM(config)
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, recipe.initial_sd, generator=generator)
            else:
                weight.fill_(1.0)
    return model


def batches(recipe: Recipe, rng: np.random.Generator) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """For every step the worked answers and the shorter ones: token ids and their weights in the loss, [G, T]."""
    ids_NT, style_N = corpus(recipe, recipe.steps * recipe.batch, rng)
    weight_NT = np.where(np.arange(LENGTH) < PROMPT, recipe.prompt_weight, 1.0) * (ids_NT != PAD)
    weight_NT[:, 0] = 0  # predicted by nothing
    short = int((ids_NT[style_N != WORKED] != PAD).sum(axis=1).max(initial=0))
    for start in range(0, len(ids_NT), recipe.batch):
        rows = slice(start, start + recipe.batch)
        worked_N = style_N[rows] == WORKED
        groups = [(ids_NT[rows][worked_N], weight_NT[rows][worked_N])]
        groups += [(ids_NT[rows][~worked_N, :short], weight_NT[rows][~worked_N, :short])]
        yield [
            (torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(weight.astype(np.float32)))
            for ids, weight in groups
            if len(ids)
        ]


def gradient(
    model: Qwen3ForCausalLM, weights: Sequence[Tensor], total: float, ids_GT: Tensor, weight_GT: Tensor
) -> tuple[Tensor, ...]:
    """Gradient, for each of `weights`, of the group's weighted cross-entropy divided by the batch's `total` weight."""
    hidden_GTH = model.model(input_ids=ids_GT[:, :-1], use_cache=False).last_hidden_state
    logits_GTV = model.lm_head(hidden_GTH)
    loss_GT = F.cross_entropy(logits_GTV.flatten(0, 1), ids_GT[:, 1:].flatten(), reduction="none")
    return torch.autograd.grad((loss_GT * weight_GT[:, 1:].flatten()).sum() / total, weights)


def schedule(recipe: Recipe, step: int) -> float:
    """The learning rate of a step as a fraction of its peak: linear warm-up, then a cosine to 0."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - recipe.warmup) / (recipe.steps - recipe.warmup))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small get slower with more, and the order of sums would depend on the machine's setting."""
    ambient = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(ambient)


def _bar(show: bool) -> Progress:
    columns = TextColumn("Pretraining the tiny model (once)"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, disable=not show)
