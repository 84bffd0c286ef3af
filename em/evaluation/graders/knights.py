"""Knights and Knaves (mem-kk-logic): who is a knight and who a knave, compared person by person.

The identities are read from the last complete <answer>...</answer>, or from what follows the last "CONCLUSION".  Right
is what names each person of the reference once, in any order and with the right role, and gives nobody two roles.
"""

import re
from functools import lru_cache

from em.evaluation.graders import Grade

ANSWER = re.compile(r"<(/?)answer>", re.IGNORECASE)
CONCLUSION = re.compile("conclusion", re.IGNORECASE)
DECORATION = re.compile(r"\\[a-zA-Z]+ ?|[*_`$\\{}]")  # of Markdown and LaTeX
# Each part of a match has an upper length, so that no text takes more than linear time.
IDENTITY = re.compile(
    r"\b(?!(?:an?|the|is|as|be|not|and|or|knight|knave)\b)(?P<name>[^\W\d_][\w'’-]{0,40}?)"
    r"(?:\s{0,3}(?:[:=,|–—-]|[-=]>|→|\b(?:is|as|must be)\b)\s{0,3}|\s{1,3})"
    r"(?P<negated>not\s{1,3})?(?:an?\s{1,3}|the\s{1,3})?(?P<role>knight|knave)\b(?!\s{0,3}(?:/|or\b))",
    re.IGNORECASE,
)
OPPOSITE = {"knight": "knave", "knave": "knight"}


def grade(text: str, reference: str) -> Grade:
    """The reference is a row's `solution_text_format`: a line "(1) Zoey is a knave" for each person."""
    stated = identities(conclusion(text))
    extracted = ", ".join(f"{name} {role}" for name, role in stated) or None
    return Grade(sorted((name.lower(), role) for name, role in stated) == _gold(reference), extracted)


@lru_cache(4096)
def _gold(reference: str) -> list[tuple[str, str]]:
    return sorted((name.lower(), role) for name, role in identities(reference))


def conclusion(text: str) -> str:
    """The part of a text that states its answer; empty where there is none."""
    tags = list(ANSWER.finditer(text))
    for opening, closing in zip(tags[-2::-1], tags[:0:-1], strict=True):
        if not opening[1] and closing[1]:
            return text[opening.end() : closing.start()]
    headings = list(CONCLUSION.finditer(text))
    return text[headings[-1].end() :] if headings else ""


def identities(text: str) -> list[tuple[str, str]]:
    """(name, role) of each statement that somebody is, or is not, a knight or a knave; in the order of the text."""
    found = IDENTITY.finditer(DECORATION.sub("", text))
    return [(match["name"], _role(match)) for match in found]


def _role(match: re.Match[str]) -> str:
    role = match["role"].lower()
    return OPPOSITE[role] if match["negated"] else role
