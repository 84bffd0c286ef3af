"""What runs in the answer's interpreter: it loads the program and does what the judge asks of it.

It holds no test and no secret, and what it says is data to the judge and no more: a program that takes it over can
return other values, as it can without.  Only where a script has to run beside the program (em.evaluation.sandbox.script
says which) is it handed the script, and a nonce to return when that has passed.

It imports only what a bare interpreter has built in: each import would be paid once for every answer.
"""

import _operator
import posix
import resource
import sys

from em.evaluation.sandbox.wire import FRAME_BYTES, WireError, decode, encode, sized

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than the rest of this interpreter
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

CHANNEL = 1  # the descriptor that leads to the judge
NONCE_BYTES = 32
ARGUMENTS = 20  # of an exception, at most
PLAIN: "tuple[type[Any], ...]" = (int, float, complex, bytes, dict, list, tuple, set, frozenset)
OPERATIONS: "dict[str, Callable[..., Any]]" = {
    "call": lambda target, *positional, **named: target(*positional, **named),
    "get": getattr,
    "set": setattr,
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "repr": repr,
    "equal": _operator.eq,
    "item": _operator.getitem,
    "put": _operator.setitem,
}


class Inmate:
    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.objects: list[Any] = []  # those that stay here, by the number that the judge knows them by
        self.numbers: dict[int, int] = {}  # by id()
        self.special = False  # whether what came last held more than plain data

    def serve(self, program: str, names: "Sequence[str]") -> None:
        """Load the program, then answer until the judge hangs up."""
        answer = self.attempt(lambda: self.load(program, names))
        while True:
            self.send(answer)
            request = self.receive()
            if request is None:
                return
            answer = self.attempt(lambda request=request: self.answer(request))

    def load(self, program: str, names: "Sequence[str]") -> bytes:
        namespace = load(program)
        return self.encoded([True, {name: namespace[name] for name in names if name in namespace}, None])

    def answer(self, request: bytes) -> bytes:
        """The result, and the arguments where a call has changed them."""
        self.special = False
        operation, target, arguments, named = decode(request, self.arrive)
        before = None if self.special else self.encoded([arguments, named])
        result = OPERATIONS[operation](target, *arguments, **named)
        changed = before is not None and self.encoded([arguments, named]) != before
        return self.encoded([True, result, [arguments, named] if changed else None])

    def attempt(self, work: "Callable[[], bytes]") -> bytes:
        try:
            return work()
        except BaseException as error:
            names = [kind.__name__ for kind in type(error).__mro__][:ARGUMENTS]
            plain = []
            for argument in error.args[:ARGUMENTS]:
                try:
                    plain.append(decode(self.encoded(argument), lambda *_: None))
                except BaseException:
                    plain.append(None)
            return self.encoded([False, names, plain])

    def encoded(self, value: "Any") -> bytes:
        return encode(value, self.leave)

    def leave(self, value: "Any") -> bytes:
        """A subclass of a plain type as that type, a number as such, and of the rest a number that stands for it."""
        if isinstance(value, str):
            return self.encoded(str.__str__(value))
        for kind in PLAIN:
            if isinstance(value, kind):
                return self.encoded(kind(value))
        kind = type(value)
        where = kind.__module__, kind.__qualname__
        if where == ("decimal", "Decimal"):
            return sized(b"D", str(value).encode())
        if where == ("fractions", "Fraction"):
            return sized(b"Q", f"{value.numerator:x}/{value.denominator:x}".encode())
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.generic) and type(value.item()) in (bool, int, float, complex):
            return self.encoded(value.item())
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return sized(b"O", str(self.numbers[id(value)]).encode())

    def arrive(self, tag: bytes, body: bytes) -> "Any":
        """What the judge sends beside plain data."""
        if tag == b"O":
            return self.objects[int(body)]
        self.special = True
        import pickle  # seldom needed

        return pickle.loads(body)

    def send(self, message: bytes) -> None:
        out = memoryview(len(message).to_bytes(4, "big") + message)
        while out:
            out = out[posix.write(self.channel, out) :]

    def receive(self) -> bytes | None:
        head = self.read(4)
        return None if head is None else self.read(int.from_bytes(head, "big"))

    def read(self, count: int) -> bytes | None:
        parts = []
        while count:
            part = posix.read(self.channel, min(count, FRAME_BYTES))
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def load(program: str) -> "dict[str, object]":
    module = type(sys)("program")  # not __main__: an answer's demonstration is no part of what is tested
    sys.modules[module.__name__] = module
    exec(compile(program, "<program>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def outcome(program: str, tests: str) -> bytes:
    """How the tests end beside the program."""
    execute = exec  # as a local: the program may put something else into builtins
    try:
        compiled_tests = compile(tests, "<tests>", "exec", dont_inherit=True)
        execute(compiled_tests, load(program))
    except AssertionError:
        return b"assertion"
    except BaseException as error:
        return b"exception " + type(error).__name__.encode(errors="replace")[:100]
    return b"passed"


def confine(packages: "Sequence[str]", uid: int | None, limits: "Mapping[int, tuple[int, int]]") -> None:
    """Limits of resources, soft and hard, and a user of its own."""
    for kind, (soft, hard) in limits.items():
        given = resource.getrlimit(kind)[1]
        most = hard if given == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(kind, (min(soft, most), most))
    if uid is not None:
        posix.setgroups([])
        posix.setgid(uid)
        posix.setuid(uid)
    sys.path.extend(packages)


def main(
    program: str,
    names: "Sequence[str]",
    tests: str | None,
    packages: "Sequence[str]",
    uid: int | None,
    limits: "Mapping[int, tuple[int, int]]",
) -> None:
    channel = posix.dup(CHANNEL)
    null = posix.open("/dev/null", posix.O_RDWR)
    for descriptor in range(3):
        posix.dup2(null, descriptor)
    posix.close(null)
    confine(packages, uid, limits)
    inmate = Inmate(channel)
    inmate.send(b"")  # what comes before it, on stderr, are complaints of bubblewrap or of the interpreter
    if tests is None:
        try:
            inmate.serve(program, names)
        except WireError:
            posix._exit(1)
    else:
        # The nonce waits on this frame's evaluation stack while the program runs, where neither frames nor gc show it.
        inmate.send((inmate.read(NONCE_BYTES) or b"") + outcome(program, tests))
    posix._exit(0)
