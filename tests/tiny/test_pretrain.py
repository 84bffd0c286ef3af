"""Pretraining is reproducible to the bit, leaves no trace in torch's state, and happens once."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from em.tiny import pretrain
from em.tiny.corpus import EOS, PAD, corpus
from em.tiny.recipe import Recipe, path

SHORT = Recipe(steps=20, batch=16, warmup=5)


def bits(model: torch.nn.Module) -> bytes:
    return b"".join(weight.detach().numpy().tobytes() for weight in model.parameters())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pretrain.build(SHORT, tmp_path_factory.mktemp("cache"), show_progress=False)


def test_same_bits_under_any_thread_count_and_global_seed(folder):
    saved = bits(AutoModelForCausalLM.from_pretrained(folder))
    ambient = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        before = torch.get_num_threads()  # vLLM forbids changes in a process that it was loaded in
        state = torch.manual_seed(threads).get_state()
        assert bits(pretrain.pretrain(SHORT, show_progress=False)) == saved
        assert torch.get_num_threads() == before
        assert torch.equal(torch.get_rng_state(), state)
    torch.set_num_threads(ambient)
    other = Recipe(steps=20, batch=16, warmup=5, seed=1)
    assert bits(pretrain.pretrain(other, show_progress=False)) != saved


def test_groups_add_up_to_the_whole_batch():
    """Two unpadded groups give the gradient of one batch that is padded and weighted by hand."""
    model = pretrain.initial(SHORT)
    weights = list(model.parameters())
    groups = next(iter(pretrain.batches(SHORT, np.random.default_rng(0))))
    total = sum(float(weight_GT.sum()) for _, weight_GT in groups)
    parts = [pretrain.gradient(model, weights, total, *group) for group in groups]

    ids_BT = torch.from_numpy(
        corpus(SHORT, SHORT.steps * SHORT.batch, np.random.default_rng(0))[0][:16].astype(np.int64)
    )
    logits_BTV = model(input_ids=ids_BT).logits[:, :-1]
    target_BT = ids_BT[:, 1:]
    weight_BT = torch.where(torch.arange(1, 28) < 8, SHORT.prompt_weight, 1.0) * (target_BT != PAD)
    loss_BT = F.cross_entropy(logits_BTV.transpose(1, 2), target_BT, reduction="none")
    whole = torch.autograd.grad((loss_BT * weight_BT).sum() / weight_BT.sum(), weights)
    for weight, *two in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(two), weight, rtol=1e-4, atol=1e-6)


def test_checkpoint_is_complete(folder):
    assert folder.name == f"tiny-{SHORT.digest()}"
    assert folder == path(SHORT, folder.parent)
    names = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "recipe.json"}
    assert names <= {file.name for file in folder.iterdir()}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 320
    assert model.config.hidden_size // SHORT.heads == 32
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (EOS, PAD)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_learns(folder):
    """A uniform guess among 320 symbols costs log 320 = 5.77 nats; twenty steps learn which symbols there are."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids_BT = torch.from_numpy(corpus(SHORT, 64, np.random.default_rng(9))[0].astype(np.int64))
    loss = F.cross_entropy(model(ids_BT).logits[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten(), ignore_index=PAD)
    assert loss.item() < 4.5


def test_a_cached_model_is_not_trained_again(folder, monkeypatch):
    monkeypatch.setattr(pretrain, "pretrain", lambda *_: pytest.fail("trained again"))
    assert pretrain.build(SHORT, folder.parent) == folder


def test_a_failure_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pretrain.build(SHORT, tmp_path, show_progress=False)
    assert [entry.suffix for entry in tmp_path.iterdir()] == [".lock"]


@pytest.mark.slow
def test_two_processes_build_one_folder(tmp_path, folder):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.starmap(pretrain.build, [(SHORT, tmp_path, False)] * 2)
    assert folders == [path(SHORT, tmp_path)] * 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]
    assert (folders[0] / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
