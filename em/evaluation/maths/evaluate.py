r"""Expressions to numbers: exactly where they are rational, else to any number of digits, at points for their letters.

All sizes are bounded: a power, factorial or sum that would take long raises UndecidedError.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, comb, factorial, floor, gcd, isqrt, lcm, prod
from typing import Any

import mpmath
from mpmath import mp

from em.evaluation.maths.values import Apply, Number, Symbol, UndecidedError, Value, walk

BITS = 200_000  # of an exact number
MAGNITUDE = 1 << 20  # binary exponent of a number that is not
LARGEST_ARGUMENT = 20_000  # of factorials and binomials
TERMS, TERMS_OF_NESTED = 2000, 40  # of a sum; of one of sums
DEEPEST = 200
Point = Mapping[str, Any]


@dataclass(frozen=True)
class Function:
    value: Callable[..., Any]  # of numbers of mpmath
    arities: tuple[int, ...] = (1,)


def _whole(value: Any) -> int:
    real = mpmath.re(value)
    nearest = int(mpmath.nint(real))
    if abs(mpmath.im(value)) > 1e-15 or abs(real - nearest) > 1e-15:
        raise ValueError("not whole")
    return nearest


def _factorial(x: Any) -> Any:
    if abs(x) > LARGEST_ARGUMENT:
        raise UndecidedError("a factorial that is too large")
    return mpmath.gamma(x + 1)


def _binomial(n: Any, k: Any) -> Any:
    if abs(n) > LARGEST_ARGUMENT or abs(k) > LARGEST_ARGUMENT:
        raise UndecidedError("a binomial coefficient that is too large")
    return mpmath.binomial(n, k)


def _small(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def bounded(x: Any) -> Any:
        if mpmath.isfinite(x) and mpmath.mag(x) > 2000:
            raise UndecidedError("an argument that is too large")
        return function(x)

    return bounded


def _power(base: Any, exponent: Any) -> Any:
    if base == 0:
        if mpmath.re(exponent) <= 0:
            raise ZeroDivisionError
        return mpmath.mpf(0)
    size = abs(mpmath.log(abs(base), 2)) + 4 if base not in (1, -1) else mpmath.mpf(4)
    if mpmath.isfinite(exponent) and abs(exponent) * size > MAGNITUDE:
        raise UndecidedError("a power that is too large")
    return mpmath.power(base, exponent)


def _exp(x: Any) -> Any:
    if mpmath.isfinite(x) and abs(x) > MAGNITUDE:
        raise UndecidedError("a power that is too large")
    return mpmath.exp(x)


def _rounded(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def of(x: Any) -> Any:
        if abs(mpmath.im(x)) > 1e-15:
            raise ValueError("of a complex number")
        real = mpmath.re(x)
        nearest = mpmath.nint(real)
        return nearest if abs(real - nearest) < mpmath.mpf(10) ** (8 - mp.dps) * max(1, abs(real)) else function(real)

    return of


def _root(x: Any, degree: Any) -> Any:
    if (
        mpmath.im(x) == 0
        and mpmath.re(x) < 0
        and mpmath.im(degree) == 0
        and int(mpmath.re(degree)) == degree
        and int(degree) % 2
    ):
        return -_power(-mpmath.re(x), 1 / degree)
    return _power(x, 1 / degree)


FUNCTIONS: dict[str, Function] = {
    **{name: Function(_small(getattr(mpmath, name))) for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{name: Function(_small(getattr(mpmath, name))) for name in ("sinh", "cosh", "tanh", "coth", "sech", "csch")},
    **{
        f"arc{n}": Function(getattr(mpmath, f"a{n}"))
        for n in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")
    },
    **{f"a{n}": Function(getattr(mpmath, f"a{n}")) for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"ar{n}": Function(getattr(mpmath, f"a{n}")) for n in ("sinh", "cosh", "tanh")},
    "exp": Function(_exp),
    "ln": Function(mpmath.log),
    "log": Function(lambda x, base=None: mpmath.log(x) if base is None else mpmath.log(x) / mpmath.log(base), (1, 2)),
    "lg": Function(mpmath.log10),
    "log10": Function(mpmath.log10),
    "sqrt": Function(mpmath.sqrt),
    "cbrt": Function(lambda x: _root(x, mpmath.mpf(3))),
    "root": Function(_root, (2,)),
    "abs": Function(abs),
    "floor": Function(_rounded(mpmath.floor)),
    "ceil": Function(_rounded(mpmath.ceil)),
    "sgn": Function(mpmath.sign),
    "sign": Function(mpmath.sign),
    "gcd": Function(lambda *xs: mpmath.mpf(gcd(*map(_whole, xs))), (2, 3, 4)),
    "lcm": Function(lambda *xs: mpmath.mpf(lcm(*map(_whole, xs))), (2, 3, 4)),
    "min": Function(lambda *xs: min(xs), (1, 2, 3, 4, 5)),
    "max": Function(lambda *xs: max(xs), (1, 2, 3, 4, 5)),
    "binom": Function(_binomial, (2,)),
    "!": Function(_factorial),
    "Gamma": Function(lambda x: _factorial(x - 1)),
    "percent": Function(lambda x: x / 100),
    "degree": Function(lambda x: x * mp.pi / 180),
    "conj": Function(mpmath.conj),
    "arg": Function(mpmath.arg),
}


def exact(value: Value) -> Fraction | None:
    """The rational number that an expression is, by arithmetic alone; None where it is not that, or too large."""
    try:
        return _exact(value, DEEPEST)
    except (ZeroDivisionError, ValueError, OverflowError):
        return None


def _exact(value: Value, depth: int) -> Fraction | None:
    if isinstance(value, Number):
        return value.value
    if not isinstance(value, Apply) or not depth:
        return None
    if value.function not in (
        "+",
        "*",
        "/",
        "^",
        "sqrt",
        "percent",
        "!",
        "binom",
        "abs",
        "floor",
        "ceil",
        "gcd",
        "lcm",
        "min",
        "max",
    ):
        return None
    numbers = [_exact(argument, depth - 1) for argument in value.arguments]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    result = _apply_exactly(value.function, known)
    return None if result is None or result.numerator.bit_length() + result.denominator.bit_length() > BITS else result


def _apply_exactly(function: str, xs: list[Fraction]) -> Fraction | None:
    match function:
        case "+":
            return sum(xs, Fraction(0))
        case "*":
            return prod(xs, start=Fraction(1))
        case "/":
            return xs[0] / xs[1]
        case "percent":
            return xs[0] / 100
        case "abs":
            return abs(xs[0])
        case "floor":
            return Fraction(floor(xs[0]))
        case "ceil":
            return Fraction(ceil(xs[0]))
        case "min":
            return min(xs)
        case "max":
            return max(xs)
        case "^":
            base, exponent = xs
            if exponent.denominator != 1:
                return None
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if bits * abs(exponent) > BITS and abs(base) != 1 and base != 0:
                return None
            if base in (0, 1, -1):
                exponent = exponent if exponent < 2 else Fraction(2 + exponent.numerator % 2)
            return base**exponent.numerator
        case "sqrt":
            top, bottom = xs[0].numerator, xs[0].denominator
            if top < 0 or isqrt(top) ** 2 != top or isqrt(bottom) ** 2 != bottom:
                return None
            return Fraction(isqrt(top), isqrt(bottom))
    if any(x.denominator != 1 for x in xs):
        return None
    whole = [x.numerator for x in xs]
    match function:
        case "!" if 0 <= whole[0] <= 10_000:
            return Fraction(factorial(whole[0]))
        case "binom" if 0 <= whole[1] <= whole[0] <= 10_000:
            return Fraction(comb(*whole))
        case "gcd":
            return Fraction(gcd(*whole))
        case "lcm":
            return Fraction(lcm(*whole))
    return None


def number(value: Value, digits: int, point: Point | None = None) -> Any:
    """As a number of mpmath, at a point for the letters; None where it has no finite value there."""
    with mp.workdps(digits):
        try:
            result = _number(value, point or {}, DEEPEST)
            return result if mpmath.isfinite(result) else None
        except (ArithmeticError, ValueError, TypeError, mp.NoConvergence):
            return None


def _number(value: Value, point: Point, depth: int) -> Any:
    if not depth:
        raise UndecidedError("nested too deeply")
    match value:
        case Number(fraction):
            if fraction.numerator.bit_length() > BITS:
                raise UndecidedError("a number that is too long")
            return mpmath.mpf(fraction.numerator) / fraction.denominator
        case Symbol(name):
            return point[name] if name in point else _letter(name)
        case Apply(("sum" | "prod") as name, arguments):
            return _repeated(name, arguments, point, depth)
        case Apply(function, arguments):
            xs = [_number(argument, point, depth - 1) for argument in arguments]
            result = _applied(function, xs)
            if mpmath.isfinite(result) and result != 0 and mpmath.mag(result) > MAGNITUDE:
                raise UndecidedError("a number that is too large")
            return result
    raise ValueError("no expression")


def _applied(function: str, xs: list[Any]) -> Any:
    match function:
        case "+":
            return mpmath.fsum(xs)
        case "*":
            return mpmath.fprod(xs)
        case "/":
            return xs[0] / xs[1]
        case "^":
            return _power(*xs)
        case "pi":
            return +mp.pi
        case "e":
            return +mp.e
        case "i":
            return mpmath.mpc(0, 1)
        case "infinity":
            return mpmath.inf
    if function.endswith("()"):  # an unknown function: any that is hardly one that is meant
        seeds = [_letter(f"{function}{index}") for index in range(4)]
        total = seeds[0]
        for rank, x in enumerate(xs):
            total += seeds[1] * (rank + 1) * x + seeds[2] * x**2 / (rank + 2) + seeds[3] * x**3
        return total
    if function not in FUNCTIONS:
        raise ValueError(f"{function} has no value")
    return FUNCTIONS[function].value(*xs)


def _letter(name: str) -> Any:
    """A number for a name, the same in every process."""
    return mpmath.mpf(zlib.crc32(name.encode(errors="replace")) % 99991 + 7000) / 50021


def _repeated(name: str, arguments: tuple[Value, ...], point: Point, depth: int) -> Any:
    variable, low, high, body = arguments
    assert isinstance(variable, Symbol)
    first, last = (_whole(_number(end, point, depth - 1)) for end in (low, high))
    nested = any(isinstance(part, Apply) and part.function in ("sum", "prod") for part in walk(body))
    if last - first > (TERMS_OF_NESTED if nested else TERMS):
        raise UndecidedError("a sum of too many terms")
    values = [_number(body, {**point, variable.name: mpmath.mpf(k)}, depth - 1) for k in range(first, last + 1)]
    return mpmath.fsum(values) if name == "sum" else mpmath.fprod(values)
