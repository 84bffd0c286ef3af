"""Sums, terms and factors; and where a term ends because a unit follows."""

from fractions import Fraction

from em.evaluation.maths import matrices, words
from em.evaluation.maths.atoms import COMMANDS, DECORATIONS, GREEK
from em.evaluation.maths.cursor import CLOSING
from em.evaluation.maths.evaluate import FUNCTIONS
from em.evaluation.maths.names import CONSTANTS, Names
from em.evaluation.maths.tokens import listed
from em.evaluation.maths.units import UnitReader
from em.evaluation.maths.values import Apply, Matrix, Number, Unit, Value, negative, power, quotient, symbols

RELATIONS = {  # by token: how a side is related to the next
    **{"=": "=", "equiv": "=", "mapsto": "->", "to": ":", "approx": "~", "<": "<", ">": ">", "leq": "<=", "geq": ">="},
    **{"neq": "!=", "in": "in", "notin": "!in", "Rightarrow": "=", "implies": "=", "Leftrightarrow": "=", "iff": "="},
}
SEPARATORS = listed(r", ; and or lor land & \\")
ENDS_OF_UNIT = frozenset([*RELATIONS, *SEPARATORS, ")", "]", r"\}", "}", ":"])
UNIT_COMMANDS = listed("frac mu Omega AA circ")  # that may begin a unit
BEFORE_NUMBER = listed("^ ! sqrt root i pi")  # 2^6 3^5 and i 2\pi, but not 2 3 and not x 2
ORDINALS = listed("th st nd rd")


