"""The problems of a benchmark: made by the tiny world, or read from a JSONL file."""

from functools import cache

from em.config import Benchmark
from em.inputs import read_problems
from em.tiny import tasks

SUITE_PROBLEMS = 100  # of a suite without a limit


def problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """(what the model reads before templates, the reference answer) of each problem, in a fixed order."""
    if benchmark.suite:
        return suite_problems(benchmark.suite, benchmark.split, benchmark.limit or SUITE_PROBLEMS)
    return read_problems(benchmark)


@cache
def suite_problems(suite: str, split: str, count: int) -> list[tuple[str, str]]:
    return [(problem.prompt, problem.answer) for problem in tasks.problems(suite, split, count)]
