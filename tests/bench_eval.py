"""What evaluation costs beside generation: one row a figure, exit status 1 if any is SHORT.

    EM_BENCHMARK_DATA=FOLDER python -m tests.bench_eval

The folder holds the six benchmarks' JSONL files.  Answers look like a model's: some sentences of reasoning, then the
gold, a near miss, another problem's gold or nothing; no two are the same.  The engine is a stub that hands them out.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import Qwen3Config

from em.cli.compose import compose_trial
from em.evaluation.evaluate import Evaluator
from em.evaluation.graders import grader
from em.evaluation.graders.boxed import last_boxed
from em.evaluation.pool import PROCESSES, grade_of
from em.evaluation.problems import problems
from em.rollout import Completion, Engine, Request
from em.rollout.reader import Reader
from em.tiny.tokenizer import tokenizer
from em.trial.config import Config
from em.trial.evaluation import Benchmark
from em.trial.model import Model
from em.trial.unit import Measurement
from tests.bench import Row

CONTEXT = 1 << 14  # tokens, which are bytes here
GRADED = 2_000  # answers of the rate
MATHS = ("maths", "olympiad")


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


def reasoning(rng: random.Random) -> str:
    a, b, c = (rng.randint(2, 99) for _ in range(3))
    return (
        f"We start from $f(x) = {a}x^2 + {b}x$ and look for the values that satisfy the condition. Substituting "
        f"$x = {c}$ gives \\[{a} \\cdot {c}^2 + {b} \\cdot {c} = {a * c * c + b * c}.\\] Since the left side is at "
        f"least $\\frac{{{a}}}{{{b}}}$, we divide both sides and simplify. The second equation has $y = {b - c}$, so "
        f"the remaining case is excluded. Adding the two contributions and checking the boundary, we find "
    )


def answers(benchmark: Benchmark, rng: random.Random, samples: int) -> list[list[str]]:
    """For each problem, so many texts."""
    pairs = problems(benchmark)
    if benchmark.grader == "code":
        rows = map(json.loads, Path(benchmark.path).read_text().splitlines())
        programs = [row["code"] for row in rows if 11 <= row["task_id"] <= 510]
        return [[program(rng, code) for _ in range(samples)] for code in programs]
    if benchmark.grader == "knights":
        return [[islanders(rng, reference) for _ in range(samples)] for _, reference in pairs]
    golds = [gold_of(reference) for _, reference in pairs]
    return [[formula(rng, gold, golds) for _ in range(samples)] for gold in golds]


def gold_of(reference: str) -> str:
    """The gold as a model would write it into a box."""
    gold = last_boxed(reference) or reference
    return json.loads(gold)["final_answer"][0].replace("$", "") if gold.startswith('{"') else gold


def formula(rng: random.Random, gold: str, golds: list[str]) -> str:
    digits = [place for place, letter in enumerate(gold) if letter.isdigit()]
    place = rng.choice(digits) if digits else 0
    near = gold[:place] + str((int(gold[place]) + 1) % 10) + gold[place + 1 :] if digits else f"{gold} + 1"
    final = rng.choices([gold, near, rng.choice(golds)], [50, 35, 15])[0]
    return reasoning(rng) + rng.choices([f"$\\boxed{{{final}}}$.", f"that the answer is ${final}$."], [95, 5])[0]


def islanders(rng: random.Random, reference: str) -> str:
    if rng.random() < 0.5:
        reference = reference.replace("knave", "?", 1).replace("knight", "knave", 1).replace("?", "knight")
    return f"{reasoning(rng)}a contradiction.\n\nCONCLUSION:\n{reference}"


def program(rng: random.Random, code: str) -> str:
    wrong = rng.choices(["", "\n    return None", "\ndef :"], [60, 30, 10])[0]
    return f"{reasoning(rng)}this:\n```python\n# {rng.random()}\n{code}{wrong}\n```\nIt passes the tests."


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


def rows(config: Config, reader: Reader) -> Iterator[Row]:
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
    judges = {name: grader(name) for name in MATHS}
    start = time.process_time()
    for name, text, reference in rng.sample(maths, GRADED):
        judges[name](text, reference)
    yield Row("maths answers graded, one core", GRADED / (time.process_time() - start), 250, False, "/s")

    part = [m for m in measurements if m.evaluation.benchmark.name in ("math500", "minerva_math")]
    chosen = [answers_K for m in part for answers_K in texts[m.evaluation.benchmark.name]]
    grading = measured(warm(Evaluator(Stub(chosen), reader)), part)
    generation = grading  # the worst case: none hides behind the other
    both = measured(warm(Evaluator(Stub(chosen, generation), reader)), part)
    hidden = (grading + generation - both) / grading
    yield Row("grading hidden behind generation of its length", 100 * hidden, 80, False, "%")

    everything = [answers_K for benchmark in benchmarks for answers_K in texts[benchmark.name]]
    count = sum(map(len, everything))
    evaluator = Evaluator(Stub(everything), reader)
    yield Row(f"{count} requests prepared, queued, scored", measured(evaluator, measurements), 60, True, "s")


def warm(evaluator: Evaluator) -> Evaluator:
    """With its processes started, as those of a lane are after its first trial."""
    pending = [evaluator.pool.submit("maths", f"$\\boxed{{{n}}}$", "7") for n in range(20 * PROCESSES)]
    assert sum(bool(grade_of(future).correct) for future in pending) == 1
    return evaluator


def main() -> int:
    data = os.environ.get("EM_BENCHMARK_DATA")
    if not data:
        sys.exit("set EM_BENCHMARK_DATA to a folder with the six benchmarks' JSONL files")
    config = compose_trial(["eval=paper", f"eval.data={data}", "eval.temperatures=[0.6]"])
    with tempfile.TemporaryDirectory() as folder:
        tokenizer().save_pretrained(folder)
        Qwen3Config(max_position_embeddings=CONTEXT).save_pretrained(folder)
        reader = Reader(Path(folder), Model(path=folder), CONTEXT)
    found = []
    for row in rows(config, reader):
        print(row, flush=True)
        found.append(row)
    return int(any("SHORT" in str(row) for row in found))


if __name__ == "__main__":
    sys.exit(main())
