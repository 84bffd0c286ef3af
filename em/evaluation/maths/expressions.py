r"""Whether expressions have the same value: exactly where they are rational, else to hundreds of digits, or at points.

A decimal may stand for a number whose decimals do not end, to six decimals and five digits.
"""

from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

from em.evaluation.maths.evaluate import Point, exact, number
from em.evaluation.maths.tokens import listed
from em.evaluation.maths.values import Apply, Number, UndecidedError, Value, is_expression, symbols, walk

FEW_DIGITS, MANY_DIGITS, MOST_DIGITS = 30, 500, 6000
SPARE = 10  # of these digits, in which equal values may differ
DECIMAL = mpmath.mpf("1e-12")  # relative difference of equal values where both are decimals
VANISHING = mpmath.mpf("1e-100")  # of the difference of equal values, when it is computed to MANY_DIGITS
NOTHING = mpmath.mpf("1e-25")  # what may be left of a difference of terms
WHOLE = *range(2, 44), 63, 64, 80, 81, 99, 100  # for floors: all residues of small numbers, powers and what is before
NEEDS_WHOLE = listed("floor ceil ! binom gcd lcm sum prod")
KINKED = listed("abs sqrt root cbrt max min sgn sign floor ceil")  # functions whose formula changes somewhere
COUNTING = listed("! binom sum prod")  # functions that take long far out
FARTHEST = 10_000
NEEDS_POSITIVE = listed("sqrt root cbrt ln log lg log10")


def has(value: Value, function: str) -> bool:
    return any(isinstance(part, Apply) and part.function == function for part in walk(value))


def _bare(value: Value, sign: str) -> Value:
    """Without a percent or degree sign, but for those in the argument of a function."""
    if isinstance(value, Apply) and value.function == sign:
        return value.arguments[0]
    if isinstance(value, Apply) and (value.function in ("+", "*", "/") or value.function[:2] in ("pm", "mp")):
        return Apply(value.function, tuple(_bare(argument, sign) for argument in value.arguments))
    return value


def same_expressions(mine: Value, right: Value, bare: bool = True) -> bool:
    """By value.  A percent or degree sign of the gold may be left out; a degree sign may be added to a plain number."""
    if not is_expression(mine) or not is_expression(right):
        return False
    if _equal_values(mine, right):
        return True
    if not bare:
        return False
    without = {sign: _bare(right, sign) for sign in ("percent", "degree") if not has(mine, sign)}
    if any(value != right and _equal_values(mine, value) for value in without.values()):
        return True
    added = _bare(mine, "degree")
    return added != mine and exact(right) is not None and _equal_values(added, right)


def _equal_values(mine: Value, right: Value) -> bool:
    if mine == right:
        return True
    if symbols(mine) or symbols(right):
        return _equal_at_points(mine, right)
    decimals = _is_decimal(mine), _is_decimal(right)
    fractions = exact(mine), exact(right)
    if fractions[0] is not None and fractions[1] is not None:
        return _equal_fractions(fractions[0], fractions[1], decimals)
    return _equal_constants(mine, right, decimals)


def _is_decimal(value: Value) -> bool:
    return any(isinstance(part, Number) and part.decimal for part in walk(value))


def _equal_fractions(mine: Fraction, right: Fraction, decimals: tuple[bool, bool]) -> bool:
    if mine == right or decimals[0] == decimals[1]:
        return mine == right
    endless = right if decimals[0] else mine
    bottom = endless.denominator
    ends = 10 ** bottom.bit_length() % bottom == 0
    return not ends and _is_rounded(abs(mine - right), abs(endless))


def _is_rounded(difference: Any, size: Any) -> bool:
    return bool(difference * 2 * 10**6 <= 1 and difference * 10**5 <= size)


def _equal_constants(mine: Value, right: Value, decimals: tuple[bool, bool]) -> bool:
    """Evaluated to few digits, and again to as many as their sizes need where these agree; raises UndecidedError."""
    if has(mine, "infinity") or has(right, "infinity"):
        return False
    digits, left = FEW_DIGITS, mpmath.mpf(0)
    while True:
        a, b = number(mine, digits), number(right, digits)
        if a is None and b is None:
            raise UndecidedError("neither has a value")
        if a is None or b is None:
            return False
        with mp.workdps(digits):
            difference, size = abs(a - b), max(abs(a), abs(b))
            if decimals[0] != decimals[1]:
                return _is_rounded(difference, size)
            if decimals[0]:
                return bool(difference <= size * DECIMAL)
            tolerance = mpmath.mpf(10) ** (SPARE - digits)
            if difference > max(size, 1) * tolerance or (left and difference > left * VANISHING):
                return False
            left = max(difference, size * tolerance)
            needed = MANY_DIGITS + max(0, int(mpmath.mag(size) * 0.302)) if size else 0
        if digits >= needed:
            return True
        if needed > MOST_DIGITS:
            raise UndecidedError("numbers that are too long to be told apart")
        digits = needed


