"""Expressions of maths: read from LaTeX as Math-Verify reads it, and compared by value, both in bounded time.

Expressions are evaluated at a few points.  Where they differ, they are not equal, and Math-Verify is not asked; where
they agree in all digits, they are, though its `simplify` may not find it or not end.  It decides what has no value:
relations, intervals, sets, matrices.  Letters keep their case here; it takes M for m.
"""

import re
from functools import lru_cache
from math import prod
from typing import Any

import mpmath
import sympy
from latex2sympy2_extended import NormalizationConfig, latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from latex2sympy2_extended.math_normalization import normalize_latex
from math_verify.grader import sympy_expr_eq
from sympy.core.function import AppliedUndef

DEPTH = 20  # brackets within brackets that are read: latex2sympy takes seconds at 25
DIGITS, DIGITS_OF_CONSTANTS = 30, 500  # to which expressions are evaluated; no two integers of an answer look alike
SPARE = 10  # of these digits, in which equal values may differ
DECIMAL = 1e-12  # relative difference of equal values where a number of 15 digits is among them
ZERO = 1e-25  # a value below it may be what is left of a difference
WHOLE = 7, 9, 10, 13, 16, 20, 25, 27, 32, 36  # for floors: squares, a cube, powers of 2, residues modulo 2, 3, 4, 5, 7

SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none")
READING = ConversionConfig(lowercase_symbols=False)
DERIVATIVE = re.compile(r"\\frac\{(d[^{}+-]*)\}\{(d *\\?[a-zA-Z]+(?:\^\d)?)\}")  # of a letter, 0 to sympy
READ_AS_CONSTANT = re.compile(r"\\(gamma)(?![a-zA-Z])|(?<![a-zA-Z\\])(E)(?=_)")
GREEK = "alpha|beta|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|varphi|chi|psi|omega"
NO_LETTERS = r"\\text\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}(?:\{[lcr|]+\})?"
LETTER = re.compile(rf"{NO_LETTERS}|(\\(?:{GREEK})(?![a-zA-Z])|[a-zA-Z])(\(?)|\\[a-zA-Z]+")

HUGE_FACTORIAL = re.compile(r"!\s*[)}]?\s*!|\d{5,}\s*[)}]?\s*!|[({][^a-zA-Z]*[^\da-zA-Z({][^a-zA-Z]*[)}]\s*!")
HUGE_POWER = re.compile(r"\^\s*\{?\s*-?\d{6}|\^\s*\d+\s*\^|\^\s*\{[^{}]*\^[^{}]*(?:\^|\{[^{}]*\^)")
HUGE_FUNCTION = re.compile(r"\\(?:binom|Gamma)[^a-zA-Z]*\d{5}")
RELATION = re.compile(r"[<>]|\\(?:leq|geq|neq|in|cup|cap|setminus)(?![a-zA-Z])")
UNDONE = r"\int", r"\lim"
TWO_NUMBERS = re.compile(r"(?<!_)\d \d")  # latex2sympy adds them
TOWER = re.compile(r"\^\{?(\d+)\^\{?(\d+)")
CHAIN = re.compile(r"\^\{?(\d+)\}?(?=[)}\]]+\^\{?(\d+))")


def same(answer: str, gold: str) -> bool:
    """Whether the normal forms are equal by value.  False where either cannot be read, or leaves an integral undone."""
    if any(command in answer and command not in gold for command in UNDONE):
        return False
    if not RELATION.search(answer + gold) and _variables(answer) != _variables(gold):
        return False  # known without reading them
    mine, right = _pair(answer, gold)
    if mine is None or right is None or isinstance(mine, sympy.Eq) != isinstance(right, sympy.Eq):
        return False
    by_value = _same_values(mine, right)
    return sympy_expr_eq(right, mine, 6, 15) if by_value is None else by_value


def close(answer: str, gold: str, relative: float) -> bool:
    """Whether both are constants, and at most so far apart."""
    mine, right = _pair(answer, gold)
    constants = all(isinstance(side, sympy.Expr) and not side.free_symbols for side in (mine, right))
    return constants and bool(_same_values(mine, right, relative))


def depth(text: str) -> int:
    """Of brackets within brackets."""
    deepest = now = 0
    for character in text:
        now = max(now + (1 if character in "([{" else -1 if character in ")]}" else 0), 0)
        deepest = max(deepest, now)
    return deepest


def _variables(form: str) -> set[str]:
    return {match[1] for match in LETTER.finditer(form) if match[1]} - {"e", "i"}


def _pair(*forms: str) -> list[Any]:
    """What the forms say, with n(n-1) as a product where some n has no bracket: latex2sympy reads a function n."""
    bare = {match[1] for form in forms for match in LETTER.finditer(form) if match[1] and match[2] != "("}
    return [read(LETTER.sub(lambda m: rf"{m[1]}\cdot(" if m[1] in bare and m[2] else m[0], form)) for form in forms]


