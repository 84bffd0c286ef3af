r"""What an answer can be: an expression, or several of them in a sequence, a matrix, a relation; or words.

An expression is a number, a symbol or a function of expressions; +, *, ^, \pm, percent and degree are functions too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction


class UndecidedError(Exception):
    """Two values that cannot be told apart or proven equal by us: too large, or defined nowhere that we looked."""


@dataclass(frozen=True)
class Number:
    value: Fraction
    decimal: bool = False  # written with a point or an exponent: perhaps rounded


@dataclass(frozen=True)
class Symbol:
    name: str  # with its subscript and primes: x, k_B, f'


@dataclass(frozen=True)
class Apply:
    function: str  # a key of evaluate.FUNCTIONS; "f()" for an unknown function f; "pm 0" for the first sign of \pm
    arguments: "tuple[Value, ...]"


@dataclass(frozen=True)
class Unit:
    scale: float  # to base units of the SI, or to dollars
    dimensions: tuple[tuple[str, float], ...] | None  # powers of base units; None: a noun, as apples


@dataclass(frozen=True)
class Measured:
    value: "Value"
    unit: Unit


@dataclass(frozen=True)
class Sequence:
    brackets: str  # "": a list; "{}": a set; "()", "[]", "(]", "[)": a tuple, a point or an interval
    items: "tuple[Value, ...]"
    alternatives: bool | None = None  # joined by "or": True; by "and": False


@dataclass(frozen=True)
class Matrix:
    rows: "tuple[tuple[Value, ...], ...]"


@dataclass(frozen=True)
class Relation:
    signs: tuple[str, ...]
    sides: "tuple[Value, ...]"  # one more than signs


@dataclass(frozen=True)
class Ratio:
    parts: "tuple[Value, ...]"
    clock: bool  # may be a time of day, as 2:30


@dataclass(frozen=True)
class Based:
    digits: str
    base: str


@dataclass(frozen=True)
class Text:
    words: str  # lower case without spaces, or one letter as it is
    value: "Value | None" = None  # what it would be as a product of letters


Value = Number | Symbol | Apply | Measured | Sequence | Matrix | Relation | Ratio | Based | Text

ZERO, ONE, MINUS_ONE = Number(Fraction(0)), Number(Fraction(1)), Number(Fraction(-1))
INFINITY, DOTS, EMPTY = Apply("infinity", ()), Symbol("..."), Sequence("{}", ())
REALS = Symbol("R")


def negative(value: Value) -> Value:
    if isinstance(value, Number):
        return Number(-value.value, value.decimal)
    return product([MINUS_ONE, value])


def product(factors: list[Value]) -> Value:
    return factors[0] if len(factors) == 1 else Apply("*", tuple(factors))


def power(base: Value, exponent: Value) -> Value:
    return Apply("^", (base, exponent))


def quotient(top: Value, bottom: Value) -> Value:
    return Apply("/", (top, bottom))


def parts(value: Value) -> "tuple[Value, ...]":
    """What a value is made of."""
    match value:
        case Apply(_, arguments):
            return arguments
        case Measured(inner, _):
            return (inner,)
        case Sequence(_, items):
            return items
        case Matrix(rows):
            return tuple(cell for row in rows for cell in row)
        case Relation(_, sides):
            return sides
        case Ratio(terms):
            return terms
    return ()


def walk(value: Value) -> Iterator[Value]:
    yield value
    for part in parts(value):
        yield from walk(part)


def rebuilt(value: Value, change: "Callable[[Value], Value]") -> Value:
    """With each part changed, from the leaves on."""
    match value:
        case Apply(function, arguments):
            value = Apply(function, tuple(rebuilt(part, change) for part in arguments))
        case Measured(inner, unit):
            value = Measured(rebuilt(inner, change), unit)
        case Sequence(brackets, items, alternatives):
            value = Sequence(brackets, tuple(rebuilt(part, change) for part in items), alternatives)
        case Matrix(rows):
            value = Matrix(tuple(tuple(rebuilt(cell, change) for cell in row) for row in rows))
        case Relation(signs, sides):
            value = Relation(signs, tuple(rebuilt(part, change) for part in sides))
        case Ratio(terms, clock):
            value = Ratio(tuple(rebuilt(part, change) for part in terms), clock)
    return change(value)


def symbols(value: Value) -> set[str]:
    return {part.name for part in walk(value) if isinstance(part, Symbol)} | {
        part.function for part in walk(value) if isinstance(part, Apply) and part.function.endswith("()")
    }


def is_expression(value: Value) -> bool:
    return isinstance(value, Number | Symbol | Apply) and all(
        isinstance(p, Number | Symbol | Apply) for p in walk(value)
    )
