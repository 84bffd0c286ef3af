"""The selected prompt: the paper's rule by its values, what is drawn, and what is kept of it."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from em.evaluation.evaluate import Evaluator
from em.rollout import Completion, Request, Sampler
from em.tiny import tasks
from em.train.selection import GRADER, PROBLEMS, SAMPLES, SUITE, Candidate, Selector, ranked
from em.trial.prompts import Prompts, Select

SELECTED = Prompts(select=Select.variance)
POOL = tasks.problems(SUITE, "train", PROBLEMS)
CUSP = 17  # place in the pool of the prompt that the scripted model gets right half the time


def candidate(text: str, correct: int, entropy: float = 0.1) -> Candidate:
    return Candidate(text=text, answer="0", correct=correct, samples=16, entropy=entropy)


def order(*candidates: Candidate) -> str:
    return "".join(item.text for item in ranked(candidates))


def test_variance_is_of_scores_of_0_and_1():
    assert [candidate("a", correct).variance for correct in (0, 4, 8, 12, 16)] == [0, 3 / 16, 1 / 4, 3 / 16, 0]


def test_the_highest_variance_comes_first():
    assert order(candidate("a", 16), candidate("b", 3), candidate("c", 8), candidate("d", 11)) == "cdba"


def test_of_equal_variances_the_higher_entropy_comes_first_and_then_the_order_of_the_pool():
    assert order(candidate("a", 4, 0.2), candidate("b", 12, 0.3), candidate("c", 4, 0.2)) == "bac"
    assert order(candidate("a", 8, 0.0), candidate("b", 7, 9.9)) == "ab"


class Scripted(Sampler):
    """Answers `#d` with the right digit as often as the place in the pool says; each token has probability 1/2."""

    context = 1024

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        assert logprobs
        self.requests += requests
        for index in reversed(range(len(requests))):  # engines finish in any order
            right = SAMPLES // 2 if index == CUSP else index % 4
            answers = [f"#{POOL[index].answer}"] * right + ["hm."] * (SAMPLES - right)
            yield index, [Completion(list(text.encode()), False, [-math.log(2)] * len(text)) for text in answers]


class Bytes:
    """A reader of the prompts' bytes."""

    def encode(self, text: str, max_new_tokens: int) -> list[int]:
        return list(text.encode())

    def decode(self, answers: list[list[int]]) -> list[str]:
        return [bytes(ids).decode() for ids in answers]


def selector(folder: Path, base_id: str = "base") -> tuple[Selector, Scripted]:
    sampler, reader = Scripted(), Bytes()
    evaluator: Any = Evaluator(sampler, reader)  # type: ignore[arg-type]
    return Selector(base_id, evaluator, folder), sampler


def test_the_pool_is_drawn_and_graded(tmp_path: Path):
    made, sampler = selector(tmp_path)
    called = []
    candidates = made.candidates("Q: {problem}", lambda: called.append(1))
    assert [item.text for item in candidates] == [problem.prompt for problem in POOL]
    assert [item.correct for item in candidates] == [8 if index == CUSP else index % 4 for index in range(len(POOL))]
    assert all(item.entropy == pytest.approx(math.log(2)) for item in candidates)
    assert [bytes(request.prompt).decode() for request in sampler.requests] == [f"Q: {p.prompt}" for p in POOL]
    assert {(request.samples, request.temperature, request.top_p) for request in sampler.requests} == {(16, 1.0, 1.0)}
    assert len({request.seed for request in sampler.requests}) == len(POOL) == len(called)


def test_the_prompt_on_the_cusp_is_trained_on_with_its_reference(tmp_path: Path):
    made, _ = selector(tmp_path)
    prompts = made.resolved(SELECTED)
    assert prompts == Prompts(texts=[POOL[CUSP].prompt], answers=[POOL[CUSP].answer], grader=GRADER)
    [file] = tmp_path.glob("*.json")
    kept = json.loads(file.read_text())
    assert (kept["base"], kept["rule"]) == ("base", "variance")
    assert [item["correct"] for item in kept["best"]] == [8, *[3] * 7]
    assert kept["best"][0]["text"] == POOL[CUSP].prompt


def test_given_texts_are_left_alone(tmp_path: Path):
    made, sampler = selector(tmp_path)
    for given in (Prompts(texts=["1+1+1+1?"]), Prompts(texts=["1+1+1+1?"], select=Select.variance)):
        assert made.resolved(given) is given
    assert not sampler.requests


def test_what_was_selected_is_kept_for_the_base_model_and_the_template(tmp_path: Path):
    first, sampler = selector(tmp_path)
    assert first.resolved(SELECTED) == first.resolved(SELECTED)
    assert len(sampler.requests) == len(POOL)
    second, sampler = selector(tmp_path)  # of another process
    assert second.resolved(SELECTED) == first.resolved(SELECTED)
    assert not sampler.requests
    second.resolved(dataclasses.replace(SELECTED, template="Q: {problem}"))
    assert len(sampler.requests) == len(POOL)
    other, sampler = selector(tmp_path, "another base")
    other.resolved(SELECTED)
    assert len(sampler.requests) == len(POOL)


def test_of_two_lanes_that_start_at_once_one_selects(tmp_path: Path):
    lanes = [selector(tmp_path), selector(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda lane: lane[0].resolved(SELECTED), lanes)
    assert first == second
    assert sorted(len(sampler.requests) for _, sampler in lanes) == [0, len(POOL)]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"best": []}', '{"best": [{"text": "1?"}]}', "\udcff"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: str):
    made, _ = selector(tmp_path)
    made.resolved(SELECTED)
    [file] = tmp_path.glob("*.json")
    whole = file.read_bytes()
    file.write_bytes(content.encode(errors="surrogateescape"))
    again, sampler = selector(tmp_path)
    assert again.resolved(SELECTED).texts == [POOL[CUSP].prompt]
    assert sampler.requests
    assert file.read_bytes() == whole
