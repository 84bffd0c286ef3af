"""The problems of a benchmark: made by the tiny world, read from a JSONL file, or from the Hugging Face hub.

Imports neither torch nor vLLM, and `datasets` only for the hub.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

from em.errors import InputError, UnavailableError, require
from em.evaluation.graders import GRADERS
from em.evaluation.graders.knights import identities
from em.tiny import tasks
from em.trial.evaluation import Benchmark
from em.trial.identity import content_id
from em.trial.jsonl import Row, is_number, is_unicode, rows, shown

SUITE_PROBLEMS = 100  # of a suite without a limit
LONGEST_REFERENCE, DEEPEST_REFERENCE = 20_000, 100  # characters, and brackets within brackets
BRACKET = re.compile(r"[(\[{]|[)\]}]")
NO_ANSWER = re.compile(r"[\s${}\\.,]*")  # of LaTeX


def problems(benchmark: Benchmark) -> list[tuple[str, str]]:
    """(problem, reference) pairs in a fixed order, at most `limit`; raises InputError with file and line.

    The reference is the answer field as text, where it is one text or number; else a JSON object of the answer fields,
    where the grader takes one.
    """
    if benchmark.pairs:
        return [(problem, reference) for problem, reference in benchmark.pairs]
    if benchmark.suite:
        return suite_problems(benchmark.suite, benchmark.split, benchmark.limit or SUITE_PROBLEMS)
    owner = f"benchmarks.{benchmark.name}"
    remedy = f"name its JSONL file with {owner}.path=..., or a folder of such with eval.data=..."
    source = rows(benchmark.path, f"{owner}.path") if benchmark.path else hub_rows(benchmark, owner, remedy)
    pairs = [
        (row.question(benchmark.problem_fields), reference(row, benchmark))
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
    """The reference of a row; raises InputError where the benchmark's grader cannot use it, and none would be right."""
    fields = {name: row.value(name) for name in benchmark.answer_fields}
    names, values = ", ".join(fields), list(fields.values())
    value = values[0] if len(values) == 1 else values
    grader = GRADERS[benchmark.grader]

    def need(holds: bool, remedy: str, name: str = names, of: Any = value) -> None:
        require(holds, f"{row.where}: {name}", shown(of), remedy)

    require(any(value is not None for value in values), f"{row.where}: {names}", None, "must be an answer")
    if benchmark.grader == "olympiad":
        gold = fields.get("final_answer")
        texts = gold if isinstance(gold, list) and all(isinstance(text, str) for text in gold) else []
        need(bool(texts), "must be a list of texts", "final_answer", gold)
        for text in texts:
            need(_says_something(text), "must be texts that say something", "final_answer", gold)
    whole = len(fields) == 1 and (isinstance(value, str) or is_number(value))
    need(whole or not grader.text, f"must be one text or number for grader={benchmark.grader}")
    need(_is_plain(value), "must be text, numbers, and lists or objects of these")
    text = row.text(names) if whole else json.dumps(fields)
    need(
        is_unicode(text) and is_unicode(json.dumps(fields, ensure_ascii=False)),
        "must be of whole characters, without half of a surrogate pair",
    )
    if grader.text or grader.latex:
        need(len(text) <= LONGEST_REFERENCE, f"must have at most {LONGEST_REFERENCE:,} characters")
    if grader.latex:
        need(_says_something(text), "must say something")
        need(_depth(text) <= DEEPEST_REFERENCE, f"must have at most {DEEPEST_REFERENCE} brackets within brackets")
    if grader.text:
        need(bool(text.strip()), "must say something")
    if benchmark.grader == "knights":
        need(bool(identities(text)), "must say who is a knight or a knave")
    return text


def _is_plain(value: Any, depth: int = 20) -> bool:
    match value:
        case None | bool() | str():
            return True
        case list():
            return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
        case dict():
            return depth > 0 and all(isinstance(k, str) and _is_plain(v, depth - 1) for k, v in value.items())
    return is_number(value)


def _says_something(latex: str) -> bool:
    return not NO_ANSWER.fullmatch(latex)


def _depth(text: str) -> int:
    deepest = now = 0
    for bracket in BRACKET.findall(text):
        now = now + 1 if bracket in "([{" else max(now - 1, 0)
        deepest = max(deepest, now)
    return deepest


@cache
def suite_problems(suite: str, split: str, count: int) -> list[tuple[str, str]]:
    return [(problem.prompt, problem.answer) for problem in tasks.problems(suite, split, count)]


class OnHub(Protocol):
    """A config that names a data set of the hub."""

    hub: str
    hub_config: str
    revision: str
    split: str


def hub_rows(of: OnHub, owner: str, remedy: str) -> Iterator[Row]:
    """The rows of a data set of the hub, from its cache where it was read before.

    Where it is not to be had, the error names `owner` (the config that names it) and the remedy.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(of.hub, of.hub_config or None, split=of.split, revision=of.revision)
    except (OSError, ValueError) as error:  # what the hub's errors and those of `datasets` derive from
        said = str(error).splitlines()[0]
        raise UnavailableError(f"{owner}.hub={of.hub}: not to be had ({said}); {remedy}") from None
    for number, values in enumerate(loaded):
        yield Row(dict(values), f"{of.hub} {of.split}[{number}]")
