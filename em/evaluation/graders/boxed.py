r"""The content of the last \boxed{...}, compared as a string without white space."""

import re

from em.evaluation.graders import Grade

BOX_OR_BRACE = re.compile(r"(\\++)(?:(boxed|fbox)\s*+\{|[{}])?|[{}]")


def grade(text: str, reference: str) -> Grade:
    extracted = last_boxed(text)
    squeeze = "".join
    return Grade(extracted is not None and squeeze(extracted.split()) == squeeze(reference.split()), extracted)


def last_boxed(text: str) -> str | None:
    found = boxes(text)
    return found[-1][2] if found else None


def boxes(text: str) -> list[tuple[int, int, str]]:
    r"""(start, end, content) of every complete innermost \boxed{...} or \fbox{...}, in order; linear in the text."""
    found: list[tuple[int, int, str]] = []
    opened: list[tuple[int, int] | None] = []
    for match in BOX_OR_BRACE.finditer(text):
        slashes, box = match.groups(default="")
        if box:
            opened.append(match.span())
        elif len(slashes) % 2 == 0 and match[0].endswith("{"):
            opened.append(None)
        elif len(slashes) % 2 == 0 and match[0].endswith("}") and opened:
            begun = opened.pop()
            if begun and not (found and found[-1][0] > begun[0]):
                found.append((begun[0], match.end(), text[begun[1] : match.start()].strip()))
    return found
