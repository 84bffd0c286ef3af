"""Measures the weights that an engine holds: all benchmarks of a measurement as one batch, graded while it runs.

P problems of a benchmark, K samples each.  A sample's random stream depends on (evaluation seed, benchmark, problem,
sample) and not on the trial: two models are compared on common random numbers.  With `numbers=own` it depends on the
trial's seed, too: equal seeds of two cells are compared on common random numbers.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial

from em.errors import require
from em.evaluation import graders
from em.evaluation.asked import asked, stream_of
from em.evaluation.graders import GRADERS, Grade
from em.evaluation.pool import GradingPool, grade_of
from em.evaluation.problems import digested_problems
from em.evaluation.statistics import AnswerStatistics, Looks, statistics_of
from em.rollout import Completion, Request, Sampler
from em.rollout.loops import Loop
from em.rollout.reader import Reader
from em.store.record import EvaluationResult, grades
from em.trial.evaluation import Ends, Evaluation, Numbers, Statistics, Texts
from em.trial.unit import Measurement


@dataclass
class Measured:
    """Answers of one measurement, whose grades may not all be known yet."""

    measurement: Measurement
    asked: list[int]  # the problems, by their place in the benchmark
    answers: dict[int, list[Completion]] = field(default_factory=dict)  # by place in `asked`
    texts: dict[int, list[str]] = field(default_factory=dict)
    grades: dict[int, list[Future[Grade]]] = field(default_factory=dict)
    statistics: AnswerStatistics | None = None

    @property
    def is_graded(self) -> bool:
        return all(future.done() for futures in self.grades.values() for future in futures)

    def result(self, alive: Callable[[], None] = lambda: None) -> EvaluationResult:
        """Waits for the last grade, and calls `alive` as grades come."""
        for _ in as_completed(future for futures in self.grades.values() for future in futures):
            alive()
        evaluation = self.measurement.evaluation
        order = range(len(self.answers))
        completions = [completion for problem in order for completion in self.answers[problem]]
        return EvaluationResult(
            step=self.measurement.step,
            evaluation_id=evaluation.id,
            benchmark=evaluation.benchmark.name,
            temperature=evaluation.temperature,
            problems=len(order),
            samples=evaluation.samples,
            lengths=[len(completion.token_ids) for completion in completions],
            truncated=[completion.truncated for completion in completions],
            ended=by_rules(completions),
            **(self.statistics.fields() if self.statistics else {}),
            asked=self.asked if evaluation.problems else None,
            texts=kept([text for problem in order for text in self.texts[problem]], evaluation),
            **grades(
                [grade_of(future) for problem in order for future in self.grades[problem]],
                version=GRADERS[evaluation.benchmark.grader].version,
            ),
        )


class Evaluator:
    """Holds the prepared requests of every evaluation met so far: a lane measures thousands of models with the same."""

    def __init__(self, sampler: Sampler, reader: Reader, looks: Looks | None = None) -> None:
        self.sampler, self.reader, self.looks, self.pool = sampler, reader, looks, GradingPool()
        self.prepared: dict[str, tuple[list[Request], list[str]]] = {}

    def measure(
        self, measurements: Sequence[Measurement], alive: Callable[[], None] = lambda: None, seed: int = 0
    ) -> list[Measured]:
        """Samples all answers of the weights as they are now; grading may go on after it.

        `alive` is called as answers come: all of them may take hours.  `seed` is the trial's, for evaluations that
        depend on it.
        """
        measured, prepared = list[Measured](), list[tuple[list[Request], list[str]]]()
        for measurement in measurements:
            evaluation, (requests, references) = measurement.evaluation, self.prepare(measurement.evaluation)
            places = asked(evaluation, seed, len(requests))
            own = [requests[at] for at in places]
            if evaluation.numbers is Numbers.own:
                own = [replace(requests[at], seed=stream_of(evaluation, seed, at)) for at in places]
            measured.append(Measured(measurement, places))
            prepared.append((own, [references[at] for at in places]))
        owners = [
            (owner, problem, reference)
            for owner, (_, references) in zip(measured, prepared, strict=True)
            for problem, reference in enumerate(references)
        ]
        requests = [request for requests, _ in prepared for request in requests]
        for index, answers in self.sampler.stream(requests):
            alive()
            owner, problem, reference = owners[index]
            texts = self.reader.decode([answer.token_ids for answer in answers], requests[index].stop)
            judge = owner.measurement.evaluation.benchmark.grader
            owner.answers[problem], owner.texts[problem] = answers, texts
            owner.grades[problem] = self.pool.submit_all(judge, [(text, reference) for text in texts])
        for owner, (requests, _) in zip(measured, prepared, strict=True):
            if owner.measurement.evaluation.statistics is not Statistics.none:
                owner.statistics = self._statistics(owner, [request.prompt for request in requests])
                alive()
        return measured

    def _statistics(self, measured: Measured, prompts: Sequence[list[int]]) -> AnswerStatistics:
        """Of the answers to each problem, problem by problem."""
        kind, answers = measured.measurement.evaluation.statistics, measured.answers
        require(self.looks is not None, "eval.statistics", kind.value, "needs the model, and here are answers alone")
        assert self.looks is not None
        flat = [(problem, answer.token_ids) for problem in range(len(prompts)) for answer in answers[problem]]
        return statistics_of(self.looks, prompts, flat, kind)

    def prepare(self, evaluation: Evaluation) -> tuple[list[Request], list[str]]:
        """The P requests of an evaluation and the P references."""
        if evaluation.id not in self.prepared:
            benchmark = evaluation.benchmark
            graders.require_ready(benchmark.grader, f"benchmarks.{benchmark.name}")
            pairs = digested_problems(benchmark)
            strings, ids = self.reader.stops(benchmark.stop)
            require(
                benchmark.max_new_tokens < self.reader.context,
                f"benchmarks.{benchmark.name}.max_new_tokens",
                benchmark.max_new_tokens,
                f"prompt and answer together have {self.reader.context} tokens here (rollout.max_model_len)",
            )
            loop = Loop() if evaluation.ends in (Ends.loops, Ends.both) else None
            final = graders.final(benchmark.grader) if evaluation.ends in (Ends.answered, Ends.both) else None
            prompts = [self.reader.encode_problem(benchmark, text) for text, _ in pairs]
            strata = evaluation.strata
            require(
                len(strata) in (0, len(prompts)),
                f"eval.strata.{benchmark.name}",
                strata,
                f"must have a character for each of the {len(prompts)} problems",
            )
            longest = max(map(len, prompts))
            # Where the model's own context cuts an answer short, that depends on the model alone.
            needed = min(longest + benchmark.max_new_tokens, self.reader.own_context)
            require(
                needed <= self.reader.context,
                "rollout.max_model_len",
                self.reader.context,
                f"would cut answers of benchmarks.{benchmark.name} short: its longest prompt has {longest} tokens, and "
                f"max_new_tokens={benchmark.max_new_tokens}; set it to {needed} or more",
            )
            requests = [
                Request(
                    prompt=prompt,
                    seed=stream_of(evaluation, 0, index),
                    samples=evaluation.samples,
                    temperature=evaluation.temperature,
                    top_p=evaluation.top_p,
                    max_new_tokens=min(benchmark.max_new_tokens, self.reader.context - len(prompt)),
                    stop=strings,
                    stop_ids=ids,
                    loop=loop,
                    is_final=partial(final, reference=reference) if final else None,
                )
                for index, (prompt, (_, reference)) in enumerate(zip(prompts, pairs, strict=True))
            ]
            self.prepared[evaluation.id] = requests, [reference for _, reference in pairs]
        return self.prepared[evaluation.id]

    def grade(self, grader: str, texts: Sequence[str], references: Sequence[str]) -> list[Grade]:
        """The grades of some answers, each against its own reference."""
        return [grade_of(of) for of in self.pool.submit_all(grader, list(zip(texts, references, strict=True)))]

    def close(self) -> None:
        self.pool.close()


def by_rules(completions: Sequence[Completion]) -> list[str | None] | None:
    """By which rule each answer was ended; None where none was."""
    ended = [completion.ended.value if completion.ended else None for completion in completions]
    return ended if any(ended) else None


def kept(texts: list[str], evaluation: Evaluation) -> list[str | None]:
    """The texts with those that are not to be kept left out; problem by problem, so that every K-th is a first one."""
    if evaluation.texts is Texts.none:
        return [None] * len(texts)
    every = evaluation.samples if evaluation.texts is Texts.sample else 1
    return [text if index % every == 0 else None for index, text in enumerate(texts)]
