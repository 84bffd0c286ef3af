"""Measures the weights that an engine holds: all benchmarks of a measurement as one batch.

P problems of a benchmark, K samples each.  A sample's random stream depends on (evaluation seed, benchmark, problem,
sample) and not on the trial: two models are compared on common random numbers.
"""

from collections.abc import Sequence

from em.config import Evaluation, Measurement, Texts
from em.evaluation.graders import grader
from em.evaluation.problems import problems
from em.model import Reader
from em.record import EvaluationResult
from em.rollout import Completion, Engine, Request
from em.seeds import stream


class Evaluator:
    """Holds the prepared requests of every evaluation met so far: a lane measures thousands of models with the same."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self.engine, self.reader = engine, reader
        self.prepared: dict[str, tuple[list[Request], list[str]]] = {}

    def measure(self, measurements: Sequence[Measurement]) -> list[EvaluationResult]:
        """One result for each measurement, of the weights as they are now."""
        prepared = [self.prepare(measurement.evaluation) for measurement in measurements]
        answers = iter(self.engine.generate([request for requests, _ in prepared for request in requests]))
        return [
            self.grade(measurement, [next(answers) for _ in requests], references)
            for measurement, (requests, references) in zip(measurements, prepared, strict=True)
        ]

    def prepare(self, evaluation: Evaluation) -> tuple[list[Request], list[str]]:
        """The P requests of an evaluation and the P reference answers."""
        if evaluation.id not in self.prepared:
            benchmark = evaluation.benchmark
            pairs = problems(benchmark)
            requests = [
                Request(
                    prompt=self.reader.encode(benchmark.template, text, benchmark.max_new_tokens),
                    seed=stream("evaluation", evaluation.seed, benchmark.name, index),
                    samples=evaluation.samples,
                    temperature=evaluation.temperature,
                    top_p=evaluation.top_p,
                    max_new_tokens=benchmark.max_new_tokens,
                    stop=tuple(benchmark.stop),
                )
                for index, (text, _) in enumerate(pairs)
            ]
            self.prepared[evaluation.id] = requests, [reference for _, reference in pairs]
        return self.prepared[evaluation.id]

    def grade(
        self, measurement: Measurement, answers_PK: list[list[Completion]], references_P: list[str]
    ) -> EvaluationResult:
        evaluation = measurement.evaluation
        judge = grader(evaluation.benchmark.grader)
        completions = [completion for answers_K in answers_PK for completion in answers_K]
        texts = self.reader.decode([completion.token_ids for completion in completions])
        references = [reference for reference in references_P for _ in range(evaluation.samples)]
        grades = [judge(text, reference) for text, reference in zip(texts, references, strict=True)]
        return EvaluationResult(
            step=measurement.step,
            evaluation_id=evaluation.id,
            benchmark=evaluation.benchmark.name,
            temperature=evaluation.temperature,
            problems=len(references_P),
            samples=evaluation.samples,
            accuracy=sum(grade.correct for grade in grades) / len(grades),
            correct=[grade.correct for grade in grades],
            extracted=[grade.extracted for grade in grades],
            lengths=[len(completion.token_ids) for completion in completions],
            truncated=[completion.truncated for completion in completions],
            texts=kept(texts, evaluation),
        )


def kept(texts: list[str], evaluation: Evaluation) -> list[str | None]:
    """The texts with those that are not to be kept left out; problem by problem, so that every K-th is a first one."""
    if evaluation.texts is Texts.none:
        return [None] * len(texts)
    every = evaluation.samples if evaluation.texts is Texts.sample else 1
    return [text if index % every == 0 else None for index, text in enumerate(texts)]
