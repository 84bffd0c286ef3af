r"""Mathematical answers: em.evaluation.maths finds the answer in a text, and says whether it is the gold.

A verdict is exact, takes bounded work, and depends on nothing but the text and the reference.
"""

import json
import re
from functools import lru_cache

from em.evaluation.graders import Grade, paper_rules
from em.evaluation.maths.extraction import answer, is_marked, last_boxes
from em.evaluation.maths.readings import equal, read
from em.evaluation.maths.values import UndecidedError

HAS_UNIT = re.compile(r"\\circ|%|\\text|\\mathrm")
LENGTH = 400  # characters that an answer may have, or four times those of the gold


def grade(text: str, reference: str) -> Grade:
    r"""The reference is LaTeX, or a solution that says where the gold is: in a box, after ####, after "answer is"."""
    return _grade(text, _gold(reference))


def grade_olympiad(text: str, reference: str) -> Grade:
    """The reference is a JSON object with `final_answer`, a list of LaTeX strings: all of them, in any order; with the
    `unit` of a single one, where it has one.

    Raises KeyError or json.JSONDecodeError where the reference is not that.
    """
    return _grade(text, _olympiad_gold(reference))


@lru_cache(4096)
def _gold(reference: str) -> str:
    if "boxed" in reference or "fbox" in reference:
        return last_boxes(reference, is_reference=True) or reference
    is_solution = is_marked(reference) and read(reference) is None
    return (answer(reference) if is_solution else None) or reference


@lru_cache(4096)
def _olympiad_gold(reference: str) -> str:
    row = json.loads(reference)
    answers = [re.sub(r"(?<!\\)\$", " ", one).strip() for one in row["final_answer"]]
    unit = (row.get("unit") or "").strip().strip("$")
    if unit and len(answers) == 1 and "," not in answers[0] and not HAS_UNIT.search(answers[0]):
        is_sign, is_latex = unit[0] in "^%" or unit.startswith((r"\%", r"\circ")), "\\" in unit
        answers[0] += unit if is_sign else f" {unit}" if is_latex else rf" \text{{ {unit} }}"
    return ", ".join(answers)


def _grade(text: str, gold: str) -> Grade:
    extracted = answer(text)
    correct, error = _verdict(extracted, gold) if extracted else (False, None)
    by_paper = paper_rules.extract(text)
    return Grade(correct, extracted, _paper_verdict(by_paper, gold) if by_paper else False, error)


def _too_long(answer: str, gold: str) -> bool:
    return len(answer) > max(LENGTH, 4 * len(gold))


@lru_cache(16384)
def _verdict(answer: str, gold: str) -> tuple[bool | None, str | None]:
    """(whether they are equal, what kept it from being said)."""
    if _too_long(answer, gold):
        return False, None
    try:
        return equal(answer, gold), None
    except UndecidedError as error:
        return None, f"undecided: {error}"


@lru_cache(16384)
def _paper_verdict(answer: str, gold: str) -> bool | None:
    if _too_long(answer, gold):
        return False
    try:
        return paper_rules.matches(answer, gold)
    except (UndecidedError, RecursionError):
        return None
