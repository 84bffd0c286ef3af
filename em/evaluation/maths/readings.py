"""An answer and a gold in LaTeX, in all the ways in which they can be read, and whether one pair says the same."""

from collections.abc import Iterator
from functools import lru_cache

from em.evaluation.maths import words
from em.evaluation.maths.numerals import grouped, with_bases, with_decimal_comma, with_exponents, with_units
from em.evaluation.maths.reader import Reader
from em.evaluation.maths.sameness import same
from em.evaluation.maths.tokens import Token, UnreadableError, tokens
from em.evaluation.maths.values import EMPTY, Text, UndecidedError, Value, symbols

REALS = r"(-\infty,\infty)"
FUNCTIONS = frozenset("fgh")  # letters that are functions before a bracket though they stand without one elsewhere


def equal(answer: str, gold: str) -> bool:
    """Whether an answer in LaTeX says what the gold says; raises UndecidedError where nobody can tell."""
    golds, answers = _tokens(gold), _tokens(answer)
    if golds is None or answers is None:
        return " ".join(answer.split()) == " ".join(gold.split())
    if not answers or not golds:
        return False
    if [token.text for token in answers] == [token.text for token in golds]:
        return True
    multiplied = _multiplied(answers) | _multiplied(golds)
    undecided: UndecidedError | None = None
    for right in _readings(golds, multiplied, strictly=True):
        for mine in _readings(answers, multiplied, letters_are_units=not symbols(right)):
            try:
                if same(mine, right):
                    return True
            except UndecidedError as error:
                undecided = error
            except RecursionError:
                undecided = UndecidedError("nested too deeply")
    if undecided:
        raise undecided
    return False


@lru_cache(4096)
def _tokens(latex: str) -> list[Token] | None:
    try:
        found = words.without_phrases(with_units(with_bases(with_exponents(tokens(latex)))))
        return tokens(REALS) if words.are_all_reals(found) else _french(found)
    except UnreadableError:
        return None


def read(latex: str) -> Value | None:
    """The value of an answer as it is read first; None where it cannot be read."""
    found = _tokens(latex)
    return next(_readings(found, _multiplied(found)), None) if found else None


def _readings(
    found: list[Token], multiplied: frozenset[str], letters_are_units: bool = False, strictly: bool = False
) -> Iterator[Value]:
    """The values that tokens can have, the likeliest first."""
    if text := words.text_of(found):
        value = _value(found, multiplied)
        yield EMPTY if text.words in words.NO_SOLUTION else Text(text.words, value)
        if value is None:
            return
    seen: list[list[Token]] = []
    for spelling in (grouped(found), found, with_decimal_comma(found, strictly)):
        if spelling in seen:
            continue
        seen.append(spelling)
        for letters in (False, True) if letters_are_units else (False,):
            value = _value(spelling, multiplied, letters)
            if value is not None:
                yield value


def _value(found: list[Token], multiplied: frozenset[str], letters: bool = False) -> Value | None:
    try:
        return Reader(list(found), multiplied, letters).answer()
    except (UnreadableError, RecursionError):
        return None


def _multiplied(found: list[Token]) -> frozenset[str]:
    """Letters that stand somewhere without a bracket after them."""
    bare = set()
    for token, following in zip(found, [*found[1:], None], strict=True):
        if token.kind not in ("letters", "command"):
            continue
        if token.kind == "letters":
            bare |= set(token.text[:-1])
        last = token.text[-1] if token.kind == "letters" else token.text
        if following is None or following.text not in ("(", "[", "_", "'", "^"):
            bare.add(last)
    return frozenset(bare - FUNCTIONS)


def _french(found: list[Token]) -> list[Token]:
    r"""With ]0, 1[ as (0, 1)."""
    texts = [token.text for token in found]
    if texts[:1] != ["]"] and texts[-1:] != ["["]:
        return found
    made = list(found)
    opening = True
    for at, token in enumerate(found):
        if token.text in ("[", "]"):
            text = token.text if (token.text == "[") == opening else "(" if opening else ")"
            made[at] = Token("mark", text, token.spaced)
            opening = not opening
        elif token.text in ("(", ")"):
            opening = token.text == ")"
    return made
