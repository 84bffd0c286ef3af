"""Units after a value: names and prefixes of pint's registry, money, and nouns of what is counted.

Conversions are pint's.  No number word, and no word that changes what is said (more, not, squared), is a noun.
"""

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from em.evaluation.maths.tokens import Token, listed
from em.evaluation.maths.values import Unit
from em.evaluation.maths.words import ADJECTIVES, FUNCTION_WORDS

COUNTED, TEMPERATURE = Unit(1.0, None), Unit(1.0, (("temperature", 1.0),))
OTHERS = {  # that pint has not
    **dict.fromkeys(("dollar", "dollars", "usd", "buck", "bucks"), Unit(1.0, (("dollar", 1.0),))),
    **dict.fromkeys(("cent", "cents", "penny", "pennies"), Unit(0.01, (("dollar", 1.0),))),
    **dict.fromkeys(("euro", "euros", "eur"), Unit(1.0, (("euro", 1.0),))),
    **dict.fromkeys(("am", "a.m."), Unit(1.0, (("morning", 1.0),))),
    **dict.fromkeys(("pm", "p.m."), Unit(1.0, (("afternoon", 1.0),))),
    **dict.fromkeys(("unit", "units"), COUNTED),
    **dict.fromkeys(("celsius", "fahrenheit", "degc", "degf"), TEMPERATURE),
}
SPELT = {  # otherwise by pint, or by it alone
    **{"sec": "second", "secs": "second", "hrs": "hour", "hr": "hour", "min": "minute", "mins": "minute", "wk": "week"},
    **{"kph": "km/hour", "kmph": "km/hour", "kmh": "km/hour", "au": "astronomical_unit", "AU": "astronomical_unit"},
    **{"in": "inch", "lbs": "pound", "yr": "year", "yrs": "year", "cms": "cm", "kgs": "kg", "amps": "ampere"},
    **{"deg": "degree", "Angstrom": "angstrom", "Angstroms": "angstrom"},
}
LETTERS = listed("m s g A K N J W V C L l h F T")  # that are units in italics too, after a space
NO_UNITS = listed(  # names of pint that are constants, numbers, or no unit to a reader
    "e c k a b n u x y z d D R S G M pi percent count dozen half k_B i I t P E Z Y Q q r f p at as"
)
UNUSUAL = listed("quecto ronto yocto zepto ronna quetta yotta zetta exa peta deca deka hecto")  # prefixes
SHAPES = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
COUNTABLE = listed("roots primes zeros points times")  # though the singular says something else
WORD = re.compile(r"[a-zA-Z]{3,}")


@cache
def _registry() -> Any:
    import pint  # half a second: only where a unit is met

    return pint.UnitRegistry()


@lru_cache(4096)
def named(name: str) -> Unit | None:
    """The unit of that name, with its prefix and plural; None where the lists have none."""
    if name.lower() in OTHERS:
        return OTHERS[name.lower()]
    spelt = SPELT.get(name, name)
    is_word = len(name) > 2 and name not in SPELT and name.lower() in FUNCTION_WORDS - {"rad", "radian", "radians"}
    if not spelt or spelt in NO_UNITS or is_word:
        return None
    if len(spelt) > 3 and spelt[1:].islower():
        spelt = spelt.lower()
    registry = _registry()
    if any(prefix in UNUSUAL for prefix, _, _ in registry.parse_unit_name(spelt)):
        return None
    try:
        scale, base = registry.get_base_units(spelt)
    except Exception:  # unknown names raise several kinds of it
        return None
    dimensions = tuple(sorted((str(unit), float(power)) for unit, power in base._units.items()))
    return Unit(float(scale), dimensions) if dimensions else None


