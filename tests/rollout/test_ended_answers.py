"""Answers that are ended before they end, as one suite for both engines: each is the beginning of the answer that the
same request without a rule gives, up to the first token at which the rule holds."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from em.model.loading import load
from em.rollout import Completion, Engine, Request, open_engine
from em.rollout.loops import Loop
from em.tiny.corpus import EOS
from em.trial.evaluation import Ends
from em.trial.model import Model, Precision
from em.trial.rollout import EngineConfig, EngineName
from tests.rollout.test_loops import by_definition

LOOP = Loop(longest=12, times=3, tokens=6)
LIMIT = 100
SETTINGS: list[dict[str, Any]] = [
    {"samples": 1, "temperature": 0.0},
    {"samples": 3, "temperature": 0.0},
    {"samples": 8, "temperature": 0.3},
    {"samples": 8, "temperature": 1.0},
]


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def engine(request: pytest.FixtureRequest, keep: Callable[[Engine], Engine], checkpoint: Callable[..., Path]) -> Engine:
    if request.param == "vllm":
        pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    folder = checkpoint(tied=False)
    config = EngineConfig(engine=EngineName(request.param), max_num_seqs=32)
    engine = keep(open_engine(folder, config, Model(path=str(folder), precision=Precision.fp32)))
    engine.push(load(folder, torch.float32).state_dict())
    return engine


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Without a rule; some loop, some end by themselves, some meet the limit."""
    prompts = [list(b"3+8+5+2?"), list(range(40))]
    asked = [(prompt, settings) for prompt in prompts for settings in SETTINGS]
    return [
        Request(prompt=prompt, seed=number << 20, max_new_tokens=LIMIT, **settings)
        for number, (prompt, settings) in enumerate(asked)
    ]


@pytest.fixture(scope="module")
def free(engine: Engine, requests: list[Request]) -> list[list[Completion]]:
    return engine.generate(requests, logprobs=True)


@pytest.fixture(params=[1, 64])
def every(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Tokens between two looks."""
    for name in ("transformers", "vllm"):
        monkeypatch.setattr(f"em.rollout.{name}.EVERY", request.param)
    return request.param


def cut(answer: Completion, count: int | None, ended: Ends) -> Completion:
    """Its first tokens, unless it ends by itself before that or there."""
    if count is None or (count == len(answer.token_ids) and not answer.truncated):
        return answer
    assert answer.logprobs is not None
    return Completion(answer.token_ids[:count], truncated=True, logprobs=answer.logprobs[:count], ended=ended)


def test_a_loop_is_ended_at_its_first_token(engine, requests, free, every):
    looping = [replace(request, loop=LOOP) for request in requests]
    expected = [[cut(it, by_definition(it.token_ids, LOOP, LIMIT), Ends.loops) for it in answers] for answers in free]
    assert engine.generate(looping, logprobs=True) == expected
    kinds = [answer.ended if answer.ended else answer.truncated for answers in expected for answer in answers]
    assert set(kinds) == {Ends.loops, True, False}
    assert any(len({answer.ended for answer in answers}) == 2 for answers in expected)  # of one request some


def test_what_else_is_in_the_batch_does_not_count(engine, requests):
    """Requests with a rule among others without, and each alone."""
    mixed = [replace(request, loop=LOOP) if number % 2 else request for number, request in enumerate(requests)]
    together = engine.generate(mixed)
    assert together[::2] == engine.generate(requests[::2])
    assert together[1::2] == [engine.generate([request])[0] for request in mixed[1::2]]


def has_twice(wanted: str, text: str) -> bool:
    return any(text.count(letter) > 1 for letter in wanted)


def final_at(answer: Completion, wanted: str, held: int = 0) -> int | None:
    """With how many tokens the text, less the characters that are held back, has a letter twice."""
    for count in range(1, len(answer.token_ids) + 1):
        text = bytes(token for token in answer.token_ids[:count] if token < 256).decode(errors="replace")
        if has_twice(wanted, text[: len(text) - held]):
            return count
    return None


def test_an_answer_whose_text_is_final_is_ended(engine, requests, free, every):
    wanted = "aeiou"
    asked = [replace(request, is_final=partial(has_twice, wanted)) for request in requests]
    expected = [[cut(it, final_at(it, wanted), Ends.answered) for it in answers] for answers in free]
    assert engine.generate(asked, logprobs=True) == expected
    assert {answer.ended for answers in expected for answer in answers} == {None, Ends.answered}


def test_the_rule_that_holds_first_ends_it(engine, requests, free):
    wanted = "xyz"
    asked = [replace(request, is_final=partial(has_twice, wanted), loop=LOOP) for request in requests]
    for number, answers in enumerate(engine.generate(asked, logprobs=True)):
        for answer, whole in zip(answers, free[number], strict=True):
            final, loop = final_at(whole, wanted), by_definition(whole.token_ids, LOOP, LIMIT)
            is_loop = loop is not None and (final is None or loop <= final)
            assert answer == cut(whole, loop if is_loop else final, Ends.loops if is_loop else Ends.answered)


def test_stop_strings_end_what_no_rule_has_ended_and_count_as_no_text(engine, requests):
    """What may be the beginning of a stop string is not in the text that is judged."""
    asked = [replace(request, stop=("e", "never")) for request in requests]
    free = engine.generate(asked, logprobs=True)
    watched = [replace(request, is_final=partial(has_twice, "xyz"), loop=LOOP) for request in asked]
    ended = set()
    for number, answers in enumerate(engine.generate(watched, logprobs=True)):
        for answer, whole in zip(answers, free[number], strict=True):
            final, loop = final_at(whole, "xyz", held=4), by_definition(whole.token_ids, LOOP, LIMIT)
            is_loop = loop is not None and (final is None or loop <= final)
            assert answer == cut(whole, loop if is_loop else final, Ends.loops if is_loop else Ends.answered)
            ended.add(answer.ended or answer.token_ids[-1])
    assert {Ends.loops, Ends.answered, ord("e"), EOS} <= ended


def test_who_stops_reading_leaves_no_watched_request_behind(engine, requests, free):
    answers = engine.stream([replace(request, loop=LOOP) for request in requests])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    whole = [[replace(answer, logprobs=None) for answer in samples] for samples in free]
    assert engine.generate(requests) == whole
