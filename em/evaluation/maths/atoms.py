"""Atoms of an expression: numbers, brackets, fractions, roots, sums, matrices."""

from fractions import Fraction

from em.evaluation.maths.cursor import CLOSERS, CLOSING, MOST_ATOMS, Cursor
from em.evaluation.maths.evaluate import FUNCTIONS
from em.evaluation.maths.tokens import Token, UnreadableError, listed
from em.evaluation.maths.values import (
    DOTS,
    EMPTY,
    INFINITY,
    Apply,
    Based,
    Matrix,
    Number,
    Relation,
    Sequence,
    Symbol,
    Value,
    quotient,
)

LONGEST_NUMBER, LARGEST_EXPONENT = 2000, 5000  # digits; of a power of ten
GREEK = listed(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell partial nabla odot oplus mho aleph "
    "Re Im wp"
)
DECORATIONS = listed("vec hat bar dot ddot tilde check")
ENVIRONMENTS = listed("matrix pmatrix bmatrix Bmatrix smallmatrix array")
COMMANDS = listed("frac sqrt surd binom pi infty sum prod angle mathbb")  # that begin an atom, beside these


class Atoms(Cursor):
    def atom(self) -> Value:
        token = self.token()
        self.atoms += 1
        if token is None or self.atoms > MOST_ATOMS:
            raise UnreadableError("an end where a value should be" if token is None else "too many parts")
        if token.kind == "number":
            return self.number()
        if token.kind in ("letters", "word"):
            return self.name()
        self.at += 1
        text = token.text
        if text in ("(", "[", r"\{", "langle", "]"):
            return self.bracketed(text)
        if text == "{":
            self.at -= 1
            return self.braced()
        if text == "|":
            self.bars += 1
            inside = self.sum()
            self.expect("|")
            self.bars -= 1
            if isinstance(inside, Matrix):
                raise UnreadableError("a determinant")
            return Apply("abs", (inside,))
        if text in ("lfloor", "lceil"):
            inside = self.sum()
            self.expect(CLOSING[text])
            return Apply("floor" if text == "lfloor" else "ceil", (inside,))
        if text == "frac":
            return self.fraction()
        if text == "sqrt":
            return self.root()
        if text == "surd":
            following = self.token()
            return Apply("sqrt", (self.argument() if following and following.kind == "letters" else self.atom(),))
        if text == "binom":
            return Apply("binom", (self.argument(), self.argument()))
        if text in ("sum", "prod"):
            return self.repeated(text)
        if text.startswith("begin "):
            return self.matrix(text.removeprefix("begin "))
        if text in DECORATIONS:
            return self.named(f"{text} {self.raw_argument()}")
        if text in ("angle", "triangle"):
            return Symbol(f"{text} {self.raw_run()}")
        if text == "mathbb":
            return Symbol(self.raw_argument())
        if text == "infty":
            return INFINITY
        if text == "emptyset":
            return EMPTY
        if text == "ldots":
            return DOTS
        if text == "pi":
            return self.named("pi")
        if text in FUNCTIONS:
            return self.function(text)
        if text in GREEK:
            return self.named(text)
        raise UnreadableError(f"{text!r}")

    def braced(self) -> Value:
        """A group of LaTeX, which is not seen."""
        self.expect("{")
        value = self.listing()
        self.expect("}")
        return Sequence("{}", value.items) if isinstance(value, Sequence) and value.brackets == "" else value

    def bracketed(self, opening: str) -> Value:
        if opening == r"\{" and self.take(r"\}"):
            return EMPTY
        if opening == r"\{" and (built := self.attempt(self.set_builder)):
            return built
        bars, self.bars = self.bars, 0
        inside = self.listing()
        self.bars = bars
        items = inside.items if isinstance(inside, Sequence) and inside.brackets == "" else (inside,)
        closing = self.take(")", "]", r"\}", "rangle")
        if not closing:
            raise UnreadableError("a bracket that is not closed")
        kind = {"langle": "(", "]": "("}.get(opening, opening) + {"rangle": ")"}.get(closing, closing)
        if kind == r"\{\}":
            return Sequence("{}", items)
        if (opening == r"\{") != (closing == r"\}"):
            raise UnreadableError("brackets that do not match")
        if len(items) == 1 and kind in ("()", "[]"):
            return items[0]
        return Sequence(kind, items)

    def set_builder(self) -> Value:
        r"""{x \in R | x > 2} as its condition."""
        variable = self.sum()
        if self.take("in"):
            self.sum()
        self.expect("|", ":")
        condition = self.listing()
        self.expect(r"\}")
        if not isinstance(condition, Relation) or not isinstance(variable, Symbol):
            raise UnreadableError("a set")
        return condition

    def number(self) -> Value:
        token = self.token()
        assert token is not None
        self.at += 1
        value = _number(token.text)
        if self.peek() == "_":
            self.at += 1
            return Based(token.text, self.raw_argument())
        if not value.decimal and (mixed := self.attempt(self.proper_fraction)):
            return Number(value.value + mixed.value)
        return value

    def proper_fraction(self) -> Number:
        r"""What makes a mixed number of a whole one before it: \frac{1}{2} or, after a space, 1/2."""
        token = self.token()
        if token and token.kind == "number" and token.spaced and self.peek(1) == "/":
            top = self.plain_number()
            self.expect("/")
            value: Value = quotient(top, self.plain_number())
        elif self.take("{"):
            value = self.proper_fraction()
            self.expect("}")
            return value
        else:
            self.expect("frac")
            value = self.fraction()
        match value:
            case Apply("/", (Number(top, False), Number(bottom, False))) if 0 <= top < bottom:
                if top.denominator == bottom.denominator == 1:
                    return Number(top / bottom)
        raise UnreadableError("no proper fraction")

    def plain_number(self) -> Number:
        token = self.token()
        if token is None or token.kind != "number":
            raise UnreadableError("no number")
        self.at += 1
        return _number(token.text)

    def fraction(self) -> Value:
        if derivative := self.attempt(self.derivative):
            return derivative
        return quotient(self.argument(), self.argument())

    def derivative(self) -> Value:
        r"""\frac{dv}{dt} as one symbol."""
        top, bottom = self.raw_argument(), self.raw_argument()
        both = all(part.startswith(("d", "partial")) and not set(part) & set("+-*/.0") for part in (top, bottom))
        if not both or len(bottom) < 2:
            raise UnreadableError("no derivative")
        return Symbol(f"{top}/{bottom}")

    def argument(self) -> Value:
        r"""Of a command: a group, or one character, so that \frac12 is a half."""
        if self.peek() == "{":
            return self.braced()
        self.part_first_character()
        return self.atom()

    def part_first_character(self) -> None:
        token = self.token()
        if token and token.kind in ("number", "letters") and len(token.text) > 1:
            first, rest = Token(token.kind, token.text[0], token.spaced), Token(token.kind, token.text[1:])
            self.tokens[self.at : self.at + 1] = [first, rest]

    def root(self) -> Value:
        degree: Value | None = None
        if self.take("["):
            degree = self.sum()
            self.expect("]")
        inside = self.atom() if self.peek() == "(" else self.argument()  # \sqrt(2), as in a programming language
        return Apply("root", (inside, degree)) if degree is not None else Apply("sqrt", (inside,))

    def raw_argument(self) -> str:
        """The text of a group, or of the next token."""
        if not self.take("{"):
            if self.peek() in ("", *CLOSERS):
                raise UnreadableError("an argument that lacks")
            self.part_first_character()
            self.at += 1
            return self.tokens[self.at - 1].text
        depth, start = 1, self.at
        while self.at < len(self.tokens) and depth:
            depth += (self.peek() == "{") - (self.peek() == "}")
            self.at += 1
        if depth:
            raise UnreadableError("a brace that is not closed")
        return "".join(token.text for token in self.tokens[start : self.at - 1] if token.text not in ("{", "}"))

    def raw_run(self) -> str:
        """The letters, with subscripts, that name an angle or a triangle."""
        start = self.at
        while token := self.token():
            in_subscript = token.kind == "number" and self.at > start and self.tokens[self.at - 1].text in ("_", "{")
            if not in_subscript and token.kind not in ("letters", "word") and token.text not in ("_", "{", "}"):
                break
            self.at += 1
        return "".join(token.text for token in self.tokens[start : self.at] if token.text not in "{}")

    def repeated(self, name: str) -> Value:
        r"""\sum_{k=1}^{n} a_k, with its variable bound."""
        self.expect("_")
        self.expect("{")
        variable = self.atom()
        self.expect("=")
        low = self.sum()
        self.expect("}")
        self.expect("^")
        high = self.exponent()
        if not isinstance(variable, Symbol):
            raise UnreadableError("a sum over what is no letter")
        return Apply(name, (variable, low, high, self.term()))

    def matrix(self, environment: str) -> Value:
        if environment not in ENVIRONMENTS:
            raise UnreadableError(environment)
        rows: list[list[Value]] = [[]]
        while not self.take(f"end {environment}"):
            if self.take(r"\\"):
                rows.append([])
            elif self.take("&"):
                continue
            else:
                rows[-1].append(self.side())
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) != 1:
            raise UnreadableError("a matrix")
        return Matrix(tuple(map(tuple, rows)))


def _number(text: str) -> Number:
    if len(text) > LONGEST_NUMBER:
        raise UnreadableError("a number that is too long")
    mantissa, _, exponent = text.lower().partition("e")
    if abs(int(exponent or 0)) > LARGEST_EXPONENT:
        raise UnreadableError("an exponent that is too large")
    plain, _, period = mantissa.removesuffix(")").partition("(")
    whole, _, decimals = plain.partition(".")
    value = Fraction(int(f"0{whole}{decimals}"), 10 ** len(decimals))
    if period:
        return Number(value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(decimals)))
    return Number(value * Fraction(10) ** int(exponent or 0), decimal=bool(decimals or exponent))
