"""Prompts and their references, read from where a config says: a JSONL file, the Hugging Face hub, the tiny world.

Imports neither torch nor vLLM, and `datasets` only for the hub.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from em.errors import InputError
from em.evaluation.problems import hub_rows, reference
from em.tiny import tasks
from em.trial.evaluation import Benchmark
from em.trial.jsonl import Row
from em.trial.prompts import Prompts

REMEDY = "give its rows as a file, prompts=jsonl prompts.path=FILE"


def pairs(prompts: Prompts, rows: Iterable[Row], left_out: list[str] | None = None) -> Iterator[tuple[str, str] | None]:
    """The prompt of each row and its reference, which is empty where `answer_field` names none.

    Raises InputError with file and line for a row that cannot be used; where `left_out` is given, why is added to it
    and there is None in its place.
    """
    asked = [prompts.answer_field] if prompts.answer_field else []
    of = Benchmark(
        name="prompts", path=prompts.path, hub=prompts.hub, answer_fields=asked or ["none"], grader=prompts.grader
    )
    for row in rows:
        try:
            yield row.question([prompts.text_field]), reference(row, of) if asked else ""
        except InputError as error:
            if left_out is None:
                raise
            left_out.append(str(error))
            yield None


def pool(prompts: Prompts, left_out: list[str] | None = None) -> Prompts:
    """The pool that prompts are selected from, or all that is trained on of a data set: `prompts` with its texts.

    Of a data set these are the first `limit` usable ones, each text once; `left_out` gets why others were passed over.
    """
    if not prompts.hub:
        drawn = tasks.problems(tasks.POOL, "train", tasks.POOL_PROBLEMS)
        return prompts.known(texts=[of.prompt for of in drawn], answers=[of.answer for of in drawn], grader="tiny")
    left_out = [] if left_out is None else left_out
    rows = hub_rows(prompts, "prompts", REMEDY)
    found = dict(islice(first_of_each(pairs(prompts, rows, left_out)), prompts.limit))
    if not found:
        said = left_out[0] if left_out else "it holds no rows"
        raise InputError(f"prompts.hub={prompts.hub}: has no prompt that can be used ({said}); {REMEDY}")
    return prompts.known(texts=[*found], answers=[*found.values()] if prompts.answer_field else [])


def first_of_each(found: Iterable[tuple[str, str] | None]) -> Iterator[tuple[str, str]]:
    """Each text once, with the first of its references."""
    seen = set[str]()
    for pair in found:
        if pair and pair[0] not in seen:
            seen.add(pair[0])
            yield pair
