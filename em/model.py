"""A checkpoint folder as a loaded model, and as the tokenizer that reads for it."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from em.config import Model
from em.errors import InputError


def load(folder: Path) -> PreTrainedModel:
    """The model of a checkpoint folder with fp32 master weights; in eval mode, since dropout adds noise to the loss."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


class Reader:
    """From texts to the token ids that the model reads, and back."""

    def __init__(self, folder: Path, model: Model, context: int) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.model, self.context = model, context
        if model.chat_template and not self.tokenizer.chat_template:
            raise InputError(f"model.chat_template=true: the tokenizer of {model.label} has none; set it to false")

    def encode(self, template: str, text: str, max_new_tokens: int) -> list[int]:
        """Token ids of `text` in its template; raises InputError where the context leaves no room for the answer."""
        text = template.replace("{problem}", text)
        if self.model.chat_template:
            messages = [{"role": "user", "content": text}]
            text = str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        ids = list(self.tokenizer(text, add_special_tokens=not self.model.chat_template)["input_ids"])
        if len(ids) + max_new_tokens > self.context:
            raise InputError(
                f"max_new_tokens={max_new_tokens}: the prompt {text[:30]!r}... has {len(ids)} tokens and "
                f"{self.model.label} reads {self.context} in all; at most {self.context - len(ids)} are left"
            )
        return ids

    def decode(self, answers: list[list[int]]) -> list[str]:
        return self.tokenizer.batch_decode(answers, skip_special_tokens=True)
