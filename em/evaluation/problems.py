"""The problems of a benchmark: made by the tiny world, read from a JSONL file, or from the Hugging Face hub.

Imports neither torch nor vLLM, and `datasets` only for the hub.
"""

import json
from collections.abc import Iterator
from functools import cache

from em.errors import InputError, require
from em.evaluation.graders.knights import identities
from em.tiny import tasks
from em.trial.evaluation import Benchmark
from em.trial.identity import content_id
from em.trial.jsonl import Row, rows

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
        ("\n".join(row.text(name) for name in benchmark.problem_fields), reference(row, benchmark))
        for row in source
        if all(first <= row.number(name) <= last for name, (first, last) in benchmark.keep.items())
    ]
    if not pairs:
        raise InputError(f"{owner}.keep={benchmark.keep}: leaves no problem of {benchmark.path or benchmark.hub}")
    return pairs[: benchmark.limit or None]


def digested_problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """The problems that a benchmark's digest is of; raises InputError where there are others in their place by now."""
    pairs = problems(benchmark)
    if content_id(pairs) != benchmark.digest:
        source = benchmark.path or benchmark.hub or benchmark.suite
        raise InputError(
            f"benchmarks.{benchmark.name}: {source} holds other problems than those of this evaluation; "
            "put them back, or name a folder that has them (eval.data=..., or data=... to grade again)"
        )
    return pairs


def reference(row: Row, benchmark: Benchmark) -> str:
    """The reference of a row; raises InputError where the benchmark's grader cannot use it."""
    fields = {name: row.value(name) for name in benchmark.answer_fields}
    names = ", ".join(fields)
    require(any(value is not None for value in fields.values()), f"{row.where}: {names}", None, "must be an answer")
    if benchmark.grader == "olympiad":
        gold = fields.get("final_answer")
        texts = isinstance(gold, list) and all(isinstance(text, str) for text in gold)
        require(texts and gold != [], f"{row.where}: final_answer", gold, "must be a list of texts")
    whole = len(fields) == 1 and isinstance(fields[names], str | int | float)
    text = row.text(names) if whole else json.dumps(fields)
    if benchmark.grader == "knights":
        require(bool(identities(text)), f"{row.where}: {names}", repr(text[:40]), "must say who is a knight or a knave")
    return text


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
