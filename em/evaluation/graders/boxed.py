r"""The content of the last \boxed{...}, compared as a string without white space."""

from em.evaluation.graders import Grade


def grade(text: str, reference: str) -> Grade:
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
