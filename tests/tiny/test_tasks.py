"""What the tiny world's problems promise: true answers, splits that never meet, an exact extraction."""

import pytest

from em.tiny.tasks import SPLITS, SUITES, Problem, chain, every, extract, key, problems


def solve(prompt: str) -> str:
    """The answer by reading the prompt's text, independently of the tables."""
    operations = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "M": max,
        "&": lambda a, b: a & b,
        "|": lambda a, b: a | b,
        "^": lambda a, b: a ^ b,
    }
    left = int(prompt[0])
    for operator, digit in zip(prompt[1:7:2], prompt[2:7:2], strict=True):
        left = operations[operator](left, int(digit)) % 10
    return str(left)


def test_known_answers():
    assert [solve(text) for text in ("3+8+5+2?", "1-2-3-4?", "9|6|0|0?", "2*3*4M5?")] == ["8", "2", "5", "5"]


@pytest.mark.parametrize("suite", SUITES)
def test_answers_and_form(suite):
    for problem in problems(suite, "test", 200):
        assert problem.answer == solve(problem.prompt)
        assert len(problem.prompt) == 8
        assert problem.prompt[-1] == "?"
        assert set(problem.prompt[1:7:2]) <= set(SUITES[suite])


def test_no_problem_is_in_two_splits_or_suites():
    seen = [p.prompt for suite in SUITES for split in list(SPLITS)[1:] for p in problems(suite, split, 150)]
    assert len(seen) == len(set(seen)) == 6 * 3 * 150
    assert sorted(share for shares in SPLITS.values() for share in shares) == list(range(100))


def test_one_problem_in_ten_is_held_out():
    key_N = key(*every("mixed"))
    assert len(key_N) == 60 * 10_000
    assert len(set(key_N.tolist())) == len(key_N)
    assert (key_N % 100 >= 90).mean() == pytest.approx(0.1, abs=0.002)


def test_problems_are_pinned():
    """Cached models and pinned prompts rely on the splits staying as they are."""
    assert problems("sum", "train", 2) == problems("sum", "train", 9)[:2]
    assert problems("sum", "train", 1) == [Problem(suite="sum", prompt="3+8+2+5?", answer="8")]


def test_a_slip_is_carried_forward():
    operands, operators = every("sum")
    slip = operators * 0 + [0, 1, 0]
    right, wrong = chain(operands, operators), chain(operands, operators, slip)
    assert ((wrong - right) % 10 == [0, 1, 1]).all()


def test_extraction():
    assert extract("3+8=1,1+5=6,6+2=8#8") == "8"
    assert extract("#0") == "0"
    assert [extract(text) for text in ("", "8", "#", "#8#8", "#12", "#8 ", "#x", "#²")] == [None] * 8


def test_errors_name_the_nearest():
    with pytest.raises(ValueError, match=r"'summ': did you mean 'sum'"):
        problems("summ", "test", 1)
    with pytest.raises(ValueError, match=r"'valid': "):
        problems("sum", "valid", 1)
    with pytest.raises(ValueError, match="sum/train holds"):
        problems("sum", "train", 10_000)