def _equal_at_points(mine: Value, right: Value) -> bool:
    """Raises UndecidedError where both have a value at one point at most."""
    compared = 0
    tolerance = DECIMAL if _is_decimal(mine) or _is_decimal(right) else mpmath.mpf(10) ** (SPARE - FEW_DIGITS)
    for point in _points(mine, right):
        a, b = number(mine, FEW_DIGITS, point), number(right, FEW_DIGITS, point)
        if a is None and b is None:
            continue
        if a is None or b is None:
            return False
        with mp.workdps(FEW_DIGITS):
            if abs(a - b) > max(NOTHING, tolerance * max(abs(a), abs(b))):
                return False
        compared += 1
    if compared < 2:
        raise UndecidedError("defined at no point that we tried")
    return _equal_elsewhere(mine, right)


def _equal_elsewhere(mine: Value, right: Value) -> bool:
    r"""Whether nothing real tells them apart below zero and beyond the numbers in them: \sqrt{x^2} is no x, and
    |x - 5| is no 5 - x.

    Several letters, or those with a subscript, are mostly positive quantities.
    """
    names = sorted(name for name in symbols(mine) | symbols(right) if not name.endswith("()"))
    parts = [part for side in (mine, right) for part in walk(side)]
    functions = {part.function for part in parts if isinstance(part, Apply)}
    numbers = [max(abs(part.value.numerator), part.value.denominator) for part in parts if isinstance(part, Number)]
    far = 1 + max((number for number in numbers if number <= FARTHEST), default=0)
    points: list[Point] = []
    if functions & KINKED and not functions & COUNTING:
        points += [
            {name: mpmath.mpf(far + rank * (far + 1)) for rank, name in enumerate(order)}
            for order in (names, names[::-1])
        ]
    if len(names) == 1 and len(names[0]) == 1 and not _needs_whole(mine, right):
        points += [{names[0]: mpmath.mpf(at)} for at in (-1.375, -2.625, -far - 0.625)]
    return not any(_differ(mine, right, point) for point in points)


def _differ(mine: Value, right: Value, point: Point) -> bool:
    """Whether both are real there, and not equal."""
    try:
        a, b = number(mine, FEW_DIGITS, point), number(right, FEW_DIGITS, point)
    except UndecidedError:
        return False
    if a is None or b is None or mpmath.im(a) != 0 or mpmath.im(b) != 0:
        return False
    return bool(abs(a - b) > DECIMAL * max(1, abs(a), abs(b)))


def ratio(mine: Value, right: Value) -> Any:
    """The constant that the quotient of two expressions of the same letters is; None where it is none."""
    if symbols(mine) != symbols(right) or not symbols(mine):
        return None
    ratios = []
    with mp.workdps(FEW_DIGITS):
        for point in _points(mine, right):
            a, b = number(mine, FEW_DIGITS, point), number(right, FEW_DIGITS, point)
            if a is not None and b is not None and b != 0:
                ratios.append(a / b)
        if len(ratios) < 2 or ratios[0] == 0:
            return None
        tolerance = mpmath.mpf(10) ** (SPARE - FEW_DIGITS) * abs(ratios[0])
        return ratios[0] if all(abs(other - ratios[0]) <= tolerance for other in ratios) else None


def _needs_whole(*sides: Value) -> bool:
    applied = [part for side in sides for part in walk(side) if isinstance(part, Apply)]
    return any(part.function in NEEDS_WHOLE and not _rounds_nothing(part) for part in applied)


def _rounds_nothing(part: Apply) -> bool:
    r"""Whether it is as \lfloor 2n + 1 \rfloor, which no whole number tells from 2n + 1."""
    inside = walk(part.arguments[0])
    whole = [
        inner.value.denominator == 1
        if isinstance(inner, Number)
        else not isinstance(inner, Apply) or inner.function in "+*"
        for inner in inside
    ]
    return part.function in ("floor", "ceil") and all(whole)


def _points(mine: Value, right: Value) -> list[Point]:
    """Where to evaluate: whole numbers for floors and factorials, positive ones for roots and logarithms."""
    names = sorted(name for name in symbols(mine) | symbols(right) if not name.endswith("()"))
    applied = [part for side in (mine, right) for part in walk(side) if isinstance(part, Apply)]
    functions = {part.function for part in applied}
    exponents = [exact(part.arguments[1]) for part in applied if part.function == "^"]
    roots = bool(functions & NEEDS_POSITIVE) or any(power is None or power.denominator != 1 for power in exponents)
    whole = _needs_whole(mine, right)
    signed = not whole and (not roots or "abs" in functions)
    points = []
    for trial in range(len(WHOLE) if whole else 4):
        point = {}
        for rank, name in enumerate(names if trial % 2 else names[::-1]):
            if whole:
                value = mpmath.mpf(WHOLE[(trial + 3 * rank) % len(WHOLE)] + 11 * rank)
            else:
                with mp.workdps(FEW_DIGITS):
                    value = mpmath.mpf(57 + 31 * rank + 17 * trial) / (89 + 10 * trial)
            point[name] = -value if signed and (rank + trial // 2) % 2 else value
        points.append(point)
    return points
