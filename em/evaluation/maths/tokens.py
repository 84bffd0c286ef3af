r"""Tokens of an answer in LaTeX.

Spacing, fonts, sizes, colours and the delimiters of formulas are gone from them; what is left of white space is whether
there was any before a token, which 1 4/5 and 12 m need.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from em.evaluation.maths.spelling import spelt

LONGEST = 20_000  # characters of an answer that is read
DEEPEST = 40  # brackets within brackets


@dataclass(frozen=True)
class Token:
    kind: Literal["number", "letters", "word", "command", "mark"]  # letters are in italics, a word is upright
    text: str
    spaced: bool = False  # white space stands before it


class UnreadableError(ValueError):
    """Not an answer of mathematics, as far as we can read."""


def listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


SPACES = listed(", ; : quad qquad thinspace medspace thickspace enspace enskip space nobreakspace hfill") | {" "}
NOTHING = listed(  # commands without a meaning for the value; a group after one stays a group
    "! / ( ) displaystyle textstyle scriptstyle limits nolimits tiny small normalsize large Large LARGE huge Huge "
    "bf it sf tt sl mathstrut strut checkmark blacksquare square Box qed therefore because negthinspace boxed fbox "
    "framebox bold ensuremath mathbf boldsymbol bm mathit mathsf mathcal mathscr mathfrak mathtt pmb underline ce "
    "mathop mathord mathbin emph protect big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr middle"
)
DROPPED = listed(  # with their argument
    "tag label phantom hphantom vphantom color hspace vspace cancel kern textcolor colorbox"
)
UPRIGHT = listed("text textrm textbf textit textnormal texttt textsf textup mathrm mbox hbox operatorname unit si rm")
SAME = {  # other spellings of a command
    **dict.fromkeys(["dfrac", "tfrac", "cfrac"], "frac"),
    **dict.fromkeys(["dbinom", "tbinom"], "binom"),
    **dict.fromkeys(["le", "leqslant", "<="], "leq"),
    **dict.fromkeys(["ge", "geqslant", ">="], "geq"),
    **dict.fromkeys(["ne", "!="], "neq"),
    **dict.fromkeys(["lvert", "rvert", "vert", "mid", "Vert", "lVert", "rVert", "|", "||"], "|"),
    **dict.fromkeys(["times", "cdot", "ast"], "*"),
    **dict.fromkeys(["dots", "cdots", "dotsc", "...", "...."], "ldots"),
    **dict.fromkeys(["sim", "simeq", "cong", "thickapprox"], "approx"),
    **dict.fromkeys(["rightarrow", "longrightarrow", "->"], "to"),
    **dict.fromkeys(["backslash", "smallsetminus"], "setminus"),
    **dict.fromkeys(["degree", "degrees", "textdegree"], "circ"),
    **{"lt": "<", "gt": ">", "colon": ":", "div": "/", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]"},
    **{"{": r"\{", "}": r"\}", "varnothing": "emptyset", "vee": "lor", "wedge": "land", "longmapsto": "mapsto"},
    **{"varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta", "measuredangle": "angle", "prime": "'"},
    **{"tg": "tan", "ctg": "cot", "overline": "bar", "widehat": "hat", "overrightarrow": "vec", "angstrom": "AA"},
    **{"**": "^", ":=": "=", "==": "="},
}

SPACE = re.compile(r"[\s~$]+")
REPEATING = re.compile(r"(\d*\.\d*)\\(?:overline|bar|dot) ?(?:\{(\d+)\}|(\d))")
NUMBER = re.compile(r"(?:\d+(?:\.(?!\.\.)\d*)?|\.\d+)(?:[eE][+-]?\d+(?![\d.]*\s*[\^{(]|[a-zA-Z]))?")
LETTERS = re.compile(r"[a-zA-Z]+")
ENVIRONMENT = re.compile(r"\\(begin|end) ?\{ ?([a-zA-Z]+)\*? ?\}(?: ?(?:\[[a-z]\])? ?\{[lcr| ]*\})?")
ROW = re.compile(r"\\\\(?: ?\[ ?-?[\d.]+ ?[a-z]{2} ?\])?|\\(?:cr|newline)(?![a-z])")
COMMAND = re.compile(r"\\([a-zA-Z]+|.)\*?", re.DOTALL)
MARK = re.compile(r"\*\*|<=|>=|!=|:=|->|\.\.\.+|==|\|\||[^\w\s]|_", re.ASCII)
OPENING_BRACE, NO_DELIMITER = re.compile(r"\s*\{"), re.compile(r"\s*\.?")


def tokens(latex: str) -> list[Token]:
    """The tokens of an answer; raises UnreadableError for what is too long, too deep, or has unknown characters."""
    if len(latex) > LONGEST:
        raise UnreadableError("too long")
    read = list(_scan(spelt(latex)))
    depth = 0
    for token in read:
        depth += (token.text in ("(", "[", "{", r"\{")) - (token.text in (")", "]", "}", r"\}"))
        if depth > DEEPEST:
            raise UnreadableError("too deep")
    return read


def _scan(text: str) -> Iterator[Token]:
    position, spaced, upright = 0, False, False
    open_braces: list[tuple[bool, bool]] = []  # for each: upright before it, and whether it is a token
    while position < len(text):
        if blank := SPACE.match(text, position):
            spaced, position = True, blank.end()
            continue
        if match := REPEATING.match(text, position):
            token = Token("number", f"{match[1]}({match[2] or match[3]})", spaced)
        elif match := NUMBER.match(text, position):
            token = Token("number", match[0], spaced)
        elif match := LETTERS.match(text, position):
            token = Token("word" if upright else "letters", match[0], spaced)
        elif match := ENVIRONMENT.match(text, position):
            token = Token("command", f"{match[1]} {match[2]}", spaced)
        elif match := ROW.match(text, position):
            token = Token("mark", r"\\", spaced)
        elif match := COMMAND.match(text, position):
            name, position = match[1], match.end()
            if name in UPRIGHT:
                if name != "rm" and (opened := OPENING_BRACE.match(text, position)):
                    open_braces.append((upright, False))
                    position = opened.end()
                upright = True
            elif name in ("left", "right") and (delimiter := NO_DELIMITER.match(text, position)):
                position = delimiter.end()
            elif name in DROPPED:
                position = _after_group(text, position)
            elif name in SPACES:
                spaced = True
            elif name not in NOTHING:
                yield _command(name, spaced)
                spaced = False
            continue
        elif match := MARK.match(text, position):
            token = _command(match[0], spaced) if match[0] not in "{}" else Token("mark", match[0], spaced)
        else:
            raise UnreadableError(f"{text[position]!r}")
        position = match.end()
        if token.text == "{":
            open_braces.append((upright, True))
        elif token.text == "}" and open_braces:
            upright, is_token = open_braces.pop()
            if not is_token:
                continue
        yield token
        spaced = False


def _command(name: str, spaced: bool) -> Token:
    name = SAME.get(name, name)
    return Token("command" if name[0].isalpha() else "mark", name, spaced)


def _after_group(text: str, position: int) -> int:
    """Behind the group in braces that is next, where one is."""
    opened = OPENING_BRACE.match(text, position)
    if not opened:
        return position
    depth, position = 1, opened.end()
    while position < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position
