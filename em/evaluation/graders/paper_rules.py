r"""Extraction and equality by the rules of the paper's evaluation, to compare with its tables.

The paper ("One-shot Entropy Minimization", arXiv 2505.20282) evaluates as Qwen2.5-Math does: the answer is the last
\boxed{...}, else what follows "answer is", else the last number; it is right where it equals the gold number, or a
hundredth or a hundred times of it (percentages), within a relative 1e-4, or the gold string, or element by element, or
symbolically.  Written from that description, not from its code.
"""

import re
from fractions import Fraction

import mpmath

from em.evaluation.graders.boxed import boxes
from em.evaluation.maths.evaluate import exact, number
from em.evaluation.maths.readings import equal, read
from em.evaluation.maths.sameness import same
from em.evaluation.maths.values import Apply, Number, Sequence, Value, is_expression, symbols, walk

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


def matches(answer: str, gold: str) -> bool:
    """Whether an answer in LaTeX is the gold by the paper's rules; raises UndecidedError."""
    mine, right = read(answer), read(gold)
    if mine is None or right is None:
        return equal(answer, gold)
    return _matches(mine, right) or (not _several(right) and equal(answer, gold))


def _several(value: Value) -> bool:
    return isinstance(value, Sequence) and len(value.items) > 1


def _matches(mine: Value, right: Value) -> bool:
    if _several(mine) and _several(right):
        assert isinstance(mine, Sequence)
        assert isinstance(right, Sequence)
        return len(mine.items) == len(right.items) and all(map(_matches, mine.items, right.items))
    numbers = exact(mine), exact(right)
    if numbers[0] is not None and numbers[1] is not None:
        plain = all(isinstance(side, Number) or _is_percentage(side) for side in (mine, right))
        scales = [Fraction(1), Fraction(100), Fraction(1, 100)] if plain else [Fraction(1)]
        return any(close(numbers[0], numbers[1] * scale) for scale in scales)
    return _close_values(mine, right) or (not _several(mine) and not _several(right) and same(mine, right))


def _is_percentage(value: Value) -> bool:
    return isinstance(value, Apply) and value.function == "percent" and isinstance(value.arguments[0], Number)


def _close_values(mine: Value, right: Value) -> bool:
    if not all(is_expression(side) and not symbols(side) for side in (mine, right)) or any(
        isinstance(part, Apply) and part.function == "infinity" for side in (mine, right) for part in walk(side)
    ):
        return False
    a, b = number(mine, 30), number(right, 30)
    return a is not None and b is not None and abs(a - b) <= mpmath.mpf(RELATIVE) * max(abs(a), abs(b))


def close(a: Fraction, b: Fraction) -> bool:
    return abs(a - b) <= Fraction(RELATIVE) * max(abs(a), abs(b))
