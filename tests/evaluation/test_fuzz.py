"""Whatever a model writes, and whatever the reference, ends with a grade: no exception leaves a grader, nothing hangs.

Texts are made of pieces of answers, of LaTeX that does not end, of what takes for ever to evaluate or to match, and of
characters that are none.  A case is its seed, so that one that fails can be made again.
"""

import json
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from em.evaluation.graders import Grade, grader
from em.evaluation.pool import GradingPool, grade_of
from tests.evaluation.test_near_misses import written

GRADERS = "boxed", "maths", "olympiad", "knights"
SECONDS = 20.0  # that one answer may take: three limits of five seconds, and a slow machine
LONG = 100_000  # characters of a hostile text
GOLDS = [gold for _, _, gold in written()]

PROSE = (
    *("So the answer is ", "Therefore, ", "answer: ", "The final answer is", " and ", " or ", "\n", "\n\n", "  ", "\t"),
    *("#### ", "**", "CONCLUSION:\n", "<answer>", "</answer>", "Zoey is a knave", "Oliver is not a knight", "(1) "),
    *("if ", "because ", "neither ", "says that ", ", ", ". ", "?", ":", ";", "!", "1e", "=", "is", "knights: "),
)
LATEX = (
    *(
        r"\boxed{",
        r"\boxed",
        r"\fbox{",
        "$",
        "$$",
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        "{",
        "}",
        r"\{",
        r"\}",
        "(",
        ")",
        "[",
        "]",
    ),
    *(
        r"\frac",
        r"\frac{",
        r"\frac{1}{",
        r"\sqrt",
        r"\sqrt[",
        r"\sqrt[3]{",
        r"\left(",
        r"\right)",
        r"\left",
        r"\right.",
    ),
    *(r"\begin{pmatrix}", r"\end{pmatrix}", "&", "\\\\", "\\", "^", "_", "^{", "_{", r"\text{", r"\mathrm{", r"\over"),
    *(
        r"\pm",
        r"\cup",
        r"\in",
        r"\infty",
        r"\int",
        r"\int_0^1 ",
        r"\sum_{n=1}^{",
        r"\lim_{x \to 0}",
        r"\prod",
        r"\binom{",
    ),
    *(r"\lfloor", r"\rceil", "|", "!", r"\%", "%", r"\$", r"\circ", r"\log_", r"\sin", r"\Gamma(", r"\to", r"\ldots"),
    *(
        "+",
        "-",
        "*",
        "/",
        "**",
        "<",
        ">",
        r"\leq",
        ",",
        ";",
        "x",
        "n",
        "i",
        "e",
        r"\pi",
        "f(x)=",
        "0",
        "1",
        "12",
        "7.5",
    ),
    *("1e9", "10^", "^{99999}", "9!", "10^{10^{10}}", "/0", "0/0", "99999999999999999999", r"\mathbb{Z}", r"\cdot"),
)
ODDITIES = (
    *(
        "\0",
        "\ud800",
        "\udfff",
        "\u200b",
        "\u202e",
        "\ufeff",
        "\x1b[0m",
        "\r",
        "\v",
        "\u2028",
        "é",
        "İ",
        "ß",
        "ﬁ",
        "\U0010ffff",
    ),
    *(
        "²",
        "⁻¹⁰",
        "√",
        "∛",
        "∞",
        "−",
        "×",
        "÷",
        "½",
        "１２",
        "٣",
        "𝟙",
        "π",
        "°",
        "∪",
        "≤",
        "{",
        "（",
        "】",
        "🙂",
        "e\u0301" * 9,
    ),
)
HOSTILE = (  # one, over and over
    *(
        "(",
        "{",
        "[",
        r"\boxed{",
        r"\boxed{1}",
        r"\left(",
        r"\frac{1}{",
        r"\sqrt{",
        "9",
        "0.",
        "1,",
        "-",
        "=",
        "x=",
        "^",
        "!",
    ),
    *(
        "$",
        "\\",
        r"\\",
        r"\begin{pmatrix}",
        r"\text{",
        r"\pm ",
        "|",
        "answer is ",
        "conclusion",
        "<answer>",
        "A is a knight ",
    ),
    *(
        " ",
        "\n",
        "\0",
        "\ud800",
        "1 ",
        "1/",
        "a ",
        ", and ",
        "not ",
        "if ",
        "both ",
        "A, B and ",
        "Knights: ",
        "knight" * 2,
    ),
)
SLOW = (
    *(
        "9^{9^{9^9}}",
        "9**9**9**9",
        "((9!)!)!",
        "(10^9)!",
        r"\binom{10^9}{10^8}",
        r"\Gamma(10^9)",
        "1e999999999",
        "2^{10^{9}}",
    ),
    *(r"\int_0^1 x^{x^x} \sin(e^x) dx", r"\sum_{n=1}^{10^9} n^n", r"\lim_{x \to 0} x^{x^x}", r"\prod_{k=1}^{10^8} k"),
    *(
        "(x+y+z+1)^{200}",
        "(1+x)^{99999}",
        r"\log(\log(10^{-99999}))",
        r"\sin(10^{99999})",
        r"\lfloor e^{99999} \rfloor",
    ),
)


