"""What runs the tests: an interpreter that never runs an answer.  It forks a child for each script of tests, more where
answers to one script come at a time, and a child judges one answer after another.

The names that tests take from an answer are values of em.evaluation.sandbox.link here.  A child says how the tests
ended on a pipe of the answer's own, to which the answer has no way.
"""

import ast
import gc
import importlib
import marshal
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from types import CodeType
from typing import Any

from em.evaluation.sandbox.inmate import NONCE_BYTES, confine
from em.evaluation.sandbox.link import PLAIN_METHODS, CannotCrossError, GoneError, Link

LONGEST_SECONDS = 300.0  # of a child: more than an answer has
CONTROL = 1  # the descriptor that leads to the grading process
# Of an answer: the request, the channel to its interpreter, the pipe for the verdict; then where a child hears of more.
DESCRIPTORS = 4
SCRIPTS = 64  # compiled ones that are kept: samples of one problem come together
SETTLE = "<settle>"  # no identifier, so no name of the tests
PLACE = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
WORDS = re.compile(rb"passed|assertion|exception \w*")  # of tests that ran beside the program
READY = b"ready\n"


class Settling(ast.NodeTransformer):
    """Has the script call SETTLE after each statement, and before the first of a block."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr):
            return node  # no statement in there
        self.generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                setattr(node, name, self.settled(block, () if isinstance(node, ast.Module) else (settle(),)))
        return node

    def settled(self, block: Sequence[ast.stmt], before: Sequence[ast.stmt]) -> list[ast.stmt]:
        out = list(before)
        futures = [
            at for at, each in enumerate(block) if isinstance(each, ast.ImportFrom) and each.module == "__future__"
        ]
        for at, statement in enumerate(block):
            out.append(statement)
            if at > max(futures, default=-1):  # nothing may stand before these
                out.append(settle())
        return out


def settle() -> ast.stmt:
    return ast.Expr(ast.Call(ast.Name(SETTLE, ast.Load(), **PLACE), [], [], **PLACE), **PLACE)


@lru_cache(maxsize=SCRIPTS)
def compiled(script: str) -> CodeType:
    tree = ast.parse(script)
    Settling().visit(tree)
    return compile(tree, "<tests>", "exec", dont_inherit=True)


def prepare(script: str) -> None:
    """What each child would do otherwise.  NumPy makes a fork twice as dear, so it waits until a script needs it."""
    compiled(script)
    if "numpy" in script and "numpy" not in sys.modules:
        numpy: Any = importlib.import_module("numpy")
        for name in ("allclose", "isclose"):
            setattr(numpy, name, partial(close, numpy, getattr(numpy, name)))


def close(numpy: Any, original: Any, a: Any, b: Any, *others: Any, **named: Any) -> Any:
    """Without broadcasting: to NumPy no numbers at all are close to any, so [] would pass wherever EvalPlus compares
    floats.  What an object of the answer holds is asked once, so that it cannot show a shape and hold another."""
    a, b = numpy.asarray(a), numpy.asarray(b)
    return original(a, b, *others, **named) if a.shape == b.shape else numpy.False_


def run_tests(link: Link, code: CodeType, names: Sequence[str], modules: Sequence[str]) -> None:
    """Raises what a test raises, or the loading of the program."""
    loaded, _ = link.reply()
    if type(loaded) is not dict:
        link.fail("it names nothing")
    namespace = {name: importlib.import_module(name) for name in modules}
    namespace |= {name: loaded[name] for name in names if name in loaded}
    exec(code, namespace | {"__name__": "tests", SETTLE: link.settle})


def run_beside(link: Link) -> bytes:
    """What the answer's interpreter says of tests that it runs itself."""
    nonce = os.urandom(NONCE_BYTES // 2).hex().encode()
    link.write(nonce)
    said = link.receive()
    if not said.startswith(nonce) or not WORDS.fullmatch(said[NONCE_BYTES:]):
        link.fail("it wrote to the runner's report")
    return said[NONCE_BYTES:]


def judged(link: Link, verdict: int, request: tuple[Any, ...]) -> bytes:
    """One line: how the tests ended."""
    code, names, modules, objects, beside = request
    if objects:
        link.hidden = frozenset()
    word = b""
    try:
        link.receive()  # it is about to load the program
        os.write(verdict, READY)
        if beside:
            return run_beside(link)
        run_tests(link, code, names, modules)
        word = b"passed"
    except GoneError:
        pass
    except CannotCrossError as error:
        return b"error " + str(error).encode(errors="replace")
    except AssertionError:
        word = b"assertion"
    except BaseException as error:
        word = b"exception " + type(error).__name__.encode(errors="replace")
    return b"gone " + link.broken.encode(errors="replace") if link.broken else word


def sit(request: int, channel: int, verdict: int) -> bytes:
    """Of a child: judge one answer.  One line, for the verdict."""
    script, *rest, cpu_seconds = marshal.loads(content(request))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # either ends this process
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)  # where nobody listens any more
    try:
        prepare(script)
        code = compiled(script)
    except Exception as error:
        word = b"error the tests do not start: " + type(error).__name__.encode()
    else:
        link = Link(channel, PLAIN_METHODS)
        word = judged(link, verdict, (code, *rest))
        link.end()
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
        signal.setitimer(timer, 0)
    return word.replace(b"\n", b" ") + b"\n"


def content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def serve(descriptors: Sequence[int]) -> None:
    """Of a child: judge an answer, and those that it hears of until the grading process hangs up."""
    *answer, control = descriptors
    with socket.socket(fileno=control) as more:
        while answer:
            word = sit(*answer)
            os.write(answer[2], word)
            for descriptor in answer:
                os.close(descriptor)
            _, answer, _, _ = socket.recv_fds(more, 1, DESCRIPTORS - 1)


def main(
    packages: Sequence[str],
    uid: int | None,
    limits: Mapping[int, tuple[int, int]],
) -> None:
    with socket.socket(fileno=os.dup(CONTROL)) as control:
        confine(packages, uid, limits)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        gc.disable()  # a collection in a child copies what it shares
        control.send(READY)
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1, DESCRIPTORS)
            if not message:
                return
            with suppress(Exception):  # the child meets it again, and says so
                prepare(marshal.loads(content(descriptors[0]))[0])
            gc.freeze()
            try:
                is_child = os.fork() == 0
            except OSError as error:
                os.write(descriptors[2], f"error the judge cannot fork: {error.strerror}\n".encode())
                is_child = False
            if is_child:
                control.close()
                gc.enable()
                try:
                    serve(descriptors)
                finally:
                    os._exit(0)
            for descriptor in descriptors:
                os.close(descriptor)
