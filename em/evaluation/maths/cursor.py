"""Tokens with a place in them, and what a reader of them is made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from em.evaluation.maths.tokens import Token, UnreadableError
from em.evaluation.maths.values import Value

CLOSING = {"(": ")", "[": "]", r"\{": r"\}", "langle": "rangle", "lfloor": "rfloor", "lceil": "rceil", "{": "}"}
CLOSERS = frozenset(CLOSING.values())

MOST_ATOMS = 5000  # in an answer: attempts within attempts are not to double the work with each bracket
T = TypeVar("T")


@dataclass
class Cursor(ABC):
    """Each method that reads passes over what it reads, and raises UnreadableError where that is not next."""

    tokens: list[Token]
    multiplied: frozenset[str] = frozenset()  # letters that are no functions
    letters_are_units: bool = False
    at: int = 0
    signs: int = 0  # of \\pm, so far
    bars: int = 0  # | that are open
    atoms: int = 0  # read so far, those of failed attempts too

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def token(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, *texts: str) -> str:
        """The next token's text, passed over, where it is one of these; else the empty string."""
        if (text := self.peek()) and text in texts:
            self.at += 1
            return text
        return ""

    def expect(self, *texts: str) -> None:
        if not self.take(*texts):
            raise UnreadableError(f"{self.peek() or 'the end'!r} where {texts[0]!r} should be")

    def attempt(self, reading: Callable[[], T]) -> T | None:
        at, signs = self.at, self.signs
        try:
            return reading()
        except UnreadableError:
            if self.atoms > MOST_ATOMS:
                raise
            self.at, self.signs = at, signs
            return None

    @abstractmethod
    def listing(self) -> Value:
        """Clauses, joined by commas and words."""

    @abstractmethod
    def side(self) -> Value:
        """What stands on one side of a relation, with its unit."""

    @abstractmethod
    def sum(self) -> Value: ...

    @abstractmethod
    def term(self) -> Value: ...

    @abstractmethod
    def factor(self) -> Value:
        """An atom with what follows it: a power, !, %, a degree sign."""

    @abstractmethod
    def exponent(self) -> Value: ...

    @abstractmethod
    def begins_factor(self, before: Value) -> bool:
        """Whether the next token begins a factor beside what came before."""

    @abstractmethod
    def name(self) -> Value: ...

    @abstractmethod
    def named(self, name: str) -> Value: ...

    @abstractmethod
    def function(self, name: str) -> Value: ...
