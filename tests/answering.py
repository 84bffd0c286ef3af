"""Answers to the prompts of a pool without a model, for tests of what is selected."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from em.evaluation.evaluate import Evaluator
from em.rollout import Completion, Request, Sampler
from em.train.selection import SAMPLES, Selector


class Scripted(Sampler):
    """Answers each prompt of a pool rightly as often as told, of SAMPLES; a token's -log p is as told, or 1/2."""

    context = 1024

    def __init__(self, answers: Sequence[str], right: Sequence[int], nats: Sequence[float] | None = None) -> None:
        self.answers, self.right, self.nats = answers, right, nats or [0.5] * len(answers)
        self.requests: list[Request] = []

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        assert logprobs
        self.requests += requests
        for index in reversed(range(len(requests))):  # engines finish in any order
            right = self.right[index]
            answers = [self.answers[index]] * right + ["hm."] * (SAMPLES - right)
            yield index, [Completion(list(text.encode()), False, [-self.nats[index]] * len(text)) for text in answers]


class Bytes:
    """A reader of the prompts' bytes."""

    def encode(self, text: str, max_new_tokens: int) -> list[int]:
        return list(text.encode())

    def decode(self, answers: list[list[int]]) -> list[str]:
        return [bytes(ids).decode() for ids in answers]


def selector(folder: Path, sampler: Sampler, base_id: str = "base") -> Selector:
    evaluator: Any = Evaluator(sampler, Bytes())  # type: ignore[arg-type]
    return Selector(base_id, evaluator, folder)
