"""Graders that misbehave, for the tests of the pool."""

import os
import signal
import threading
import time

from em.evaluation.graders import Grade


def hangs(text: str, reference: str) -> Grade:
    time.sleep(600)
    return Grade(True, text)


def dies(text: str, reference: str) -> Grade:
    os._exit(3)


def raises(text: str, reference: str) -> Grade:
    raise ZeroDivisionError("division by zero")


class TimedOut(BaseException):
    """As libraries have it: nobody is to catch it by accident."""


class TimeoutException(BaseException):
    """Of an alarm that has rung."""


class UntoldError(Exception):
    """Of a megabyte, or not to be told at all."""

    def __str__(self) -> str:
        return self.args[0] * 1_000_000


BAD = {
    "base": TimedOut("after 5 s"),
    "library": TimeoutException("Operation timed out!"),
    "timeout": TimeoutError("of the language"),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "memory": MemoryError(),
    "long": UntoldError("x"),
    "untold": UntoldError(None),
    "unpickled": UntoldError(threading.Lock()),
}


def raises_any(text: str, reference: str) -> Grade:
    """The error that the text names."""
    if text in BAD:
        raise BAD[text]
    return Grade(True, text)


def tells_where(text: str, reference: str) -> Grade:
    where = os.getpid(), threading.current_thread().name, signal.getsignal(signal.SIGINT)
    return Grade(True, " ".join(map(str, where)))
