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


def tells_where(text: str, reference: str) -> Grade:
    where = os.getpid(), threading.current_thread().name, signal.getsignal(signal.SIGINT)
    return Grade(True, " ".join(map(str, where)))
