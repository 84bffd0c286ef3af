"""Grading beside generation: answers go to a pool of processes as they come, each with a hard time limit.

What a model writes may take a grader for ever, use up its stack or its memory.  Ours bound their own work; whatever
outlives HARD_SECONDS all the same is killed with its process, and counted.  What cannot hang is graded on the spot.
Whatever a grader raises is the error of that answer alone, also what is no Exception: so do libraries end what takes
too long.
"""

import os
import pkgutil
import signal
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from multiprocessing import get_context

from pebble import ProcessPool

from em.evaluation.graders import GRADERS, TIMEOUT, Grade, check
from em.orphans import end_with

HARD_SECONDS = 240.0  # of one answer: more than a sandbox may take to start, and then to run, on a busy machine
PROCESSES = min(4, os.cpu_count() or 1)  # grading is faster than generation; lanes share a node
TIMEOUTS = "TimeoutException", "FunctionTimedOut", "TimeoutExpired"  # of libraries that end what takes too long
LONGEST_ERROR = 500  # characters of one that is recorded


class GradingPool:
    """Starts its processes when the first answer comes that needs one, and keeps them."""

    def __init__(self, processes: int = PROCESSES, hard_seconds: float = HARD_SECONDS) -> None:
        self.processes, self.hard_seconds = processes, hard_seconds
        self.pool: ProcessPool | None = None

    def submit(self, name: str, text: str, reference: str) -> "Future[Grade]":
        """Grade a text by the grader of that name; `grade_of` waits for it."""
        check(name)
        where = GRADERS[name].where
        if GRADERS[name].instant:
            return at_once(where, text, reference)
        if self.pool is None:
            begin = partial(start, os.getpid())
            self.pool = ProcessPool(self.processes, initializer=begin, context=get_context("spawn"))
        return self.pool.schedule(grade, args=(where, text, reference), timeout=self.hard_seconds)

    def submit_all(self, name: str, pairs: Sequence[tuple[str, str]]) -> "list[Future[Grade]]":
        """Grade texts, each against its reference; those that are alike are graded once."""
        pending = {pair: self.submit(name, *pair) for pair in dict.fromkeys(pairs)}
        return [pending[pair] for pair in pairs]

    def close(self) -> None:
        if self.pool is not None:
            self.pool.stop()
            self.pool.join()
            self.pool = None


def grade_of(future: "Future[Grade]") -> Grade:
    """Waits for a grade; what kept the grader from one is in its `error`, and nothing is scored 0 silently."""
    try:
        error = future.exception()  # an interrupt of the waiting is none of the grader's, and goes its way
    except CancelledError as cancelled:
        error = cancelled
    return future.result() if error is None else failed(error)  # hung, or its process has died


def failed(error: BaseException) -> Grade:
    """The grade of an answer that a grader could not grade."""
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name in TIMEOUTS:
        return Grade(None, None, error=TIMEOUT)
    try:
        said = str(error)
    except Exception:  # it cannot even be told
        said = ""
    return Grade(None, None, error=f"{name}: {said}".removesuffix(": ")[:LONGEST_ERROR])


def grade(where: str, text: str, reference: str) -> Grade:
    """In a process of the pool, where an interrupt is one that the grader raises itself."""
    try:
        return pkgutil.resolve_name(where)(text, reference)
    except BaseException as error:
        return failed(error)


def at_once(where: str, text: str, reference: str) -> "Future[Grade]":
    """In the process that asks, whose Ctrl-C is for all of it."""
    future: Future[Grade] = Future()
    try:
        future.set_result(pkgutil.resolve_name(where)(text, reference))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        future.set_exception(error)
    return future


def start(parent: int) -> None:
    """Of a process of the pool: Ctrl-C is left to the process that grades."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
