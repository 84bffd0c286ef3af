"""A small random checkpoint of every architecture that the project supports."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel

from em.tiny.corpus import EOS, PAD
from em.tiny.tokenizer import VOCABULARY, tokenizer

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "dtype": "float32",
    "tie_word_embeddings": False,
}
GROUPED = {"num_key_value_heads": 1}
EXPERTS = {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2}
GEMMA = {**GROUPED, "head_dim": 32, "tie_word_embeddings": True}
OWN: dict[str, dict[str, Any]] = {  # by architecture: what differs from COMMON
    "CohereForCausalLM": {**GROUPED, "logit_scale": 0.25, "tie_word_embeddings": True},
    "FalconForCausalLM": {"tie_word_embeddings": True},
    "GemmaForCausalLM": GEMMA,
    "Gemma2ForCausalLM": {
        **GEMMA,
        "query_pre_attn_scalar": 32,
        "sliding_window": 16,
        "final_logit_softcapping": 5.0,  # so low that it shows
        "attn_logit_softcapping": 4.0,
    },
    "Gemma3ForCausalLM": {**GEMMA, "query_pre_attn_scalar": 32, "sliding_window": 16},
    "GPT2LMHeadModel": {"tie_word_embeddings": True},
    "GPTNeoXForCausalLM": {"rotary_pct": 1.0},
    "GraniteForCausalLM": {**GROUPED, "logits_scaling": 8.0, "embedding_multiplier": 2.0, "attention_multiplier": 0.2},
    "LlamaForCausalLM": GROUPED,
    "MistralForCausalLM": {**GROUPED, "head_dim": 32, "sliding_window": None},
    "MixtralForCausalLM": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Olmo2ForCausalLM": GROUPED,
    "Olmo3ForCausalLM": {**GROUPED, "sliding_window": 16},
    "OlmoForCausalLM": GROUPED,
    "OlmoeForCausalLM": EXPERTS,
    "Phi3ForCausalLM": {**GROUPED, "original_max_position_embeddings": 512},
    "Qwen2ForCausalLM": {**GROUPED, "tie_word_embeddings": True},
    "Qwen2MoeForCausalLM": {**EXPERTS, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64},
    "Qwen3ForCausalLM": {**GROUPED, "head_dim": 32},
    "Qwen3MoeForCausalLM": {**EXPERTS, "head_dim": 32, "moe_intermediate_size": 64},
    "SmolLM3ForCausalLM": GROUPED,
    "StableLmForCausalLM": GROUPED,
    "Starcoder2ForCausalLM": GROUPED,
}


def random_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """Weights so large that its distributions are far from uniform."""
    kind = getattr(transformers, architecture)
    settings = COMMON | OWN[architecture]
    if kind.config_class.model_type == "gpt2":
        settings = {kind.config_class.attribute_map.get(name, name): value for name, value in settings.items()}
    with torch.random.fork_rng(devices=[]):
        model = kind(kind.config_class(**settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(0.0, 0.2, generator=generator)
            if "norm" in name and name.endswith("weight") and "Gemma" not in architecture:
                weight.add_(1.0)  # Gemma's norms do that themselves
    return model


def save(model: PreTrainedModel, folder: Path, **saving: Any) -> Path:
    """A checkpoint folder as they are published: weights, configs, tokenizer."""
    model.save_pretrained(folder, **saving)
    GenerationConfig(eos_token_id=EOS, pad_token_id=PAD).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
