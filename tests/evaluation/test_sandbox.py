"""The sandbox: what honest programs may do, and that nothing is left behind."""

import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import Limits, Verdict
from tests.evaluation.sandboxing import (
    GOOD,
    ROOT,
    TELL,
    TESTS,
    as_nobody,
    assert_gone,
    needs_sandbox,
    processes_with,
    sleeper,
)

pytestmark = needs_sandbox


@pytest.mark.parametrize(
    ("program", "tests", "verdict"),
    [
        (GOOD, TESTS, Verdict("passed")),
        (GOOD, "assert double(4) == 9", Verdict("assertion")),
        (GOOD, "assert triple(4) == 12", Verdict("exception", "NameError")),
        ("def double(x):", TESTS, Verdict("exception", "IndentationError")),
        ("double = input", "double()", Verdict("exception", "EOFError")),
        ("assert __name__ != '__main__'", "", Verdict("passed")),
        (
            "import re, math, heapq, collections, itertools, bisect, functools, typing, datetime, random",
            "",
            Verdict("passed"),
        ),
        ("open('file', 'w').write('x')\nread = open('/tmp/file').read()", "assert read == 'x'", Verdict("passed")),
        ("import os\nseen = os.listdir(), os.getcwd()", "assert seen == ([], '/tmp')", Verdict("passed")),
        ("import numpy as np\nx = np.eye(3) @ np.ones(3)", "assert list(x) == [1, 1, 1]", Verdict("passed")),
        ("import multiprocessing\nlock = multiprocessing.Lock()", "assert lock.acquire()", Verdict("passed")),
        ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", "", Verdict("passed")),
        ("import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int", "assert P(3) == P(3)", Verdict("passed")),
        ("def f(n): return n and 1 + f(n - 1)", "assert f(900) == 900", Verdict("passed")),
        ("# " + "x" * 1_000_000 + "\n" + GOOD, TESTS, Verdict("passed")),  # longer than any pipe
    ],
)
def test_verdicts(program: str, tests: str, verdict: Verdict):
    assert sandbox.run(program, tests) == verdict


def test_a_verdict_can_be_repeated():
    """The order of a set of strings would differ with each interpreter."""
    program = TELL + "tell(*set(map(str, range(30))))"
    assert sandbox.run(program, "") == sandbox.run(program, "")


def test_many_at_once_from_threads():
    def verdicts(number: int) -> tuple[Verdict, Verdict]:
        tests = f"assert double({number}) == {2 * number}"
        return sandbox.run(GOOD, tests), sandbox.run("def double(x): return 0", tests)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(verdicts, range(1, 25))) == {(Verdict("passed"), Verdict("assertion"))}


# What the host does


def test_an_interrupt_leaves_nothing():
    marker = uuid.uuid4().hex

    def interrupt() -> None:
        while not processes_with(marker):
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    ambient = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            sandbox.run("import os, sys\n" + sleeper(marker), TESTS)
    finally:
        signal.signal(signal.SIGINT, ambient)
    assert_gone(marker)


def test_death_of_the_grading_process_leaves_nothing():
    marker = uuid.uuid4().hex
    script = f"from em.evaluation import sandbox\nsandbox.run('import os, sys\\n' + {sleeper(marker)!r}, '')"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as grading:
        deadline = time.monotonic() + 30
        while not processes_with(f"time.sleep(60)\0{marker}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        grading.kill()
    assert_gone(f"time.sleep(60)\0{marker}")


def test_leaves_no_descriptor_and_no_zombie():
    sandbox.run(GOOD, TESTS)
    before = len([*Path("/proc/self/fd").iterdir()])
    for program in (GOOD, "while True: pass", "import os\nos._exit(0)", GOOD):
        sandbox.run(program, TESTS, Limits(cpu_seconds=0.3))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert [pid for pid in children if "Z" in Path(f"/proc/{pid}/stat").read_text().split()] == []


UNPRIVILEGED = """
import json, sys
from em.evaluation import sandbox
sandbox.check()
fork = '''
import os, time
forked = 0
try:
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(60)
        forked += 1
except BlockingIOError:
    raise type(f"forked_{forked}", (Exception,), {})
'''
read = '''
import os
for path in ("/etc/passwd", "/proc/1/environ", %r):
    try: open(path)
    except OSError: continue
    raise RuntimeError(path)
for path in ("/x", "/dev/x", "/etc/x", "/usr/x", "/usr/lib/x"):
    try: open(path, "w")
    except OSError: continue
    raise RuntimeError(path)
''' % __file__
programs = [("x = 2", "assert x == 2"), ("x = 2", "assert x == 3"), (fork, ""), (read, ""), ("while True: pass", "")]
print(json.dumps([list(vars(sandbox.run(*each, sandbox.Limits(cpu_seconds=1.0))).values()) for each in programs]))
"""


def test_as_a_user_without_privileges():
    """Without root all tests here are of that mode."""
    good, wrong, fork, read, loop = as_nobody(UNPRIVILEGED)
    assert good == ["passed", "", False]
    assert wrong == ["assertion", "", False]
    assert fork[1] in ("forked_5", "forked_6", "forked_7")
    assert read == ["passed", "", False]
    assert loop == ["timeout", "1 s of a processor", False]
