"""Tables of texts as Markdown and LaTeX."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}


class Typeset(NamedTuple):
    """A table of texts."""

    caption: str
    heading: Sequence[str]
    lines: Sequence[Sequence[str]]  # a text for each column
    words: int  # the first so many columns are words, the others numbers; of several the first two are not repeated


def markdown(table: Typeset) -> str:
    """In GitHub's Markdown, below its caption."""
    rule = ["---"] * table.words + ["---:"] * (len(table.heading) - table.words)
    written = [[text.replace("|", r"\|") for text in line] for line in (table.heading, rule, *thinned(table))]
    return f"{table.caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in written)


def latex(table: Typeset, label: str) -> str:
    """For booktabs, over the width of a page; a rule stands before and after several lines of one first word."""
    rows, above = list[str](), 1
    left = iter(thinned(table))
    for _, block in groupby(line[0] if table.words > 1 else "" for line in table.lines):
        lines = [tabbed(next(left)) for _ in block]
        rows += [r"\midrule", *lines] if rows and max(above, len(lines)) > 1 else lines
        above = len(lines)
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escaped(table.caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{'l' * table.words}{'r' * (len(table.heading) - table.words)}}}",
            r"\toprule",
            tabbed(table.heading),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def thinned(table: Typeset) -> list[Sequence[str]]:
    """The lines without the words that stand in the line above."""
    if table.words < 2:
        return list(table.lines)
    made, above = list[Sequence[str]](), ["", ""]
    for line in table.lines:
        first, second = line[:2]
        kept = ["", second if second != above[1] else ""] if first == above[0] else [first, second]
        made.append([*kept, *line[2:]])
        above = [first, second]
    return made


def tabbed(line: Sequence[str]) -> str:
    return " & ".join(map(escaped, line)) + r" \\"


def escaped(text: str) -> str:
    """For LaTeX; the sign of a negative number is a minus."""
    letters = "".join(SPECIAL.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", letters)
