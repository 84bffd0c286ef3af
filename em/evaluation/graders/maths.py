r"""Mathematical answers: the last \boxed{...}, else what Math-Verify finds, compared with the gold as it compares.

Math-Verify (huggingface/Math-Verify) is followed but where it would take a wrong answer for right.  Numbers are
compared exactly: it rounds to six decimals, and 1.3e-27 is 7.4e-12.  Lists, tuples and equations are taken apart here,
and it compares the parts: it drops repeated elements, and takes the last side of any equation.  No letter is a unit.
"""

import json
import re
from functools import lru_cache

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
from math_verify.errors import TimeoutException
from math_verify.utils import timeout

from em.evaluation.graders import Grade, expressions, paper_rules
from em.evaluation.graders.boxed import boxes
from em.evaluation.graders.normal_form import (
    Number,
    bracketed,
    closes_last,
    elements,
    mixed_numbers,
    normal,
    number,
    unescaped,
)

SECONDS = 5  # for the extraction from one text, for the comparison of one answer, and for the paper's rules
TAIL = 4000  # characters at the end of a text without a box that are searched
DEPTH_OF_TEXT = 200  # brackets within brackets in them
LENGTH = 400  # characters that an answer may have, or four times those of the gold
EXTRACTION = (LatexExtractionConfig(normalization_config=expressions.SPELLING), ExprExtractionConfig())

RESTATED = re.compile(r"\b(?:answers?|so|thus|therefore|hence|is|then|wait|which|i\.e)\b", re.IGNORECASE)
JOINED = re.compile(r"\b(?:and|or)\b|[,;]")
PERCENT = re.compile(r"\$?\s{0,3}(?:\\?%|percent|percentage|pct)", re.IGNORECASE)
NAME = re.compile(r"(?:\\?[a-zA-Z]+|_(?:\w|\{[^{}]*\})|\^\{\\prime\}|[{}()|:/',])+")
VARIABLE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")
IN_BASE = re.compile(r"(-?\d+)(?:_\{?(\d+)\}?)?")
EQUALS = r"=|\\in(?![a-zA-Z])"


def grade(text: str, reference: str) -> Grade:
    r"""The reference is LaTeX, or a solution whose last \boxed{...} is the gold."""
    return _grade(text, _gold(reference))


def grade_olympiad(text: str, reference: str) -> Grade:
    """The reference is a JSON object with `final_answer`, a list of LaTeX strings: all of them, in any order.

    A unit is accepted and not asked for.  Raises KeyError or json.JSONDecodeError where the reference is not that.
    """
    return _grade(text, _olympiad_gold(reference))


@lru_cache(4096)
def _gold(reference: str) -> str:
    is_text = re.search(r"(?<!\\)\$", reference)
    return normal(_boxed(reference) or (_found(reference) if is_text else None) or reference)


@lru_cache(4096)
def _olympiad_gold(reference: str) -> str:
    return normal(",".join(json.loads(reference)["final_answer"]))


def _grade(text: str, gold: str) -> Grade:
    try:
        extracted = _boxed(text) or _found(text[-TAIL:])
    except (Exception, TimeoutException) as error:
        return Grade(None, None, error=_cause(error))
    correct, error = _verdict(extracted, gold) if extracted else (False, None)
    by_paper = paper_rules.extract(text)
    if error and by_paper == extracted:
        return Grade(correct, extracted, None, error)
    return Grade(correct, extracted, _paper_verdict(by_paper, gold) if by_paper else False, error)


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutException):
        return "timeout"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _boxed(text: str) -> str | None:
    """The last box; with those before it where they are one list: a short way apart, and not an answer restated."""
    answers: list[str] = []
    following, between = None, ""
    for start, end, content in reversed(boxes(text)):
        if following is not None:
            between = text[end:following]
            if len(between) > 70 or RESTATED.search(between) or not (len(between) < 10 or JOINED.search(between)):
                break
        if content and (content not in answers[:1] or JOINED.search(between)):
            answers.insert(0, content)
        following = start
    return ", ".join(answers) or None


def _found(text: str) -> str | None:
    """The string that Math-Verify takes for the answer in a text without a box; None where it finds none."""
    if expressions.depth(text) > DEPTH_OF_TEXT:
        return None
    text = unescaped(text)
    if "$" not in text and "\\" not in text:  # prose, where Math-Verify may take the fraction alone
        text = mixed_numbers(text, "$")
    found = parse(text, EXTRACTION, extraction_mode="first_match", parsing_timeout=SECONDS, raise_on_error=True)
    if not found:
        return None
    answer: str = found[-1]
    is_percentage = answer in text and PERCENT.match(text, text.rindex(answer) + len(answer))
    return f"{answer}%" if is_percentage else answer


@lru_cache(16384)
def _verdict(answer: str, gold: str) -> tuple[bool | None, str | None]:
    """(whether they are equal, what kept it from being said)."""
    if len(answer) > max(LENGTH, 4 * len(gold)):
        return False, None
    try:
        return timeout(SECONDS)(_equal)(normal(answer), gold), None
    except (Exception, TimeoutException) as error:
        return None, _cause(error)


