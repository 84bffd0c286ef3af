"""Letters, names and functions with their arguments."""

from em.evaluation.maths import words
from em.evaluation.maths.atoms import Atoms
from em.evaluation.maths.evaluate import FUNCTIONS
from em.evaluation.maths.tokens import Token, UnreadableError
from em.evaluation.maths.values import INFINITY, MINUS_ONE, Apply, Number, Symbol, Value, power, product, quotient

CONSTANTS = frozenset(["pi", "e", "i"])


class Names(Atoms):
    def name(self) -> Value:
        """A run of letters: a number word, a function, one name, or a product of letters."""
        token = self.token()
        assert token is not None
        text = token.text
        if text.lower() in words.NUMBERS and (token.kind == "word" or len(text) > 2):
            self.at += 1
            return Number(words.NUMBERS[text.lower()])
        if text in FUNCTIONS:
            self.at += 1
            return Apply("sqrt", (self.atom(),)) if text == "sqrt" else self.function(text)
        if text in ("inf", "infty", "infinity", "oo"):
            self.at += 1
            return INFINITY
        if text in words.JOINING or (
            token.kind == "word" and len(text) > 1 and text.lower() in words.FUNCTION_WORDS - {"pi"}
        ):
            raise UnreadableError(f"{text!r}")
        if text == "pi" or token.kind == "word" or len(text) == 1:
            self.at += 1
            return self.named(text)
        head, last = text[:-1], text[-1]  # what follows belongs to the last
        self.tokens[self.at : self.at + 1] = [Token("letters", head, token.spaced), Token("letters", last)]
        self.at += 1
        letters: list[Value] = [Apply(letter, ()) if letter in CONSTANTS else Symbol(letter) for letter in head]
        return product([*letters, self.factor()])

    def named(self, name: str) -> Value:
        """A symbol with its subscript and primes, or the value of the function of that name."""
        bare = name
        while True:
            if self.take("_"):
                name += f"_{self.raw_argument()}"
            elif self.take("'"):
                name += "'"
            elif self.peek() == "^" and (self.peek(1) == "'" or (self.peek(1) == "{" and self.peek(2) == "'")):
                self.at += 1
                name += self.raw_argument()
            else:
                break
        if name == bare and name in CONSTANTS:
            return Apply(name, ())
        if self.peek() not in ("(", "[") or name in self.multiplied:
            return Symbol(name)
        begun, opening = self.at, self.take("(", "[")
        arguments = self.attempt(self.arguments)
        if arguments is not None:
            return Apply(f"{name}()", arguments)
        if opening == "(":
            raise UnreadableError(f"the arguments of {name}")
        self.at = begun
        return Symbol(name)

    def arguments(self) -> tuple[Value, ...]:
        """What stands in the bracket of a function, which is open."""
        bars, self.bars = self.bars, 0
        items = [self.side()]
        while self.take(",", ";"):
            items.append(self.side())
        self.expect(")", "]")
        self.bars = bars
        return tuple(items)

    def function(self, name: str) -> Value:
        r"""\sin^2 x, \log_2 8, \sin^{-1}(x), \exp{x}, max(1, 2)."""
        base: Value | None = None
        exponent: Value | None = None
        for _ in range(2):  # in either order
            if self.peek() == "_" and name in ("log", "min", "max"):
                self.at += 1
                base = self.argument()
            elif self.peek() == "^":
                self.at += 1
                exponent = self.exponent()
        if name in ("min", "max") and base is not None:
            return Symbol(name)
        arguments = self.function_arguments()
        if len(arguments) not in FUNCTIONS[name].arities:
            raise UnreadableError(f"{len(arguments)} arguments of {name}")
        if exponent == MINUS_ONE and f"arc{name}" in FUNCTIONS:
            return Apply(f"arc{name}", arguments)
        value: Value = Apply(name, arguments)
        if name == "log" and base is not None:
            value = quotient(Apply("ln", arguments), Apply("ln", (base,)))
        return power(value, exponent) if exponent is not None else value

    def function_arguments(self) -> tuple[Value, ...]:
        r"""In brackets; else all factors up to a sign or the next function: \sin 2t \cos t."""
        if self.take("(", "["):
            return self.arguments()
        if self.peek() == "{":
            return (self.braced(),)
        factors = [self.factor()]
        while self.peek() not in (*FUNCTIONS, "(", "[", "*", "|") and self.begins_factor(factors[-1]):
            factors.append(self.factor())
        return (product(factors),)
