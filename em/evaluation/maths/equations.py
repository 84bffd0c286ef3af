r"""Equations and inequalities: what they say of what, with their label and without.

One rule: an equation says what its last side is (its first, where the last is a name), and the other sides are labels:
f(2) = 7, P(A|B) = 1/3, m + n = 7 and x = 2 + 5 = 7 all say 7.  A label that both have is the same; one that the answer
has and the gold has not is accepted, and one that only the gold has may be left out where it is a name.
"""

from collections.abc import Callable

import mpmath

from em.evaluation.maths.evaluate import exact
from em.evaluation.maths.expressions import ratio
from em.evaluation.maths.regions import FLIPPED
from em.evaluation.maths.values import (
    Apply,
    Measured,
    Number,
    Ratio,
    Relation,
    Sequence,
    Symbol,
    Text,
    UndecidedError,
    Value,
    is_expression,
    negative,
    rebuilt,
    symbols,
)

Same = Callable[[Value, Value], bool]  # sameness.same, which needs this module
IDENTITY = Symbol("id")


def same_relations(mine: Value, right: Value, same: Same) -> bool:
    """Whether two values, one of which is an equation at least, say the same."""
    match mine, right:
        case Relation(), Relation():
            return _same_statements(mine, right, same)
        case Relation(), _:
            said = _said(mine, same)
            return said is not None and _may_label(*said) and same(_with_letter_of(*said, right), right)
        case _, Relation():
            said = _said(right, same)
            if said is None or not _may_be_left_out(*said):
                return False
            label, value = said
            if mine == IDENTITY and isinstance(label, Apply) and _is_applied(label):
                mine = label.arguments[0]
            return same(mine, value)
    raise TypeError("no equation")


def same_inequalities(mine: Relation, right: Relation, same: Same) -> bool:
    """Of several letters: side by side, or one is a positive multiple of the other."""
    of_one_letter = len(symbols(mine) | symbols(right)) == 1  # and still no region: of no linear expression
    if of_one_letter or len(mine.signs) != 1 or len(right.signs) != 1:
        return mine.signs == right.signs and all(map(same, mine.sides, right.sides))
    differences, signs = [], []
    for relation in (mine, right):
        (sign,), (left, over) = relation.signs, relation.sides
        if sign in ("<", "<="):
            sign, left, over = FLIPPED[sign], over, left
        if not is_expression(left) or not is_expression(over):
            return False
        signs.append(sign)
        differences.append(Apply("+", (left, negative(over))))
    factor = ratio(*differences) if signs[0] == signs[1] else None
    return factor is not None and (signs[0] == "!=" or (mpmath.im(factor) == 0 and mpmath.re(factor) > 0))


def _said(relation: Relation, same: Same) -> tuple[Value | None, Value] | None:
    """(label, value) of an equation; None where it does not say what something is."""
    sides, signs = relation.sides, relation.signs
    if "~" in signs:  # the exact value, where there is one, counts
        first = signs.index("~")
        is_exact = first > 0 or not _is_name(sides[0])
        sides, signs = (sides[: first + 1], signs[:first]) if is_exact else (sides[:2], ("=",))
    if not signs:
        return None, sides[0]
    if signs == ("in",):
        return sides[0], sides[1]
    if set(signs) - {"=", "->"}:
        return None
    if _is_name(sides[-1]) and not _is_label(sides[0]) and not isinstance(sides[-1], Sequence):
        sides = sides[::-1]
    *labels, value = sides
    if not _is_label(labels[0]) and not all(_is_label(label) or _surely(same, label, value) for label in labels):
        return None  # 5 + 6 = 11 is 11, but 5 + 6 = 12 is nothing
    return labels[0], value


def _surely(same: Same, a: Value, b: Value) -> bool:
    try:
        return same(a, b)
    except UndecidedError:
        return False


def _is_label(value: Value) -> bool:
    """Whether a side names what the other side is: x, f(2), P(A|B), m + n, (x, y)."""
    match value:
        case Text() | Symbol():
            return True
        case Sequence(_, items):
            return bool(items) and all(isinstance(item, Symbol) for item in items)
        case Ratio(terms):
            return all(map(_is_label, terms))
        case Measured():
            return False
        case Apply("+", terms):
            return is_expression(value) and all(map(symbols, terms))
    return is_expression(value) and bool(symbols(value)) and not _is_multiple(value)


