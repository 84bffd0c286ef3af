"""Graders: what answer a text gives, and whether it is the right one.  A benchmark names its grader.

A grader maps (answer text, reference) to a Grade and nothing else: no state, no files, no network.  The reference is
what em.evaluation.problems makes of the benchmark's answer fields.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from em.errors import require_known

TIMEOUT = "timeout"


@dataclass(frozen=True)
class Grade:
    correct: bool | None  # None: nobody can say, and `error` tells why
    extracted: str | None  # the answer that the text gives; None: it gives none
    paper_rules: bool | None = None  # by the rules of the paper's grader; None: it has none of its own here
    error: str | None = None  # TIMEOUT, or what went wrong in the grader


Grader = Callable[[str, str], Grade]


@dataclass(frozen=True)
class Entry:
    where: str  # so that a config is checked without loading the grader
    version: int = 1  # raised when a change of its code changes grades: those given before are to be given again
    instant: bool = False  # takes microseconds and cannot hang: not worth another process
    text: bool = False  # its reference is one text; otherwise it may be JSON of the answer fields
    latex: bool = False  # of mathematics
    final: str = ""  # whether nothing that may follow a text changes its grade; "": it may always
    needs: str = ""  # what raises InputError where this machine lacks something


GRADERS = {  # by name
    "tiny": Entry(
        "em.evaluation.graders.tiny:grade", instant=True, text=True, final="em.evaluation.graders.tiny:is_final"
    ),
    "boxed": Entry("em.evaluation.graders.boxed:grade", instant=True, text=True),
    "maths": Entry("em.evaluation.graders.maths:grade", version=2, text=True, latex=True),
    "olympiad": Entry("em.evaluation.graders.maths:grade_olympiad", version=2, latex=True),
    "knights": Entry("em.evaluation.graders.knights:grade", version=2, instant=True, text=True),
    "code": Entry(
        "em.evaluation.graders.code:grade",
        version=2,
        final="em.evaluation.graders.code:is_final",
        needs="em.evaluation.sandbox:check",
    ),
    "code_without_sandbox": Entry(
        "em.evaluation.graders.code:grade_without_sandbox", version=2, final="em.evaluation.graders.code:is_final"
    ),
}


def check(name: str) -> None:
    """Raise InputError, with the nearest valid name, for a grader that there is not."""
    require_known("grader", name, GRADERS)


def require_ready(name: str, owner: str) -> None:
    """Raise InputError where this machine cannot grade the answers to what `owner` is, a benchmark or the prompts."""
    check(name)
    if needs := GRADERS[name].needs:
        pkgutil.resolve_name(needs)(f"{owner}.grader={name}")


def final(name: str) -> Callable[..., bool] | None:
    """What says of a `text` and a `reference` that nothing that may follow the text changes its grade; None: nobody."""
    where = GRADERS[name].final
    return pkgutil.resolve_name(where) if where else None


def grader(name: str) -> Grader:
    check(name)
    return pkgutil.resolve_name(GRADERS[name].where)
