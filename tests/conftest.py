"""Small random checkpoints, so that engines and trainers start in seconds and tests of values need no pretraining."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from em.tiny.corpus import EOS, PAD
from em.tiny.tokenizer import VOCABULARY, tokenizer

torch.set_num_threads(1)  # two workers share two cores




def random_model(tied: bool, seed: int = 0, context: int = 1024) -> Qwen3ForCausalLM:
    """A Qwen3 of random weights, so large that its distributions are far from uniform; the seed decides every bit."""
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        model = Qwen3ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.3, generator=generator)
    return model.eval()


def write_checkpoint(folder: Path, model: Qwen3ForCausalLM) -> Path:
    model.generation_config = GenerationConfig(eos_token_id=EOS, pad_token_id=PAD)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(name="random_model", scope="session")
def random_model_fixture() -> Callable[..., Qwen3ForCausalLM]:
    return random_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(tied=True, seed=0)`: the folder of such a random model, written once."""

    @cache
    def written(tied: bool, seed: int = 0) -> Path:
        return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), random_model(tied, seed))

    return written