def _is_multiple(value: Value) -> bool:
    """Whether it is a letter with a number or a sign, or its absolute value: 3x = 9 says of nothing that it is 9."""
    if not isinstance(value, Apply) or value.function not in ("*", "/", "abs"):
        return False
    return all(isinstance(part, Number | Symbol) for part in value.arguments) and len(symbols(value)) == 1


def _is_name(value: Value) -> bool:
    """Whether a label is one without a number in it: f(2), AB, |AB|, m + n; not 2x + z."""
    match value:
        case Text() | Symbol() | Sequence() | Ratio():
            return True
        case Apply(function, arguments):
            return _is_applied(value) or (function in ("*", "/", "+", "abs") and all(map(_is_name, arguments)))
    return False


def _is_applied(value: Value | None) -> bool:
    return isinstance(value, Apply) and value.function.endswith("()")


def _is_simple(label: Value | None) -> bool:
    return label is None or isinstance(label, Text | Symbol | Sequence) or _is_applied(label)


def _may_label(label: Value | None, value: Value) -> bool:
    """x + y = 0 is an equation, not a zero with its label."""
    return _is_simple(label) or exact(value) != 0


def _may_be_left_out(label: Value | None, value: Value) -> bool:
    """Whether the label of a gold may: of a value with letters only a letter or a function is a label."""
    return _is_simple(label) or (label is not None and _is_name(label) and not symbols(value) and exact(value) != 0)


def _same_statements(mine: Relation, right: Relation, same: Same) -> bool:
    said, gold = _said(mine, same), _said(right, same)
    if said and gold:
        (label, value), (gold_label, gold_value) = said, gold
        if label is None or gold_label is None:
            return same(value, gold_value)
        renamed = _renamed(label, value, gold_label) if _is_name(label) and _is_name(gold_label) else None
        if renamed is not None and same(renamed, gold_value):
            return True
    return _same_equations(mine, right, same)


def _renamed(label: Value, value: Value, gold: Value) -> Value | None:
    """The value in the letters of the gold's label: of f(t) = t + 1 for f(x) it is x + 1; None for other labels."""
    if label == gold:
        return value
    if not isinstance(gold, Apply) or not _is_applied(gold):
        return None
    if isinstance(label, Symbol):  # f = id, f = x + 1, x \mapsto x + 1
        of_function = f"{label.name}()" == gold.function
        if value == IDENTITY and of_function:
            return gold.arguments[0]
        return value if of_function or label in (*gold.arguments, Symbol("y")) else None
    if not isinstance(label, Apply) or label.function != gold.function or len(label.arguments) != len(gold.arguments):
        return None
    names: dict[Value, Value] = {}
    for mine, right in zip(label.arguments, gold.arguments, strict=True):
        is_letter = isinstance(mine, Symbol) and isinstance(right, Symbol) and right.name not in symbols(value)
        if mine != right and not is_letter:
            return None
        names[mine] = right
    return rebuilt(value, lambda part: names.get(part, part) if isinstance(part, Symbol) else part)


def _with_letter_of(label: Value | None, value: Value, right: Value) -> Value:
    """f(t) = (t - 1)/2 as (x - 1)/2 where the gold is one of x."""
    names = symbols(right)
    match label:
        case Apply(function, (Symbol(bound) as letter,)) if function.endswith("()") and symbols(value) == {bound}:
            if len(names) == 1:
                return rebuilt(value, lambda part: Symbol(min(names)) if part == letter else part)
    return value


def _same_equations(mine: Relation, right: Relation, same: Same) -> bool:
    """Side by side, in either direction, or one is a multiple of the other."""
    if mine.signs != right.signs:
        return False
    if all(map(same, mine.sides, right.sides)):
        return True
    if mine.signs != ("=",):
        return False
    if all(map(same, mine.sides[::-1], right.sides)):
        return True
    differences = [Apply("+", (sides[0], negative(sides[1]))) for sides in (mine.sides, right.sides)]
    return all(map(is_expression, differences)) and ratio(*differences) is not None
