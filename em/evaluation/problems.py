"""The problems of a benchmark: made by the tiny world, or read from a JSONL file.  Imports neither torch nor vLLM."""

from functools import cache

from em.config import Benchmark
from em.jsonl import rows
from em.tiny import tasks

SUITE_PROBLEMS = 100  # of a suite without a limit


def problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """(problem, reference answer) pairs in a fixed order, at most `limit`; raises InputError with file and line."""
    if benchmark.suite:
        return suite_problems(benchmark.suite, benchmark.split, benchmark.limit or SUITE_PROBLEMS)
    fields = benchmark.problem_field, benchmark.answer_field
    lines = rows(benchmark.path, f"benchmarks.{benchmark.name}.path", fields)
    return [(problem, answer) for problem, answer in lines][: benchmark.limit or None]


@cache
def suite_problems(suite: str, split: str, count: int) -> list[tuple[str, str]]:
    return [(problem.prompt, problem.answer) for problem in tasks.problems(suite, split, count)]
