"""Sets of reals: intervals, their unions, inequalities in one letter; compared by their ends."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import mpmath
from mpmath import mp

from em.evaluation.maths.evaluate import number
from em.evaluation.maths.values import (
    MINUS_ONE,
    REALS,
    Apply,
    Relation,
    Sequence,
    Symbol,
    Value,
    is_expression,
    negative,
    rebuilt,
    symbols,
    walk,
)

DIGITS = 50
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
ORDERS = frozenset(FLIPPED)


@dataclass(frozen=True)
class Piece:
    low: Any
    high: Any
    with_low: bool
    with_high: bool

    def is_empty(self) -> bool:
        return bool(self.low > self.high or (same(self.low, self.high) and not (self.with_low and self.with_high)))


Region = list[Piece]  # in order, with gaps between them
EVERYTHING = [Piece(mpmath.ninf, mpmath.inf, False, False)]


def same(a: Any, b: Any) -> bool:
    if mpmath.isinf(a) or mpmath.isinf(b):
        return bool(a == b)
    with mp.workdps(DIGITS):
        return bool(abs(a - b) <= mpmath.mpf(10) ** (10 - DIGITS) * max(1, abs(a), abs(b)))


def speaks_of_a_region(value: Value) -> bool:
    """Whether a value can be meant as a set of reals only."""
    match value:
        case Apply("cup" | "cap" | "setminus"):
            return True
        case Relation(signs, sides):
            return bool(set(signs) & (ORDERS | {"!="})) or (signs == ("in",) and speaks_of_a_region(sides[-1]))
        case Sequence("(]" | "[)", _):
            return True
        case Sequence("", items):
            return all(map(speaks_of_a_region, items))
    return False


def region(value: Value) -> Region | None:
    """The reals that a value says; None where we cannot tell."""
    match value:
        case Sequence("()" | "[]" | "(]" | "[)" as brackets, (low, high)):
            ends = _end(low), _end(high)
            if ends[0] is None or ends[1] is None:
                return None
            return _ordered([Piece(ends[0], ends[1], brackets[0] == "[", brackets[1] == "]")])
        case Sequence("{}", items):
            points = [_end(item) for item in items]
            return (
                None
                if any(p is None or mpmath.isinf(p) for p in points)
                else _ordered([Piece(p, p, True, True) for p in points])
            )
        case Apply(("cup" | "cap" | "setminus") as operation, (left, right)):
            a, b = region(left), region(right)
            if a is None or b is None:
                return None
            return {"cup": _union, "cap": _intersection, "setminus": lambda x, y: _intersection(x, _complement(y))}[
                operation
            ](a, b)
        case Relation(signs, sides):
            return _of_relation(signs, sides)
        case Sequence("", items, alternatives):
            return _joined([region(item) for item in items], alternatives)
    return EVERYTHING if value == REALS else None


def _joined(regions: list[Region | None], alternatives: bool | None) -> Region | None:
    """By "or": the union; by "and": the intersection; by commas: the intersection, unless nothing is in it."""
    known = [part for part in regions if part is not None]
    if not known or len(known) < len(regions):
        return None
    joined = reduce(_union if alternatives else _intersection, known)
    return reduce(_union, known) if alternatives is None and not joined else joined


def letter(value: Value) -> str | None:
    """The letter of which a region is said; None where none is."""
    names = {name for part in walk(value) if isinstance(part, Relation) for name in symbols(part)} - {"R"}
    return min(names) if names else None


def same_regions(a: Region, b: Region) -> bool:
    return len(a) == len(b) and all(
        same(x.low, y.low) and same(x.high, y.high) and (x.with_low, x.with_high) == (y.with_low, y.with_high)
        for x, y in zip(a, b, strict=True)
    )


def _end(value: Value) -> Any:
    """A real number or an infinity; None for others."""
    match value:
        case Apply("infinity", ()) | Apply("+", (Apply("infinity", ()),)):
            return mpmath.inf
        case Apply("*", (_, Apply("infinity", ()))):
            return mpmath.ninf
    if not is_expression(value) or symbols(value):
        return None
    result = number(value, DIGITS)
    return None if result is None or mpmath.im(result) != 0 else mpmath.re(result)


def _of_relation(signs: tuple[str, ...], sides: tuple[Value, ...]) -> Region | None:
    sides = tuple(rebuilt(side, _as_letter) for side in sides)
    names = {name for side in sides for name in symbols(side)} - {"R"}
    if len(names) != 1:
        return None
    result: Region | None = EVERYTHING
    for sign, left, right in zip(signs, sides, sides[1:], strict=False):
        part = region(right) if sign == "in" else _solved(left, sign, right, min(names))
        if part is None or result is None:
            return None
        result = _intersection(result, part)
    return result


def _as_letter(value: Value) -> Value:
    """The value of an unknown function is a letter here: 0 < f(x) < 1."""
    return Symbol(value.function) if isinstance(value, Apply) and value.function.endswith("()") else value


def _solved(left: Value, sign: str, right: Value, name: str) -> Region | None:
    """Where a comparison of linear expressions, or of an absolute value with a constant, holds."""
    if isinstance(right, Apply) and right.function == "abs" and sign in FLIPPED:
        left, sign, right = right, FLIPPED[sign], left
    if isinstance(left, Apply) and left.function == "abs" and sign in ORDERS and not symbols(right):
        inside, opposite = left.arguments[0], Apply("*", (MINUS_ONE, right))
        within = sign[0] == "<"
        above, below = _solved(inside, sign, right, name), _solved(inside, FLIPPED[sign], opposite, name)
        if above is None or below is None:
            return None
        return _intersection(above, below) if within else _union(above, below)
    for a, b, s in ((left, right, sign), (right, left, FLIPPED.get(sign, sign))):
        if isinstance(a, Symbol | Apply) and symbols(a) == {name} and (isinstance(a, Symbol) or a.function == name):
            end = _end(b)
            return None if end is None else _half(end, s)
    if not is_expression(left) or not is_expression(right):
        return None
    difference = Apply("+", (left, negative(right)))
    if _degree(difference) != 1:
        return None
    at_zero, at_one = (number(difference, DIGITS, {name: mpmath.mpf(at)}) for at in (0, 1))
    if at_zero is None or at_one is None:
        return None
    with mp.workdps(DIGITS):
        slope = at_one - at_zero
        if slope == 0 or mpmath.im(slope) != 0:
            return None
        return _half(-at_zero / slope, sign if slope > 0 else FLIPPED.get(sign, sign))


def _degree(value: Value) -> int | None:
    """Of a polynomial, by its form; None for what is none."""
    if not symbols(value):
        return 0
    if isinstance(value, Symbol):
        return 1
    degrees = [_degree(part) for part in value.arguments] if isinstance(value, Apply) else [None]
    known = [degree for degree in degrees if degree is not None]
    if len(known) < len(degrees) or not isinstance(value, Apply):
        return None
    if value.function == "+":
        return max(known)
    if value.function == "*":
        return sum(known)
    return known[0] if value.function == "/" and known[1] == 0 else None


def _half(end: Any, sign: str) -> Region | None:
    match sign:
        case "<" | "<=":
            return [Piece(mpmath.ninf, end, False, sign == "<=" and not mpmath.isinf(end))]
        case ">" | ">=":
            return [Piece(end, mpmath.inf, sign == ">=" and not mpmath.isinf(end), False)]
        case "=":
            return [Piece(end, end, True, True)]
        case "!=":
            return _complement([Piece(end, end, True, True)])
    return None


def _ordered(pieces: Region) -> Region:
    """Without empty ones, and those that touch as one."""
    made: Region = []
    for piece in sorted((piece for piece in pieces if not piece.is_empty()), key=lambda p: (p.low, not p.with_low)):
        last = made[-1] if made else None
        if last and (piece.low < last.high or (same(piece.low, last.high) and (piece.with_low or last.with_high))):
            if same(piece.high, last.high):
                made[-1] = Piece(last.low, last.high, last.with_low, last.with_high or piece.with_high)
            elif piece.high > last.high:
                made[-1] = Piece(last.low, piece.high, last.with_low, piece.with_high)
        else:
            made.append(piece)
    return made


def _union(a: Region, b: Region) -> Region:
    return _ordered([*a, *b])


def _intersection(a: Region, b: Region) -> Region:
    both = []
    for x in a:
        for y in b:
            low = max(x.low, y.low)
            high = min(x.high, y.high)
            with_low = all(p.with_low for p in (x, y) if same(p.low, low))
            with_high = all(p.with_high for p in (x, y) if same(p.high, high))
            both.append(Piece(low, high, with_low, with_high))
    return _ordered(both)


def _complement(a: Region) -> Region:
    result = EVERYTHING
    for piece in a:
        outside = [
            Piece(mpmath.ninf, piece.low, False, not piece.with_low),
            Piece(piece.high, mpmath.inf, not piece.with_high, False),
        ]
        result = _intersection(
            result,
            _ordered([p for p in outside if not (mpmath.isinf(p.low) and mpmath.isinf(p.high) and p.low == p.high)]),
        )
    return result
