"""The judge's end of the channel to an answer's interpreter.

What the answer returns is plain data, rebuilt as exactly that (em.evaluation.sandbox.wire), or a Handle, which stands
for what stays with the answer.  A handle can be called, its attributes and items read and set, and it can be iterated;
each of these is a question to the answer's interpreter, whose reply is such a value again.  No comparison with a value
of the tests and no arithmetic is left to the answer: a handle equals itself, and another one if the answer says so.
"""

import builtins
import decimal
import fractions
import os
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from em.evaluation.sandbox.wire import FRAME_BYTES, WireError, decode, encode, sized

DIGITS = 10_000  # of a decimal number or a fraction
NAME_LETTERS = 100
# Of what tests take for plain data they may ask `text.startswith(...)`, and no handle is to say yes.
PLAIN_METHODS = frozenset().union(*map(dir, (str, bytes, int, float, complex, list, tuple, set, dict))) | {"equals"}


class GoneError(BaseException):
    """The answer's interpreter has ended, or says what makes no sense: nothing more is tested."""


class CannotCrossError(BaseException):
    """The tests hand the answer what only they can hold."""


class Link:
    """The judge's end of the channel to one answer's interpreter."""

    def __init__(self, channel: int, hidden: frozenset[str] = PLAIN_METHODS) -> None:
        self.channel, self.hidden = channel, hidden  # attributes that no handle has
        self.broken = ""  # why, for good: tests that catch everything pass nothing
        self.handles: dict[int, Handle] = {}
        self.changes: list[tuple[Any, Any]] = []  # arguments, and what calls made of them

    def ask(self, operation: str, target: Any, arguments: Sequence[Any] = (), named: Mapping[str, Any] | None = None):
        """What an operation gives there; raises what it raised there."""
        given = [list(arguments), dict(named or {})]
        message = encode([operation, target, *given], self.hand_over)
        self.write(len(message).to_bytes(4, "big") + message)
        try:
            value, changed = self.reply()
        except StopIteration as error:
            if operation == "next":
                raise
            raise RuntimeError("StopIteration") from error  # it would end an iteration of the tests
        if changed is not None:
            self.changes.append((given, changed))
        return value

    def reply(self) -> tuple[Any, Any]:
        """Raises the exception of the answer, if it is one, as the builtin one that comes next to it."""
        good, value, more = self.decoded(self.receive())
        if good is True:
            return value, more
        raise exception(value, more)

    def decoded(self, message: bytes) -> list[Any]:
        try:
            parts = decode(message, self.take_in)
        except (WireError, MemoryError, RecursionError) as error:
            self.fail(f"its reply is no data: {error}")
        if type(parts) is not list or len(parts) != 3:
            self.fail("its reply is none")
        return parts

    def take_in(self, tag: bytes, body: bytes) -> Any:
        if len(body) > DIGITS:
            raise WireError("too many digits")
        text = body.decode("ascii")
        if tag == b"O" and text.isdecimal():
            number = int(text)
            return self.handles.setdefault(number, Handle(self, number))
        if tag == b"D":
            return decimal.Decimal(text)
        if tag == b"Q":
            numerator, denominator = (int(part, 16) for part in text.split("/"))
            return fractions.Fraction(numerator, denominator or 1)
        raise WireError("of an unknown kind")

    def hand_over(self, value: Any) -> bytes:
        if type(value) is Handle:
            return sized(b"O", str(value._number).encode())
        try:
            return sized(b"P", pickle.dumps(value))
        except Exception:
            raise CannotCrossError(f"the tests hand over a {type(value).__name__}") from None

    def settle(self) -> None:
        """Show the tests what calls have made of their arguments: at the end of a statement, so that an assertion's
        other side is computed from what the answer was given."""
        changes, self.changes = self.changes, []
        for given, changed in changes:
            merge(given, changed)

    def end(self) -> None:
        """Nothing of this answer reaches the next: handles that something still holds lead nowhere, and what it sent
        goes, though handles and link hold each other."""
        self.broken, self.channel = self.broken or "gone", -1
        self.handles.clear()
        self.changes.clear()

    def write(self, message: bytes) -> None:
        out = memoryview(message)
        while out:
            try:
                out = out[os.write(self.channel, out) :]
            except OSError:
                self.fail("")

    def receive(self) -> bytes:
        length = int.from_bytes(self.read(4), "big")
        if length > FRAME_BYTES:
            self.fail("its reply is too long")
        return self.read(length)

    def read(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = b"" if self.broken else os.read(self.channel, count)
            except OSError:
                part = b""
            if not part:
                self.fail("")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def fail(self, why: str) -> NoReturn:
        self.broken = self.broken or why or "gone"
        raise GoneError


class Handle:
    """Stands for an object of the answer."""

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("_") or name in self._link.hidden
        ):  # numpy would read memory at an address that it finds in such a one
            raise AttributeError(name)
        return self._link.ask("get", self, [name])

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self, [name, value])

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._link.ask("call", self, arguments, named)

    def __iter__(self) -> Any:
        return self._link.ask("iter", self)

    def __next__(self) -> Any:
        return self._link.ask("next", self)

    def __len__(self) -> int:
        return self._link.ask("len", self)

    def __bool__(self) -> bool:
        return self._link.ask("bool", self)

    def __str__(self) -> str:
        return self._link.ask("str", self)

    def __repr__(self) -> str:
        return self._link.ask("repr", self)

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self, [key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._link.ask("put", self, [key, value])

    def __contains__(self, value: Any) -> bool:
        return any(item is value or item == value for item in self)

    def __eq__(self, other: object) -> bool:
        if self is other or type(other) is not Handle:
            return self is other
        return self._link.ask("equal", self, [other]) is True

    __hash__ = object.__hash__


def exception(names: Any, arguments: Any) -> BaseException:
    """A builtin exception, or one of the answer's name that derives from the nearest builtin one."""
    names = [name for name in names if type(name) is str] if type(names) is list else []
    arguments = arguments if type(arguments) is list else []
    known = (getattr(builtins, name, None) for name in names)
    base = next((kind for kind in known if isinstance(kind, type) and issubclass(kind, BaseException)), RuntimeError)
    name = "".join(letter for letter in (names or [""])[0] if letter.isalnum() or letter == "_")[:NAME_LETTERS]
    kind = base if name == base.__name__ else type(name or "unnamed", (base,), {})
    try:
        return kind(*arguments)
    except Exception:
        return RuntimeError(name)


def merge(old: Any, new: Any) -> Any:
    """`new`, in the place of `old` as far as both are the same kind of container."""
    if type(old) is not type(new):
        return new
    if type(old) is list:
        old[:] = [merge(a, b) for a, b in zip(old, new, strict=False)] + new[len(old) :]
    elif type(old) is dict:
        items = {key: merge(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(items)
    elif type(old) is set:
        old.clear()
        old.update(new)
    elif type(old) is tuple and len(old) == len(new):
        return tuple(map(merge, old, new))
    else:
        return new
    return old