@lru_cache(16384)
def read(form: str) -> Any:
    """A normal form as sympy's Basic or matrix, functions of unknown definition as symbols; None where it is none."""
    if depth(form) > DEPTH or TWO_NUMBERS.search(form) or _is_huge(form):
        return None
    form = DERIVATIVE.sub(lambda ratio: rf"\text{{{re.sub('[^a-zA-Z0-9]', '', ratio[1] + ratio[2])}}}", form)
    form = READ_AS_CONSTANT.sub(lambda letter: rf"\text{{letter{letter[1] or letter[2]}}}", form)
    try:
        latex = normalize_latex(form, SPELLING)
        found: Any = latex2sympy(latex, is_real=True, normalization_config=None, conversion_config=READING)
        if isinstance(found, sympy.MatrixBase):
            return found
        if not isinstance(found, sympy.Basic) or found.has(sympy.nan, sympy.zoo):
            return None
        functions = found.atoms(AppliedUndef) if isinstance(found, sympy.Expr | sympy.Eq) else ()
        return found.xreplace({function: sympy.Symbol(str(function)) for function in functions}) if functions else found
    except Exception:  # every kind of it: there are many ways of not being LaTeX
        return None


def _is_huge(form: str) -> bool:
    """Whether it may take for ever to evaluate: no signal ends a power of integers before it is done."""
    if any(pattern.search(form) for pattern in (HUGE_FACTORIAL, HUGE_FUNCTION, HUGE_POWER)):
        return True
    towers = [len(top) > 2 or int(base) ** int(top) > 10**6 for base, top in TOWER.findall(form)]
    return any(towers) or prod(int(inner) * int(outer) for inner, outer in CHAIN.findall(form)) > 10**6


def _same_values(mine: Any, right: Any, relative: float = 0.0) -> bool | None:
    """Whether expressions agree, or equations are multiples of each other, at a few points; None: no saying."""
    equations = isinstance(mine, sympy.Eq) and isinstance(right, sympy.Eq)
    if equations:
        sides: list[Any] = [*mine.args, *right.args]
        if not all(isinstance(side, sympy.Expr) for side in sides):
            return None
        mine, right = sides[0] - sides[1], sides[2] - sides[3]
    if not isinstance(mine, sympy.Expr) or not isinstance(right, sympy.Expr):
        return None
    if mine.free_symbols != right.free_symbols:
        return False
    constant, decimals = not mine.free_symbols, [side.has(sympy.Float) for side in (mine, right)]
    digits = DIGITS_OF_CONSTANTS if constant and not any(decimals) else DIGITS
    points = _points(sympy.Tuple(mine, right))
    evaluated = [(_value(mine, point, digits), _value(right, point, digits)) for point in points]
    if all(a is None for a, _ in evaluated) and any(b is not None for _, b in evaluated):
        return False
    values = [(a, b) for a, b in evaluated if a is not None and b is not None]
    values = [(a, b) for a, b in values if constant or max(abs(a), abs(b)) > ZERO]
    if len(values) < (1 if constant else 2):
        return None
    with mpmath.workdps(digits):
        tolerance = max(DECIMAL if any(decimals) else mpmath.mpf(10) ** (SPARE - digits), relative)
        factor = next((b / a for a, b in values if a != 0), 1) if equations else 1
        apart = [(abs(a * factor - b), abs(b)) for a, b in values]
        if constant and decimals[0] != decimals[1]:  # one is rounded, as numbers may be
            return all(difference <= max(min(5e-7, 1e-5 * size), tolerance * size) for difference, size in apart)
        return all(difference <= tolerance * size for difference, size in apart)


def _value(expression: Any, point: dict[Any, Any], digits: int) -> Any:
    """As a number of mpmath; None where there is none, or no finite one."""
    try:
        value = expression.evalf(digits, subs=point)
        if value.is_number and value.is_finite:
            with mpmath.workdps(digits):
                return mpmath.mpc(*map(mpmath.mpmathify, value.as_real_imag()))
    except (ArithmeticError, TypeError, ValueError):  # \lfloor 1/0 \rfloor
        pass
    return None


def _points(expressions: Any) -> list[dict[Any, Any]]:
    """Where to evaluate: whole numbers for floors and factorials, positive ones for roots; i is always the unit."""
    symbols = sorted(expressions.free_symbols, key=str)
    if not symbols:
        return [{}]
    whole = expressions.has(sympy.floor, sympy.ceiling, sympy.factorial, sympy.binomial, sympy.Mod)
    roots = any(not power.exp.is_integer for power in expressions.atoms(sympy.Pow)) or expressions.has(sympy.log)
    signed = not whole and (not roots or expressions.has(sympy.Abs))
    points = []
    for trial in range(len(WHOLE) if whole else 3):
        point = {}
        for rank, symbol in enumerate(symbols if trial % 2 else symbols[::-1]):
            if whole:
                value = sympy.Integer(WHOLE[(trial + 3 * rank) % len(WHOLE)] + 11 * rank)
            else:
                value = sympy.Rational(57 + 31 * rank + 17 * trial, 89 + 10 * trial)
            point[symbol] = sympy.I if symbol.name == "i" else -value if signed and (rank + trial) % 2 else value
        points.append(point)
    return points
