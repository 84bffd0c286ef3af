"""Graders that can tell when nothing that follows a text changes its grade: what follows indeed does not."""

import json
import random
from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from em.cli.compose import compose_trial
from em.cli.inputs import resolve_benchmark
from em.cli.overrides import CONF
from em.evaluation import graders
from em.evaluation.evaluate import Evaluator
from em.evaluation.graders import GRADERS, programs, tiny
from em.rollout import Completion
from em.rollout.loops import Loop
from em.trial.evaluation import Benchmark, Ends, Evaluation
from em.trial.unit import Measurement

PAPER = ["math500", "minerva_math", "olympiadbench", "amc23", "kk", "mbpp"]
DOUBLE = "def double(x):\n    return 2 * x\n"
TRIPLE = "def triple(x):\n    return 3 * x\n"
PIECES = [
    *[DOUBLE, "[DONE]", "```\n"] * 4,
    TRIPLE,
    "```python\n",
    "[BEGIN]",
    "\ufeff",
    "So:\n",
    "x = 1\n",
    "[DO",
    "NE]",
]


def texts(pieces: list[str], count: int) -> list[tuple[str, str]]:
    """(a text, what follows)"""
    draw = random.Random(0)
    pick = lambda most: "".join(draw.choices(pieces, k=draw.randint(0, most)))  # noqa: E731
    return [(pick(8), pick(8)) for _ in range(count)]


def test_of_a_tiny_answer():
    final = [(text, more) for text, more in texts(list("0189#=, ") * 2 + ["é"], 5000) if tiny.is_final(text, "8")]
    assert len(final) > 1000
    for text, more in final:
        assert tiny.grade(text + more, "8") == tiny.grade(text, "8")
    assert not any(tiny.is_final(text, "8") for text in ("", "3+8=1", "3+8=1#", "3+8=1#8", "#0"))
    assert all(tiny.is_final(text, "8") for text in ("#88", "##", "#x", "#8#"))


def test_of_a_program():
    drawn = texts(PIECES, 3000)
    final = [(text, more) for text, more in drawn if programs.is_final(text, ("double",))]
    assert 300 < len(final) < 2000
    for text, more in final:
        assert programs.extract(text + more, ("double",)) == programs.extract(text, ("double",))
    assert not programs.is_final(DOUBLE, ("double",))
    assert programs.is_final(DOUBLE + "[DONE]", ("double",))
    assert not programs.is_final(TRIPLE + "[DONE]", ("double",))
    assert programs.is_final("[DONE]" * programs.PARTS, ("double",))


def test_a_row_without_tests_is_never_final():
    final = graders.final("code")
    assert final is not None
    assert final(DOUBLE + "[DONE]", reference=json.dumps({"test_list": ["assert double(2) == 4"]}))
    assert not final(DOUBLE + "[DONE]", reference="{}")


@pytest.mark.parametrize("name", ["maths", "olympiad", "boxed", "knights"])
def test_what_takes_the_last_answer_is_never_final(name):
    """And has reason to: a last answer changes the grade of any text."""
    assert graders.final(name) is None
    text, more, reference = r"So it is \boxed{1}.", r" Wait: \boxed{2}.", "2"
    if name == "knights":
        text, more = "<answer>Ava is a knave</answer>", "<answer>Ava is a knight</answer>"
        reference = "Ava is a knight"
    if name == "olympiad":
        reference = json.dumps({"final_answer": ["2"]})
    grade = graders.grader(name)
    assert (grade(text, reference).correct, grade(text + more, reference).correct) == (False, True)


class Recorder:
    """A sampler that keeps what it is asked, and answers as told."""

    context = 64

    def __init__(self, answer: Completion) -> None:
        self.answer, self.requests = answer, []

    def stream(self, requests):
        self.requests += requests
        yield from ((index, [self.answer] * request.samples) for index, request in enumerate(requests))


class Bytes:
    context = own_context = 64

    def encode_problem(self, benchmark, problem):
        return list(problem.encode())

    def stops(self, stop):
        return (), ()

    def decode(self, answers, stop):
        return [bytes(ids).decode() for ids in answers]


@pytest.mark.parametrize(
    ("ends", "has_loop", "has_final"),
    [
        (Ends.none, False, False),
        (Ends.loops, True, False),
        (Ends.answered, False, True),
        (Ends.both, True, True),
    ],
)
def test_an_evaluation_asks_for_it_and_records_how_answers_ended(ends, has_loop, has_final):
    benchmark = resolve_benchmark(Benchmark(name="b", pairs=[["1+7?", "8"]], max_new_tokens=8, grader="tiny"))
    evaluation = Evaluation(benchmark=benchmark, temperature=1.0, top_p=1.0, samples=2, seed=0, ends=ends)
    answer = Completion(list(b"#88"), truncated=True, ended=None if ends is Ends.none else Ends.answered)
    sampler = Recorder(answer)
    evaluator = Evaluator(sampler, Bytes())  # type: ignore[arg-type]
    [measured] = evaluator.measure([Measurement(10, evaluation)])
    result = measured.result()
    evaluator.close()
    [request] = sampler.requests
    assert request.loop == (Loop() if has_loop else None)
    assert (request.is_final is not None) is has_final
    assert request.is_final is None or (request.is_final("#88"), request.is_final("#8")) == (True, False)
    assert result.truncated == [True, True]
    assert result.ended == (None if ends is Ends.none else ["answered", "answered"])


def test_it_is_part_of_an_evaluations_id_off_its_default_alone():
    plain, given = (compose_trial(words).evaluations[0] for words in ([], ["eval.ends=loops"]))
    assert given == replace(plain, ends=Ends.loops)
    assert len({plain.id, given.id, replace(plain, ends=Ends.both).id}) == 3
    assert "ends" not in plain.identity()


def test_of_the_papers_benchmarks_one_has_a_grader_that_can_tell():
    words = [OmegaConf.load(CONF / "benchmark" / f"{name}.yaml") for name in PAPER]
    assert [name for name, item in zip(PAPER, words, strict=True) if GRADERS[item.grader].final] == ["mbpp"]
