"""A checkpoint's model, its tokenizer, and the tokens that end an answer; what cannot be read is one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from em.errors import InputError, first_line
from em.trial.model import Precision

DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16}
CONSTANTS = ("rotary_emb.inv_freq", "attn.bias", "masked_bias")  # tables that old versions of transformers saved


@contextmanager
def refused(said: str) -> Iterator[None]:
    """Whatever libraries raise here is one line, an InputError, but for what another try may mend: memory, a card."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each file may be damaged in its own way
        passing = isinstance(error, MemoryError | torch.OutOfMemoryError | torch.AcceleratorError)
        if passing or any(word in str(error) for word in ("memory", "CUDA", "No space left")):
            raise
        raise InputError(f"{said} ({first_line(error)[:200]})") from error


def attention(config: PretrainedConfig) -> str | None:
    """Which way of transformers computes it: torch's kernels leave out the cap that Gemma 2 was trained with."""
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None


def load(folder: Path, dtype: torch.dtype, device: torch.device | None = None) -> PreTrainedModel:
    """The model of a checkpoint folder, in eval mode: dropout would add noise to the loss.  Straight to the device.

    Raises InputError where the files are not exactly its tensors, all of them finite: transformers would make up what
    is missing and leave out what it does not know.
    """
    with refused(f"model.path={folder}: transformers cannot load it"):
        model, found = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            dtype=dtype,
            attn_implementation=attention(AutoConfig.from_pretrained(folder)),
            output_loading_info=True,
            device_map={"": device} if device else None,
        )
    unknown = [name for name in found["unexpected_keys"] if not name.endswith(CONSTANTS)]
    for names, where in ((found["missing_keys"], "not in its files"), (unknown, "in its files but not in it")):
        if names:
            shown = ", ".join(sorted(names)[:3]) + ", ..." * (len(names) > 3)
            raise InputError(f"model.path={folder}: {len(names)} tensors are {where}: {shown}; download it again")
    for name, tensor in model.named_parameters():
        if not torch.isfinite(torch.linalg.vector_norm(tensor)):
            raise InputError(f"model.path={folder}: {name} holds NaN or infinite numbers; take another checkpoint")
    return model.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    with refused(f"model.path={folder}: its tokenizer cannot be loaded"):
        return AutoTokenizer.from_pretrained(folder)


def vocabulary(folder: Path) -> int:
    """Rows of the embedding: every token id is below it."""
    return AutoConfig.from_pretrained(folder).get_text_config().vocab_size


def end_ids(folder: Path, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids that end an answer, of generation_config.json, config.json and tokenizer together: vLLM stops at these.

    Raises InputError where there are such ids, and the model has none of them in its embedding.
    """
    config = AutoConfig.from_pretrained(folder)
    named = [config.eos_token_id, config.get_text_config().eos_token_id, tokenizer.eos_token_id]
    if (folder / "generation_config.json").is_file():
        named.append(GenerationConfig.from_pretrained(folder).eos_token_id)
    ids = {id_ for item in named for id_ in (item if isinstance(item, list) else [item]) if id_ is not None}
    rows = vocabulary(folder)
    inside = {id_ for id_ in ids if 0 <= id_ < rows}
    if ids and not inside:
        raise InputError(
            f"model.path={folder}: no answer would end, the end-of-sequence id {min(ids)} of its tokenizer or configs "
            f"is beyond the {rows} rows of its embedding"
        )
    return inside
