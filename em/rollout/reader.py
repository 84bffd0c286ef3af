"""From texts to the token ids that a model reads, and back."""

import re
from collections.abc import Sequence
from pathlib import Path

from em.errors import InputError
from em.model.loading import load_tokenizer, refused, vocabulary
from em.rollout.engine import own_context
from em.trial.evaluation import Benchmark, Chat
from em.trial.model import Model


class Reader:
    """From texts to the token ids that the model reads, and back."""

    def __init__(self, folder: Path, model: Model, context: int) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model, self.context, self.own_context = model, context, own_context(folder)
        self.vocabulary = vocabulary(folder)
        added: dict[str, int] = self.tokenizer.get_added_vocab()  # type: ignore[operator]
        ids = (id_ for text, id_ in self.tokenizer.get_vocab().items() if text not in added)
        ordinary = max(ids, default=0)
        if ordinary >= self.vocabulary:
            raise InputError(
                f"model.path={folder}: its tokenizer has ids up to {ordinary}, its embedding {self.vocabulary} rows; "
                "take the tokenizer that the model was trained with"
            )
        if model.chat_template and not self.tokenizer.chat_template:
            raise InputError(f"model.chat_template=true: the tokenizer of {model.label} has none; set it to false")

    def encode(
        self, text: str, max_new_tokens: int, system: str = "", prefill: str = "", chat: Chat = Chat.model
    ) -> list[int]:
        """Token ids of a user's message, with what comes before it and how the answer begins.

        Raises InputError where the model cannot read it, or its context leaves no room for the answer.
        """
        start = f"the prompt {text[:30]!r}..."
        templated = chat is Chat.model and self.model.chat_template
        remedy = " after a system message; set the benchmark's system='', or eval.chat=chatml" if system else ""
        messages = [{"role": role, "content": said} for role, said in (("system", system), ("user", text)) if said]
        if templated:
            with refused(f"model.chat_template=true: the template of {self.model.label} refuses {start}{remedy}"):
                text = str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        elif chat is Chat.chatml:
            turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages]
            text = "".join([*turns, "<|im_start|>assistant\n"])
        elif system:
            text = f"{system}\n\n{text}"
        with refused(f"{start} is no text that a tokenizer reads"):  # half of a surrogate pair, for one
            ids = list(self.tokenizer(text + prefill, add_special_tokens=not templated)["input_ids"])
        if not ids:
            raise InputError(f"{start} has no tokens; give a text")
        if max(ids) >= self.vocabulary:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise InputError(
                f"{start} has the token {token!r} with id {max(ids)}, and the embedding of {self.model.label} has "
                f"{self.vocabulary} rows; leave it out"
            )
        if len(ids) + max_new_tokens > self.context:
            raise InputError(
                f"max_new_tokens={max_new_tokens}: {start} has {len(ids)} tokens and "
                f"{self.model.label} reads {self.context} in all; at most {self.context - len(ids)} are left"
            )
        return ids

    def encode_problem(self, benchmark: Benchmark, problem: str) -> list[int]:
        """A problem in the benchmark's style; a long one leaves less room for its answer than `max_new_tokens`."""
        text = benchmark.template.replace("{problem}", problem)
        return self.encode(text, 1, system=benchmark.system, prefill=benchmark.prefill, chat=benchmark.chat)

    def stops(self, stop: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Stop strings, and the ids of those that are one special token: these never show in a decoded text."""
        special: dict[str, int] = self.tokenizer.get_added_vocab()  # type: ignore[operator]
        return tuple(s for s in stop if s not in special), tuple(special[s] for s in stop if s in special)

    def decode(self, answers: list[list[int]], stop: Sequence[str] = ()) -> list[str]:
        """The answers' texts, each up to the first of the stop strings, whose tokens are among the ids."""
        ends = re.compile("|".join(map(re.escape, stop)) or "(?!)")  # the latter matches nowhere
        return [ends.split(text, 1)[0] for text in self.tokenizer.batch_decode(answers, skip_special_tokens=True)]