class Terms(Names):
    def sum(self) -> Value:
        terms = [self.signed_term()]
        while self.peek() in ("+", "-", "pm", "mp"):
            terms.append(self.signed_term())
        if any(isinstance(term, Matrix) for term in terms):
            return matrices.total(terms)
        return terms[0] if len(terms) == 1 else Apply("+", tuple(terms))

    def signed_term(self) -> Value:
        sign = self.take("+", "-", "pm", "mp")
        while sign in ("+", "-") and (following := self.take("+", "-")):
            sign = "-" if sign != following else "+"
        number = self.signs
        self.signs += sign == "pm" or (sign == "mp" and not self.signs)
        term = self.term()
        if sign == "-":
            return matrices.negative(term) if isinstance(term, Matrix) else negative(term)
        if sign in ("pm", "mp"):
            return Apply(f"pm {number}" if sign == "pm" else "mp 0", (term,))
        return term

    def term(self) -> Value:
        result = self.factor()
        while token := self.token():
            if token.text == "*" and not self.unit_follows(1, result):
                self.at += 1
                result = matrices.product(result, self.signed_factor())
            elif token.text == "/" and not self.unit_follows(1, result):
                self.at += 1
                divisor = self.signed_factor()
                is_matrix = isinstance(result, Matrix)
                inverse = quotient(Number(Fraction(1)), divisor)
                result = matrices.product(result, inverse) if is_matrix else quotient(result, divisor)
            elif token.kind in ("word", "letters") and token.text.lower() in words.SCALES:
                self.at += 1
                result = matrices.product(result, Number(words.SCALES[token.text.lower()]))
            elif self.begins_factor(result):
                result = matrices.product(result, self.factor())
            else:
                break
        return result

    def signed_factor(self) -> Value:
        sign = self.take("+", "-")
        factor = self.factor()
        return negative(factor) if sign == "-" else factor

    def begins_factor(self, before: Value) -> bool:
        token = self.token()
        if token is None or token.text in words.JOINING:
            return False
        if token.kind == "number":
            after_bracket = self.tokens[self.at - 1].text in (")", "}")
            return after_bracket or (isinstance(before, Apply) and before.function in BEFORE_NUMBER)
        if token.kind in ("word", "letters"):
            return not self.unit_follows(0, before)
        if token.kind == "command":
            known = (
                token.text in FUNCTIONS or token.text in COMMANDS or token.text in GREEK or token.text in DECORATIONS
            )
            known = known or token.text in CLOSING or token.text.startswith("begin ")
            return known and not self.unit_follows(0, before)
        if token.text == "|":
            return not self.bars and any(later.text == "|" for later in self.tokens[self.at + 1 :])
        if token.text in ("(", "{") and (self.peek(1) == "mod" or self.end_of_qualifier()):
            return False
        return token.text in ("(", "[") or (token.text == "{" and not self.unit_follows(0, before))

    def end_of_qualifier(self) -> int:
        r"""Where a (k \in \mathbb{Z}) or (approx.) that is next ends; 0 where there is none."""
        depth = 0
        for position in range(self.at, len(self.tokens)):
            text = self.tokens[position].text
            depth += (text in ("(", "[")) - (text in (")", "]"))
            if depth == 0:
                return position + 1 if words.is_qualifier(self.tokens[self.at + 1 : position]) else 0
        return 0

    # Units

    def unit_follows(self, ahead: int, before: Value) -> bool:
        """Whether what stands there begins a unit, which no factor of the value is."""
        token = self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None
        if token is None or token.text in CONSTANTS or (token.text != "{" and token.kind in ("number", "mark")):
            return False
        if token.kind == "command" and token.text not in UNIT_COMMANDS:
            return False
        if token.kind == "letters" and len(token.text) == 1 and not (self.letters_are_units and token.spaced):
            return False
        following = self.tokens[self.at + ahead + 1 :][:1]
        is_time = token.text in ("min", "sec") and not any(
            each.kind == "letters" or each.text in ("(", "{", "[") for each in following
        )
        if token.text in FUNCTIONS and not is_time:
            return False
        at, self.at = self.at, self.at + ahead
        unit = self.unit(before)
        self.at = at
        return unit is not None

    def unit(self, before: Value) -> Unit | None:
        """The unit that the rest of a side is; letters in italics, and nouns, stand after numbers alone."""
        token = self.token()
        if token is None or (token.kind == "letters" and symbols(before)):
            return None
        end, depth = self.at, 0
        while end < len(self.tokens):
            text = self.tokens[end].text
            if depth == 0 and (text in ENDS_OF_UNIT or (text == "(" and words.is_qualifier(self.tokens[end + 1 : -1]))):
                break
            depth += (text in ("{", "(")) - (text in ("}", ")"))
            end += 1
        unit = UnitReader(self.tokens[self.at : end], self.letters_are_units).read() if end > self.at else None
        if unit is None or (unit.dimensions is None and symbols(before)):
            return None
        self.at = end
        return unit

    # Factors

    def factor(self) -> Value:
        value = self.atom()
        while text := self.peek():
            if text == "^":
                self.at += 1
                if not self.ordinal():
                    value = power(value, self.exponent())
            elif text in ("circ", "degree", "degrees") and self.peek(1) not in ("C", "F", "Celsius", "Fahrenheit"):
                self.at += 1
                value = Apply("degree", (value,))
            elif self.take("%", "percent", "percentage", "pct"):
                value = Apply("percent", (value,))
            elif text == "!" and self.peek(1) != "!":
                self.at += 1
                value = Apply("!", (value,))
            elif isinstance(value, Number) and text == "ldots" and self.at + 1 == len(self.tokens):
                self.at += 1
                value = Number(value.value, decimal=True)
            elif not isinstance(value, Number) or not self.take(*ORDINALS):
                break
        return value

    def ordinal(self) -> bool:
        r"""Passes over the th of 7^{th}."""
        braced = self.peek() == "{"
        if self.peek(braced) not in ORDINALS or (braced and self.peek(2) != "}"):
            return False
        self.at += 3 if braced else 1
        return True

    def exponent(self) -> Value:
        if self.peek() == "{":
            return self.braced()
        sign = self.take("-", "+")
        value = self.atom()
        if self.take("^"):
            value = power(value, self.exponent())
        return negative(value) if sign == "-" else value
