"""Limits of what a program uses: which one it met is in the verdict, on a busy machine too."""

import os
import subprocess
import sys

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import MIB, Limits, Verdict
from tests.evaluation.sandboxing import (
    SHORT,
    TESTS,
    contained,
    needs_sandbox,
)

pytestmark = needs_sandbox


def test_eats_memory():
    program = "kept = []\nwhile True: kept.append(b'x' * 10_000_000)"
    assert contained(program) == Verdict("exception", "MemoryError")


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import os\nos.fork()\nos.fork()\nwhile True: pass",
        "import signal\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "import os\nos.closerange(0, 64)\nwhile True: pass",
    ],
)
def test_never_ends(program: str):
    assert contained(program, SHORT) == Verdict("timeout", "1 s of a processor")


@pytest.mark.parametrize(
    "program",
    [
        "import time\nwhile True: time.sleep(1000)",
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\nthreading.Event().wait()",
        "import os\nos.read(os.pipe()[0], 1)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "import os, time\nos.closerange(0, 64)\ntime.sleep(1000)",
        "import time\ndef double(x): time.sleep(1000)",
    ],
)
def test_waits_for_what_never_comes(program: str):
    assert contained(program, SHORT) == Verdict("timeout", "1 s idle")


def test_makes_files_without_end():
    """A limit on bytes counts no empty files."""
    program = "import itertools\nfor n in itertools.count(): open(str(n), 'w').close()"
    assert contained(program, Limits(files=2_000)) == Verdict("killed", "2000 files")


FORKS = """
import os, time
kept = []
def keep(megabytes):
    for _ in range(megabytes): kept.append(b"x" * 1_000_000)
keep(100)
for _ in range(3):
    if os.fork() == 0:
        keep(each)
        time.sleep(seconds)
        os._exit(0)
time.sleep(seconds)
def double(x): return 2 * x
"""


def test_memory_of_all_processes():
    """What they share counts once."""
    limits = Limits(sum_bytes=256 * MIB)
    assert contained("each, seconds = 100, 1000" + FORKS, limits) == Verdict("killed", "the memory of all processes")
    assert sandbox.run("each, seconds = 0, 0.7" + FORKS, TESTS, limits) == Verdict("passed")


@pytest.mark.parametrize("before", ["", "import sys\nsys.setrecursionlimit(10**9)\n"])
def test_recurses_without_end(before: str):
    program = before + "class A:\n    def __repr__(self): return repr(self)\nrepr(A())"
    assert contained(program) in (
        Verdict("exception", "RecursionError"),
        Verdict("exception", "MemoryError"),
        Verdict("killed", "SIGSEGV"),
    )


BUSY = """
import time
def works(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
    return seconds
def sleeps(seconds):
    time.sleep(seconds)
    return seconds
"""


@pytest.mark.slow
def test_a_starved_machine_gives_the_same_verdicts():
    """With a tenth of a core: nine others want it, each in a session of its own, since Linux shares by session."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(9)]
    limits = Limits(cpu_seconds=2, idle_seconds=2)
    try:
        assert sandbox.run(BUSY, "assert works(1.5) == 1.5", limits) == Verdict("passed")
        assert sandbox.run(BUSY, "assert works(1000)", limits) == Verdict("timeout", "2 s of a processor")
        assert sandbox.run(BUSY, "assert sleeps(1.5) == 1.5", limits) == Verdict("passed")
        assert sandbox.run(BUSY, "assert sleeps(1000)", limits) == Verdict("timeout", "2 s idle")
    finally:
        for other in others:
            other.kill()
            other.wait()
        os.sched_setaffinity(0, cores)
