"""The paper's rules: last box, "answer is", last number; percentages, a relative 1e-4, elements, symbols."""

import json

import pytest

from em.evaluation.graders import maths, paper_rules


@pytest.mark.parametrize(
    ("text", "extracted"),
    [
        (r"so \boxed{3} and then \boxed{\frac{1}{2}}, not 7", r"\frac{1}{2}"),
        (r"\boxed{2}, \boxed{3}", "3"),
        (r"\boxed{4} or \boxed{5", "4"),
        ("The answer is 5, I think.\nOr 6", "5, I think"),
        ("The answer is 5. The final answer is: $x^2$. I hope it is correct.", "$x^2$"),
        ("It costs $1,250.50 in 3 weeks", "3"),
        ("from 7 to -1,250.50 degrees", "-1250.50"),
        ("half is .5", ".5"),
        ("no number", None),
        ("", None),
    ],
)
def test_extract(text, extracted):
    assert paper_rules.extract(text) == extracted


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("0.5", "50", True),
        ("5000", "50", True),
        (r"50\%", "0.5", True),
        ("500", "50", False),
        ("100.009", "100", True),
        ("100.02", "100", False),
        ("1.0001", "100", True),
        ("8.7e8", r"8.70001 \times 10^{8}", True),
        ("0.33333", r"\frac{1}{3}", True),
        (r"\frac{100}{3}", r"\frac{1}{3}", False),
        (r"\text{Evelyn}", "evelyn", True),
        (r"\dfrac{x}{2}", r"\frac x2", True),
        ("(1, 50)", "(1,0.5)", True),
        ("(50, 1)", "(1,0.5)", False),
        ("(1, 2, 3)", "(1,2)", False),
        ("2, 1", "1,2", False),
        ("2x", "x+x", True),
        (r"\sqrt{12}", r"2\sqrt{3}", True),
        ("(2x, 1, y)", "(x+x, 100, y)", True),
        ("(2x, 1, z)", "(x+x, 100, y)", False),
    ],
)
def test_strings_numbers_and_elements(answer, gold, equal):
    assert paper_rules.matches(answer, gold) is equal


@pytest.mark.parametrize(
    ("text", "gold", "correct", "by_paper"),
    [
        (r"\boxed{0.5}", "50", False, True),
        (r"\boxed{1.6001}", "1.6", False, True),
        (r"\boxed{1.4142}", r"\sqrt{2}", False, True),
        (r"\boxed{1.414}", r"\sqrt{2}", False, False),
        (r"\boxed{x+x}", "2x", True, True),
        (r"\boxed{2}, \boxed{1}", "1,2", True, False),
        (r"\boxed{7}", "8", False, False),
        ("nothing", "8", False, False),
    ],
)
def test_grades_tell_both_verdicts(text, gold, correct, by_paper):
    grades = [maths.grade(text, gold), maths.grade_olympiad(text, json.dumps({"final_answer": [f"${gold}$"]}))]
    assert [(grade.correct, grade.paper_rules) for grade in grades] == [(correct, by_paper)] * 2


def test_what_is_undecided_has_no_verdict():
    grade = maths.grade(r"\boxed{9^{9^{9}}}", "4")
    assert (grade.correct, grade.paper_rules) == (None, None)
