"""No program that solves nothing passes: neither by what it returns, nor by what it does to its interpreter, nor by
what it says to the judge."""

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import Verdict
from tests.evaluation.cheats import CHEATS, SCRIPTS
from tests.evaluation.sandboxing import GOOD, SHORT, TESTS, as_nobody, needs_sandbox

pytestmark = needs_sandbox

SOLVES = """
def solve(x):
    if isinstance(x, float): return x * x
    if isinstance(x, str): return {"a", "b"}
    if isinstance(x, list): return sorted(x)
    return x * x + 1
"""


def test_an_honest_program_passes():
    assert sandbox.run(SOLVES, SCRIPTS["asserts"]) == Verdict("passed")
    assert sandbox.run(SOLVES, SCRIPTS["one"]) == Verdict("passed")
    assert sandbox.run("def solve(values): return sorted(values)", SCRIPTS["arguments"]) == Verdict("passed")
    assert sandbox.run("def solve(x): return [10][x - 3]", SCRIPTS["caught"]) == Verdict("passed")
    assert sandbox.run(SOLVES, SCRIPTS["mapped"]) == Verdict("passed")
    assert sandbox.run("def solve(values): return sum(values)", SCRIPTS["evalplus"]) == Verdict("passed")


@pytest.mark.parametrize("name", CHEATS)
def test_cheats(name: str):
    for script in SCRIPTS.values():
        verdict = sandbox.run(CHEATS[name], script, SHORT)
        assert not verdict.passed, verdict
        assert verdict.outcome in ("assertion", "exception", "exited", "killed", "timeout")
    assert sandbox.run(GOOD, TESTS) == Verdict("passed")  # the judge is as it was


def test_tests_may_begin_with_imports_from_the_future():
    script = '"""Tests."""\nfrom __future__ import annotations\nassert solve(3) == 10'
    assert sandbox.run(SOLVES, script) == Verdict("passed")
    assert sandbox.run("def solve(x): return 9", script) == Verdict("assertion")


UNPRIVILEGED = """
import json
from cheats import CHEATS, SCRIPTS
from em.evaluation import sandbox
limits = sandbox.Limits(cpu_seconds=1.0, idle_seconds=1.0)
solved = sandbox.run("def solve(x): return 10", SCRIPTS["one"]).passed
passed = [name for name in CHEATS if sandbox.run(CHEATS[name], SCRIPTS["one"], limits).passed]
print(json.dumps([solved, passed]))
"""


def test_cheats_as_a_user_without_privileges():
    assert as_nobody(UNPRIVILEGED) == [True, []]


BESIDE = "class Own: pass\nassert solve(Own) == 10"  # hands over a class, so it runs beside the program
REPORTS = """
import gc, os, re, sys
heap, seen, depth = [], [], 0
for frame in sys._current_frames().values():
    while frame:
        heap += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame, depth = frame.f_back, depth + 1
heap += gc.get_objects() + sys.argv + sys.orig_argv
heap += [referred for item in list(heap) for referred in gc.get_referents(item)]
for item in heap:
    if isinstance(item, (bytes, str)):
        seen.append(item.encode() if isinstance(item, str) else item)
for folder in ("/proc/self", "/proc/1", "/proc/2", "/proc/thread-self", "/dev/fd"):
    for name in ("environ", "cmdline", "maps", "mem", "fd/0", "0"):
        try:
            seen.append(open(f"{folder}/{name}", "rb").read(1_000_000))
        except OSError:
            pass
assert depth >= 2 and len(seen) > 1000
for nonce in {match for text in seen for match in re.findall(rb"[0-9a-f]{32}", text)} | {b"0" * 32}:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, (len(nonce) + 6).to_bytes(4, "big") + nonce + b"passed")
        except OSError:
            pass
os._exit(7)
"""


def test_beside_the_program_the_verdict_says_so_and_needs_a_nonce():
    assert sandbox.run("def solve(kind): return 10", BESIDE) == Verdict("passed", inside=True)
    assert sandbox.run("def solve(kind): return 11", BESIDE) == Verdict("assertion", inside=True)
    assert sandbox.run("import os\nos._exit(0)", BESIDE) == Verdict("exited", "0", inside=True)
    assert sandbox.run(REPORTS, BESIDE) in (
        Verdict("exited", "7", inside=True),
        Verdict("exited", "it wrote to the runner's report", inside=True),
    )


def test_enough_is_tried():
    assert len(CHEATS) >= 40
