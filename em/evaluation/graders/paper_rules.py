r"""Extraction and equality by the rules of the paper's evaluation, to compare with its tables.

The paper ("One-shot Entropy Minimization", arXiv 2505.20282) evaluates as Qwen2.5-Math does: the answer is the last
\boxed{...}, else what follows "answer is", else the last number; it is right where it equals the gold number, or a
hundredth or a hundred times of it (percentages), within a relative 1e-4, or the gold string, or element by element, or
symbolically.  Written from that description, not from its code.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from em.evaluation.graders.boxed import boxes
from em.evaluation.graders.normal_form import bracketed, elements, number

RELATIVE = 1e-4

PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\.\d+")


def extract(text: str) -> str | None:
    """The answer that the text gives by the paper's rules; None where it holds no number either."""
    if complete := boxes(text):
        return complete[-1][2]
    position = text.lower().rfind("answer is")
    if position >= 0 and (sentence := re.split(r"\.\s|\n", text[position + len("answer is") :].strip(" :\n"))[0]):
        return sentence.strip().removesuffix(".")
    numbers = PLAIN_NUMBER.findall(text.replace(",", ""))
    return numbers[-1] if numbers else None


def matches(answer: str, gold: str, symbolic: Callable[[str, str], bool]) -> bool:
    """Whether normal forms are equal by the paper's rules; `symbolic` decides where strings and numbers do not."""
    if answer == gold:
        return True
    mine, right = number(answer), number(gold)
    if mine and right:
        scales = [1] if mine.fraction or right.fraction else [1, 100, Fraction(1, 100)]
        return any(close(mine.scaled(), right.scaled() * scale) for scale in scales)
    answers, golds = (elements(form[1:-1] if bracketed(form) else form) for form in (answer, gold))
    if len(answers) == len(golds) > 1:
        return all(matches(mine, right, symbolic) for mine, right in zip(answers, golds, strict=True))
    return len(answers) == len(golds) and symbolic(answer, gold)


def close(a: Fraction, b: Fraction) -> bool:
    return abs(a - b) <= Fraction(RELATIVE) * max(abs(a), abs(b))
