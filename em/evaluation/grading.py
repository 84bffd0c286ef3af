"""Graders: what answer a text gives, and whether it is the right one.  A benchmark names its grader."""

from collections.abc import Callable
from dataclasses import dataclass

from em.errors import require_known
from em.tiny import tasks


@dataclass(frozen=True)
class Grade:
    correct: bool
    extracted: str | None  # None: the text gives no answer


Grader = Callable[[str, str], Grade]  # (answer text, reference) -> Grade


def grade_tiny(text: str, reference: str) -> Grade:
    """The digit after `#`, compared exactly."""
    extracted = tasks.extract(text)
    return Grade(extracted == reference, extracted)


def grade_boxed(text: str, reference: str) -> Grade:
    r"""The content of the last \boxed{...}, compared as a string without white space."""
    extracted = last_boxed(text)
    squeeze = "".join
    return Grade(extracted is not None and squeeze(extracted.split()) == squeeze(reference.split()), extracted)


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete \boxed{...}, braces balanced."""
    start = text.rfind(r"\boxed{")
    while start >= 0:
        depth, begin = 1, start + len(r"\boxed{")
        for position in range(begin, len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                return text[begin:position]
        start = text.rfind(r"\boxed{", 0, start)
    return None


GRADERS: dict[str, Grader] = {"tiny": grade_tiny, "boxed": grade_boxed}


def grader(name: str) -> Grader:
    """The grader of that name; raises InputError with the nearest valid one."""
    require_known("grader", name, GRADERS)
    return GRADERS[name]