def spliced(rng: Generator, pieces: tuple[str, ...], most: int = 30) -> str:
    return "".join(str(rng.choice(np.array(pieces, dtype=object))) for _ in range(rng.integers(1, most)))


def of_answers(rng: Generator) -> str:
    """A right answer cut, doubled, or grown into another."""
    one, other = (GOLDS[rng.integers(len(GOLDS))] for _ in range(2))
    cut = rng.integers(len(one) + 1)
    return str(rng.choice(np.array([one[:cut], one[cut:], one[:cut] + other, one + other, one * 3], dtype=object)))


def of_pieces(rng: Generator) -> str:
    return spliced(rng, (PROSE, LATEX, LATEX, PROSE + LATEX + ODDITIES)[rng.integers(4)])


def of_oddities(rng: Generator) -> str:
    at = of_answers(rng)
    cut = rng.integers(len(at) + 1)
    return at[:cut] + spliced(rng, ODDITIES, 5) + at[cut:]


def of_nests(rng: Generator) -> str:
    depth = int(rng.integers(2, 60))
    opening, closing = (("(", ")"), ("{", "}"), (r"\sqrt{", "}"), (r"\frac{1}{1+", "}"), ("2^{", "}"))[rng.integers(5)]
    return opening * depth + of_answers(rng) + closing * (depth - int(rng.integers(0, 2)))


def of_slow(rng: Generator) -> str:
    return f"{SLOW[rng.integers(len(SLOW))]}{' + x' * int(rng.integers(0, 2))}"


def of_repeats(rng: Generator) -> str:
    piece = HOSTILE[rng.integers(len(HOSTILE))]
    size = LONG if rng.random() < 0.2 else int(rng.integers(100, 3000))
    return piece * (size // len(piece))


MAKERS = (*(of_answers,) * 5, *(of_pieces,) * 8, *(of_oddities,) * 4, of_nests, of_nests, of_slow, of_repeats)


def case(seed: int) -> tuple[str, str]:
    """(text, gold) of a seed."""
    rng = np.random.default_rng([6, seed])
    inner = MAKERS[rng.integers(len(MAKERS))](rng)
    wrapped: list[Callable[[], str]] = [
        lambda: inner,
        lambda: rf"So the answer is $\boxed{{{inner}}}$.",
        lambda: rf"{of_pieces(rng)} \boxed{{{inner}}} {of_pieces(rng)}",
        lambda: f"The answer is {inner}.",
        lambda: f"<answer>{inner}</answer>",
        lambda: f"Let us see. CONCLUSION:\n{inner}",
    ]
    text = wrapped[rng.integers(len(wrapped))]()
    gold = GOLDS[rng.integers(len(GOLDS))] if rng.random() < 0.8 else MAKERS[rng.integers(len(MAKERS) - 2)](rng)
    return text, gold


def reference(name: str, gold: str) -> str:
    return (
        json.dumps({"final_answer": [gold], "is_multiple_answer": False, "unit": None}) if name == "olympiad" else gold
    )


def complaint(grade: Grade) -> str | None:
    """What is wrong with a grade as such."""
    if not isinstance(grade, Grade) or grade.correct not in (True, False, None):
        return f"no grade: {grade!r}"
    return "correct and error disagree" if (grade.correct is None) != (grade.error is not None) else None


def failures(seeds: range) -> list[tuple[int, str, str, str]]:
    """(seed, grader, what happened, text) of the cases that end otherwise than with a grade in time."""
    found = []
    for seed in seeds:
        text, gold = case(seed)
        for name in GRADERS:
            begun = time.monotonic()
            try:
                wrong = complaint(grader(name)(text, reference(name, gold)))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | pytest.fail.Exception):
                    raise
                wrong = f"raised {type(error).__name__}: {error}"[:200]
            if time.monotonic() - begun > SECONDS:
                wrong = f"took {time.monotonic() - begun:.0f} s"
            if wrong:
                found.append((seed, name, wrong, text[:200]))
    return found


def test_some_texts_end_with_a_grade():
    assert failures(range(300)) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(300, 5000, 940))
def test_every_text_ends_with_a_grade(first):
    assert failures(range(first, first + 940)) == []


@pytest.mark.slow
def test_every_text_ends_with_a_grade_in_the_pool():
    pool = GradingPool(processes=2)
    try:
        pending = [
            (seed, name, pool.submit(name, text, reference(name, gold)))
            for seed in range(5000, 5150)
            for text, gold in [case(seed)]
            for name in GRADERS
        ]
        graded = [(seed, name, grade_of(future)) for seed, name, future in pending]
    finally:
        pool.close()
    assert [(seed, name, wrong) for seed, name, grade in graded if (wrong := complaint(grade))] == []
    assert Counter(grade.error is None for _, _, grade in graded)[True] > 0.95 * len(graded)


def test_a_seed_makes_the_same_text():
    assert [case(seed) for seed in range(50)] == [case(seed) for seed in range(50)]
    assert len({case(seed) for seed in range(200)}) > 190
