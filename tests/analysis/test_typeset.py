"""Tables of texts: what is escaped, and which words are not repeated."""

import pytest

from analysis.table.typeset import Typeset, escaped, latex, markdown

TABLE = Typeset(
    "50% & more",
    ["model", "by", "a_b", "n"],
    [
        ["x", "EM", "1.0", "2"],
        ["x", "EM", "-3.5", "2"],
        ["x", "RL", "4", "1"],
        ["y", "RL", "5|6", ""],
        ["z", "RL", "7", ""],
    ],
    2,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% of a_b & #1", r"50\% of a\_b \& \#1"),
        ("{x}$~^", r"\{x\}\$\textasciitilde{}\textasciicircum{}"),
        ("\\", r"\textbackslash{}"),
        ("-3.5", "$-$3.5"),
        ("Qwen2.5-7B, 64.2–65.0", "Qwen2.5-7B, 64.2--65.0"),
        ("<0.001", r"\textless{}0.001"),
    ],
)
def test_letters_that_latex_reads_otherwise_are_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_markdown_repeats_no_words() -> None:
    assert markdown(TABLE).splitlines() == [
        "50% & more",
        "",
        "| model | by | a_b | n |",
        "| --- | --- | ---: | ---: |",
        "| x | EM | 1.0 | 2 |",
        "|  |  | -3.5 | 2 |",
        "|  | RL | 4 | 1 |",
        r"| y | RL | 5\|6 |  |",
        "| z | RL | 7 |  |",
    ]


def test_latex_has_a_rule_around_several_lines_of_one_word() -> None:
    made = latex(TABLE, "mine").splitlines()
    assert r"\caption{50\% \& more}" in made
    assert made[made.index(r"\toprule") + 1 : made.index(r"\bottomrule")] == [
        r"model & by & a\_b & n \\",
        r"\midrule",
        r"x & EM & 1.0 & 2 \\",
        r" &  & $-$3.5 & 2 \\",
        r" & RL & 4 & 1 \\",
        r"\midrule",
        r"y & RL & 5|6 &  \\",
        r"z & RL & 7 &  \\",
    ]
    assert r"\begin{tabular}{llrr}" in made
