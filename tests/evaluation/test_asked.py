"""Which problems a trial is asked, with which random numbers, and what its record says of that."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from em.cli.compose import compose_trial
from em.cli.inputs import resolve_benchmark
from em.errors import InputError
from em.evaluation.asked import asked, stream_of
from em.evaluation.evaluate import Evaluator
from em.rollout import Completion, Request, Sampler
from em.trial.evaluation import Benchmark, Evaluation, Numbers
from em.trial.unit import Measurement

SUM = Benchmark(name="sum", suite="sum", limit=10, grader="tiny", max_new_tokens=8)
STRATA = "0000555599"


def evaluation(**changes: Any) -> Evaluation:
    return Evaluation(benchmark=SUM, **{"temperature": 1.0, "top_p": 1.0, "samples": 2, "seed": 0} | changes)


class Recalling(Sampler):
    """Answers nothing, and keeps what it was asked."""

    context = 1024

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        self.requests = list(requests)
        for index in reversed(range(len(requests))):
            yield index, [Completion([index], False)] * requests[index].samples


class Numbered:
    """A reader whose prompts are their problem's text, and whose answers tell the place of their request."""

    context = own_context = 1024

    def stops(self, stop: list[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return (), ()

    def encode_problem(self, benchmark: Benchmark, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, answers: list[list[int]], stop: tuple[str, ...] = ()) -> list[str]:
        return [f"#{place}" for [place] in answers]


def test_every_problem_has_the_same_chance_and_every_stratum_its_share():
    draws = [asked(evaluation(problems=4, strata=STRATA), seed, 10) for seed in range(4000)]
    assert all(draw == sorted(set(draw)) and len(draw) == 4 for draw in draws)
    chances = np.bincount(np.concatenate(draws), minlength=10) / len(draws)
    assert np.abs(chances - 0.4).max() < 4 * (0.4 * 0.6 / len(draws)) ** 0.5
    shares = [Counter(STRATA[place] for place in draw) for draw in draws]
    assert {share["0"] for share in shares} == {share["5"] for share in shares} == {1, 2}  # 1.6 of four
    assert {share["9"] for share in shares} == {0, 1}  # 0.8 of four


def test_the_mean_over_balanced_problems_varies_less_and_is_unbiased():
    accuracy_P = np.array([0.1, 0.0, 0.2, 0.1, 0.5, 0.6, 0.5, 0.4, 0.9, 1.0])
    for strata, deviation in ((STRATA, 0.084), ("", 0.132)):
        means = [accuracy_P[asked(evaluation(problems=4, strata=strata), seed, 10)].mean() for seed in range(4000)]
        assert np.mean(means) == pytest.approx(accuracy_P.mean(), abs=0.01)
        assert np.std(means) == pytest.approx(deviation, rel=0.05)


def test_a_trial_is_asked_the_same_in_every_process_and_everything_where_nothing_is_said():
    assert asked(evaluation(problems=4, strata=STRATA), 3, 10) == asked(evaluation(problems=4, strata=STRATA), 3, 10)
    assert [asked(evaluation(problems=4, strata=STRATA), seed, 10) for seed in range(2)] == DRAWN
    assert asked(evaluation(), 3, 10) == asked(evaluation(problems=10), 3, 10) == list(range(10))
    assert asked(evaluation(problems=99), 3, 10) == list(range(10))  # a benchmark with fewer


DRAWN = [[0, 5, 6, 9], [3, 5, 7, 9]]


def test_own_numbers_are_those_of_the_seed_and_common_ones_what_they_were():
    common, own = evaluation(), evaluation(numbers=Numbers.own)
    assert stream_of(common, 0, 3) == stream_of(common, 7, 3)
    assert (
        len({stream_of(own, seed, place) for seed in range(5) for place in range(5)} | {stream_of(common, 0, 3)}) == 26
    )
    assert common.id == Evaluation(benchmark=SUM, temperature=1.0, top_p=1.0, samples=2, seed=0).id
    designs = [{"numbers": Numbers.own}, {"problems": 4}, {"problems": 4, "strata": STRATA}, {"problems": 5}]
    assert len({evaluation(**design).id for design in [{}, *designs]}) == 5
    assert evaluation(base_samples=8).id == common.id


def test_answers_are_recorded_by_what_was_asked_and_graded_by_its_reference():
    measured = replace(evaluation(problems=4, strata=STRATA, numbers=Numbers.own), benchmark=resolve_benchmark(SUM))
    sampler, reader = Recalling(), Numbered()
    evaluator: Any = Evaluator(sampler, reader)  # type: ignore[arg-type]
    whole, references = evaluator.prepare(measured)
    [result] = [of.result() for of in evaluator.measure([Measurement(10, measured)], seed=1)]
    assert result.asked == DRAWN[1]
    assert (result.problems, result.samples, len(result.correct)) == (4, 2, 8)
    assert [request.prompt for request in sampler.requests] == [whole[place].prompt for place in DRAWN[1]]
    assert [request.seed for request in sampler.requests] == [stream_of(measured, 1, place) for place in DRAWN[1]]
    right = [references[place] == str(index) for index, place in enumerate(DRAWN[1])]
    assert result.correct[::2] == right
    [plain] = [of.result() for of in evaluator.measure([Measurement(10, measured.of_base)])]
    assert (plain.asked, plain.problems) == (None, 10)
    evaluator.close()


def test_strata_that_are_not_of_these_problems_are_refused():
    evaluator: Any = Evaluator(Recalling(), Numbered())  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"eval.strata.sum=00: must have a character for each of the 10 problems"):
        evaluator.prepare(replace(evaluation(problems=4, strata="00"), benchmark=resolve_benchmark(SUM)))
    evaluator.close()


def test_base_models_are_asked_everything_with_common_numbers():
    words = ["eval.problems=5", "eval.numbers=own", "eval.samples=1", "eval.base_samples=8", "+eval.strata.sum=ABC"]
    config = compose_trial(words)
    usual = {item.id for item in compose_trial([]).evaluations}  # avg@8
    assert {of.evaluation.id for of in config.measurements([0])} == usual
    assert not {of.evaluation.id for of in config.measurements([10])} & usual
    assert {item.benchmark.name: item.strata for item in config.evaluations}["sum"] == "ABC"