@lru_cache(16384)
def _paper_verdict(answer: str, gold: str) -> bool | None:
    if len(answer) > max(LENGTH, 4 * len(gold)):
        return False
    try:
        return timeout(SECONDS)(paper_rules.matches)(normal(answer), gold, _equal_to_paper)
    except (Exception, TimeoutException):
        return None


def _equal_to_paper(answer: str, gold: str) -> bool:
    return expressions.close(answer, gold, paper_rules.RELATIVE) or _equal(answer, gold)


def _equal(answer: str, gold: str) -> bool:
    """Whether two normal forms say the same."""
    if answer == gold:
        return True
    mine, right = number(answer), number(gold)
    if mine and right:
        return _equal_numbers(mine, right)
    if (based := IN_BASE.fullmatch(answer)) and (right_based := IN_BASE.fullmatch(gold)):
        return based[1] == right_based[1] and not (based[2] and right_based[2])  # the base may be left out
    if answer.isalpha() and gold.isalpha() and max(len(answer), len(gold)) > 2:
        return False  # words: as products of letters, east would be seat
    answers, golds = _members(answer), _members(gold)
    if len(answers) > 1 and len(golds) == 1 and (coordinates := _coordinates(answers)):
        answers = [coordinates]
    if len(answers) > 1 or len(golds) > 1:
        return _equal_lists(answers, golds)
    return _equal_elements(answers[0], golds[0])


def _equal_numbers(mine: Number, right: Number) -> bool:
    """Exactly; but a decimal may stand for a fraction without end, to six decimals and five digits.

    A percentage may lack its sign.
    """
    if mine.scaled() == right.scaled() or (mine.value == right.value and not mine.fraction and not right.fraction):
        return True
    exact, rounded = (mine, right) if mine.fraction else (right, mine)
    bottom = exact.value.denominator
    if rounded.fraction or not exact.fraction or 10 ** bottom.bit_length() % bottom == 0:
        return False
    difference = abs(exact.scaled() - rounded.scaled())
    return difference * 2 * 10**6 <= 1 and difference * 10**5 <= abs(exact.scaled())


def _members(form: str) -> list[str]:
    r"""The elements of a list or of a {set}, both signs of each \pm."""
    bare = form.removeprefix("\\")
    if bare.startswith("{") and closes_last(bare):
        form = bare[1:-1].removesuffix("\\")
    return [
        element.replace(r"\pm", sign).removeprefix("+")
        for element in elements(form)
        for sign in ("+-" if r"\pm" in element else "+")
    ]


def _coordinates(members: list[str]) -> str | None:
    """(1,2) for x=1 and y=2."""
    sides = [elements(member, EQUALS) for member in members]
    names = [side[0] for side in sides if len(side) > 1 and NAME.fullmatch(side[0])]
    in_order = len(names) == len(members) and names == sorted(set(names))
    return f"({','.join(side[-1] for side in sides)})" if in_order else None


def _equal_lists(answers: list[str], golds: list[str]) -> bool:
    """Element by element in any order; where the gold repeats some, each as often as there."""
    rest = list(dict.fromkeys(answers)) if len(set(golds)) == len(golds) else list(answers)
    if len(rest) != len(golds):
        return False
    for gold in golds:
        found = next((index for index, answer in enumerate(rest) if _equal(answer, gold)), None)
        if found is None:
            return False
        del rest[found]
    return True


def _equal_elements(answer: str, gold: str) -> bool:
    exact, about, rounded = answer.partition(r"\approx")
    if about:
        return _equal(exact, gold) or (bool(NAME.fullmatch(exact)) and _equal(rounded, gold))
    if bracketed(answer) and bracketed(gold):
        inner, right_inner = elements(answer[1:-1]), elements(gold[1:-1])
        kinds_agree = (answer[0], answer[-1]) == (gold[0], gold[-1]) or len(right_inner) == 1
        return kinds_agree and len(inner) == len(right_inner) and all(map(_equal, inner, right_inner))
    parts, right_parts = elements(answer, r"\\cup"), elements(gold, r"\\cup")
    if len(parts) == len(right_parts) > 1 and _equal_lists(parts, right_parts):
        return True
    sides, right_sides = elements(answer, EQUALS), elements(gold, EQUALS)
    if len(sides) > 1 and len(right_sides) > 1:
        names_agree = sides[0] == right_sides[0] and NAME.fullmatch(sides[0])
        return _equal(sides[-1], right_sides[-1]) if names_agree else expressions.same(answer, gold)
    if len(sides) > 1 and (NAME.fullmatch(sides[0]) or not VARIABLE.search(answer)):
        return _equal(sides[-1], gold)  # x = 5, or 2 + 3 = 5
    if len(right_sides) > 1 and NAME.fullmatch(right_sides[0]):
        return _equal(answer, right_sides[-1])
    return expressions.same(answer, gold)