def noun(words: list[str]) -> Unit | None:
    """What is counted, in content words alone: apples, red marbles, ways, of the cake."""
    if words[:1] == ["of"]:
        words = words[1 + (words[1:2] in (["the"], ["a"], ["an"], ["all"])) :]
    while len(words) > 1 and words[0].lower() in ADJECTIVES:
        words = words[1:]
    lower = [word.lower() for word in words]
    fit = all(
        WORD.fullmatch(word) and (word in COUNTABLE or not {word, word.removesuffix("s")} & FUNCTION_WORDS)
        for word in lower
    )
    return COUNTED if fit and 0 < len(words) <= 4 else None


def times(a: Unit, b: Unit, power: float) -> Unit:
    """a times a power of b."""
    scale = a.scale * b.scale**power
    if a.dimensions is None or b.dimensions is None:
        return Unit(scale, None)
    powers = dict(a.dimensions)
    for base, exponent in b.dimensions:
        powers[base] = powers.get(base, 0.0) + power * exponent
    return Unit(scale, tuple(sorted((base, total) for base, total in powers.items() if total)))


@dataclass
class UnitReader:
    """Reads a unit from tokens: factors with powers, products, quotients, fractions, "square", "per"."""

    tokens: list[Token]
    letters_are_units: bool
    at: int = 0

    def read(self) -> Unit | None:
        """The unit that all tokens are; None where they are none."""
        for at, token in enumerate(self.tokens):
            if token.text == "second" and self.tokens[at - 1].text in ("per", "/"):  # else it is an ordinal
                self.tokens[at] = replace(token, text="sec")
        words = [token.text for token in self.tokens]
        if all(token.kind in ("word", "letters") for token in self.tokens):
            if any(word not in SHAPES and word != "per" and not named(word) for word in words):
                return noun(words)
            if "units" in words or "unit" in words:
                return COUNTED
        unit = self.product()
        return unit if self.at == len(self.tokens) else None

    def peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def take(self, *texts: str) -> str:
        if (text := self.peek()) and text in texts:
            self.at += 1
            return text
        return ""

    def product(self) -> Unit | None:
        product: Unit | None = None
        sign = 1.0
        while self.peek() not in ("", "}", ")"):
            if joint := self.take("*", "/", "per", ".", "-"):
                sign = -1.0 if joint in ("/", "per") else sign
                continue
            factor = self.factor()
            if factor is None:
                return None
            product, sign = times(product or Unit(1.0, ()), factor, sign), 1.0
        return product if sign > 0 else None

    def factor(self) -> Unit | None:
        shape = SHAPES.get(self.peek(), 1)
        if shape > 1:
            self.at += 1
            self.take(".")
        unit = self.base()
        return None if unit is None else times(Unit(1.0, ()), unit, shape * self.power())

    def base(self) -> Unit | None:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None:
            return None
        if token.text in ("{", "("):
            return self.group()
        self.at += 1
        if token.text == "frac":
            top, bottom = self.group(), self.group()
            return times(top, bottom, -1.0) if top and bottom else None
        if token.text == "mu" and self.at < len(self.tokens) and self.tokens[self.at].kind == "word":
            self.at += 1
            return named(f"u{self.tokens[self.at - 1].text}")
        if token.text in ("Omega", "AA"):
            return named({"Omega": "ohm", "AA": "angstrom"}[token.text])
        if token.text == "circ" and self.take("C", "F"):
            return TEMPERATURE
        is_letter = token.kind == "letters" and len(token.text) == 1
        if token.kind not in ("word", "letters") or (
            is_letter and not (self.letters_are_units and token.text in LETTERS)
        ):
            return None
        return named(token.text) or noun([token.text])

    def group(self) -> Unit | None:
        if not self.take("{", "("):
            return self.factor()
        unit = self.product()
        return unit if self.take("}", ")") else None

    def power(self) -> float:
        if word := self.take("squared", "cubed"):
            return float(SHAPES[word])
        if not self.take("^"):
            return 1.0
        braced = bool(self.take("{"))
        sign = -1.0 if self.take("-", "+") == "-" else 1.0
        digits = self.peek()
        if not digits.isdigit():
            return 1.0
        self.at += 1
        if braced:
            self.take("}")
        return sign * float(digits)
