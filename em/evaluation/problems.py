"""The problems of a benchmark: made by the tiny world, read from a JSONL file, or from the Hugging Face hub.

Imports neither torch nor vLLM, and `datasets` only for the hub.
"""

import json
from collections.abc import Iterator
from functools import cache

from em.config import Benchmark
from em.errors import InputError
from em.jsonl import Row, rows
from em.tiny import tasks

SUITE_PROBLEMS = 100  # of a suite without a limit


def problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """(problem, reference) pairs in a fixed order, at most `limit`; raises InputError with file and line.

    The reference is the answer field as text, where it is one text or number; else a JSON object of the answer fields.
    """
    if benchmark.suite:
        return suite_problems(benchmark.suite, benchmark.split, benchmark.limit or SUITE_PROBLEMS)
    owner = f"benchmarks.{benchmark.name}"
    source = rows(benchmark.path, f"{owner}.path") if benchmark.path else hub_rows(benchmark)
    pairs = [
        ("\n".join(row.text(name) for name in benchmark.problem_fields), reference(row, benchmark.answer_fields))
        for row in source
        if all(first <= row.value(name) <= last for name, (first, last) in benchmark.keep.items())
    ]
    if not pairs:
        raise InputError(f"{owner}.keep={benchmark.keep}: leaves no problem of {benchmark.path or benchmark.hub}")
    return pairs[: benchmark.limit or None]


def reference(row: Row, fields: list[str]) -> str:
    if len(fields) == 1 and isinstance(row.value(fields[0]), str | int | float):
        return row.text(fields[0])
    return json.dumps({name: row.value(name) for name in fields})


@cache
def suite_problems(suite: str, split: str, count: int) -> list[tuple[str, str]]:
    return [(problem.prompt, problem.answer) for problem in tasks.problems(suite, split, count)]


def hub_rows(benchmark: Benchmark) -> Iterator[Row]:
    """The rows of a data set of the hub, from its cache where it was read before."""
    import datasets

    name = benchmark.hub
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(
            name, benchmark.hub_config or None, split=benchmark.split, revision=benchmark.revision
        )
    except (OSError, ValueError) as error:  # what the hub's errors and those of `datasets` derive from
        raise InputError(
            f"benchmarks.{benchmark.name}.hub={name}: not to be had ({str(error).splitlines()[0]}); "
            f"name its JSONL file with benchmarks.{benchmark.name}.path=..., or a folder of such with eval.data=..."
        ) from None
    for number, values in enumerate(loaded):
        yield Row(dict(values), f"{name} {benchmark.split}[{number}]")
