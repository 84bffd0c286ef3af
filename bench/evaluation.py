"""What evaluation costs beside generation, on the six benchmarks' JSONL files in the folder EM_BENCHMARK_DATA.

The engine is a stub that hands out answers which were written before.
"""

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from transformers import Qwen3Config

from bench.answers import answers
from bench.references import BARE, LOOP, LOOP_CPU, beside
from bench.rows import Row, at_least, at_most, at_most_times
from em.cli.compose import compose_trial
from em.evaluation.evaluate import Evaluator
from em.evaluation.graders import grader
from em.evaluation.graders.code import inside
from em.evaluation.pool import PROCESSES, grade_of
from em.evaluation.problems import problems
from em.rollout import Completion, Engine, Request
from em.rollout.reader import Reader
from em.tiny.tokenizer import tokenizer
from em.trial.model import Model
from em.trial.unit import Measurement

CONTEXT = 1 << 14  # tokens, which are bytes here
GRADED = 2_000  # answers of the rate
PROGRAMS = 200  # of the rate of programs
MATHS = ("maths", "olympiad")

# 1 s / 250 where the loop takes 4.8 s of CPU time; measured there: 1 s / 353 to 1 s / 320.
GRADING = 0.00083
PROGRAM = 3.5  # starts of an interpreter: a program has one in a sandbox
REQUESTS = 12.5  # 60 s where the loop takes 4.8 s; measured there: 53 to 60 s


class Stub(Engine):
    """Hands out texts, at a rate where one is given: as an engine on a GPU, it leaves the cores to others."""

    context = CONTEXT

    def __init__(self, texts: Sequence[Sequence[str]], seconds: float = 0.0) -> None:
        self.texts, self.pause = texts, seconds / len(texts)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        start = time.perf_counter()
        order = random.Random(0).sample(range(len(requests)), len(requests))  # as answers end, long ones later
        for done, index in enumerate(order, 1):
            if (early := start + done * self.pause - time.perf_counter()) > 0:
                time.sleep(early)
            yield index, [Completion(list(text.encode()), truncated=False) for text in self.texts[index]]

    def push(self, weights: object) -> None: ...

    def clear_cache(self) -> None: ...

    def close(self) -> None: ...


def rows(folder: Path) -> Iterator[Row]:
    data = os.environ.get("EM_BENCHMARK_DATA")
    if not data:
        sys.exit("set EM_BENCHMARK_DATA to a folder with the six benchmarks' JSONL files")
    config = compose_trial(["eval=paper", f"eval.data={data}", "eval.temperatures=[0.6]"])
    reader = byte_reader(folder / "model")
    rng = random.Random(0)
    measurements = list(config.measurements([0]))
    benchmarks = [measurement.evaluation.benchmark for measurement in measurements]
    texts = {benchmark.name: answers(benchmark, rng, config.eval.samples) for benchmark in benchmarks}

    maths = [
        (benchmark.grader, text, reference)
        for benchmark in benchmarks
        if benchmark.grader in MATHS
        for (_, reference), answers_K in zip(problems(benchmark), texts[benchmark.name], strict=True)
        for text in answers_K
    ]
    sample = rng.sample(maths, GRADED)
    seconds, loop_cpu = beside(LOOP_CPU, lambda: grading_cpu_seconds(sample))
    print(f"{GRADED / seconds:.0f} answers in mathematics graded a second of one core", flush=True)
    yield Row("grading an answer in mathematics, CPU", seconds / GRADED, "s", at_most_times(GRADING, loop_cpu))

    code = [
        ("code", text, reference)
        for benchmark in benchmarks
        if benchmark.grader == "code"
        for (_, reference), answers_K in zip(problems(benchmark), texts[benchmark.name], strict=True)
        for text in answers_K
    ]
    beside_program = {reference for _, _, reference in code if inside(reference)}
    yield Row("problems whose tests run beside the answer", len(beside_program), "", at_most(0))
    sample = rng.sample(code, PROGRAMS)
    seconds, bare = beside(BARE, lambda: grading_seconds(sample), runs=3)
    print(f"{PROGRAMS / seconds:.0f} programs judged a second, one after another", flush=True)
    yield Row("judging a program, one after another", seconds / PROGRAMS, "s", at_most_times(PROGRAM, bare))

    part = [m for m in measurements if m.evaluation.benchmark.name in ("math500", "minerva_math")]
    chosen = requests(part, texts)
    grading = measured(warm(Evaluator(Stub(chosen), reader)), part)
    generation = grading  # the worst case: none hides behind the other
    both = measured(warm(Evaluator(Stub(chosen, generation), reader)), part)
    hidden = (grading + generation - both) / grading
    yield Row("grading hidden behind generation of its length", 100 * hidden, "%", at_least(80))

    everything = requests(measurements, texts)
    evaluator = Evaluator(Stub(everything), reader)
    seconds, loop = beside(LOOP, lambda: measured(evaluator, measurements))
    count = sum(map(len, everything))
    yield Row(f"{count} requests prepared, queued, scored", seconds, "s", at_most_times(REQUESTS, loop))


def byte_reader(folder: Path) -> Reader:
    tokenizer().save_pretrained(folder)
    Qwen3Config(max_position_embeddings=CONTEXT).save_pretrained(folder)
    return Reader(folder, Model(path=str(folder)), CONTEXT)


def requests(measurements: Sequence[Measurement], texts: Mapping[str, list[list[str]]]) -> list[list[str]]:
    return [answers_K for item in measurements for answers_K in texts[item.evaluation.benchmark.name]]


def grading_cpu_seconds(answers: Sequence[tuple[str, str, str]]) -> float:
    """Of triples of grader, text and reference."""
    judges = {name: grader(name) for name in MATHS}
    start = time.process_time()
    for name, text, reference in answers:
        judges[name](text, reference)
    return time.process_time() - start


def grading_seconds(answers: Sequence[tuple[str, str, str]]) -> float:
    start = time.perf_counter()
    for name, text, reference in answers:
        grader(name)(text, reference)
    return time.perf_counter() - start


def measured(evaluator: Evaluator, measurements: list[Measurement]) -> float:
    """Seconds until the last grade."""
    start = time.perf_counter()
    results = [item.result() for item in evaluator.measure(measurements)]
    seconds = time.perf_counter() - start
    for result in results:
        troubles = result.timeouts, result.grader_failures
        assert troubles == (0, 0), (result.benchmark, troubles)
        print(f"  {result.benchmark}: {len(result.correct)} answers, {100 * result.accuracy:.1f}% correct", flush=True)
    return seconds


def warm(evaluator: Evaluator) -> Evaluator:
    """With its processes started, as those of a lane are after its first trial."""
    pending = [evaluator.pool.submit("maths", f"$\\boxed{{{n}}}$", "7") for n in range(20 * PROCESSES)]
    assert sum(bool(grade_of(future).correct) for future in pending) == 1
    return evaluator
