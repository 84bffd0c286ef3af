"""Tests in the judge see of an answer what they would see beside it, as far as it is plain data or stays there."""

import os
import signal
from contextlib import suppress
from typing import Any

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import Limits, UnfitError, Verdict, judges, watch
from tests.evaluation.sandboxing import needs_sandbox

pytestmark = needs_sandbox

NODE = """
class Node:
    count = 0
    def __init__(self, value): self.value, self.left = value, None
    def __eq__(self, other): return self.value == other.value
    def startswith(self, prefix): return True
    def pop(self, n=1): return self.value + n
    def __len__(self): return 3
    def __getitem__(self, key): return [1, 2, 3][key]
def depth(node): return 1 + depth(node.left) if node else 0
def node(value): return Node(value)
"""
PASS = Verdict("passed")


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(): return float('inf'), 2**100, {1: {2}}", "assert f() == (float('inf'), 2**100, {1: {2}})"),
        ("def f(): return float('nan')", "x = f()\nassert x != x"),
        ("def f(*a, **k): return a, k", "assert f(1, (2,), k={3}) == ((1, (2,)), {'k': {3}})"),
        ("f = len", "assert f([1, 2]) == 2 and list(map(f, ['a', ()])) == [1, 0]"),
        ("def f(x): return x\ng = f", "h = g\nassert h(1) == f(1)"),
        ("LIMIT = 7", "assert LIMIT == 7"),
        ("import collections\ndef f(x): return collections.Counter(x)", "assert f('aab') == {'a': 2, 'b': 1}"),
        ("import collections\nP = collections.namedtuple('P', 'x')\ndef f(): return P(1)", "assert f() == (1,)"),
        ("import numpy\ndef f(): return numpy.float64(0.5), numpy.int64(3)", "assert f() == (0.5, 3)"),
        ("import numpy\ndef f(): return numpy.arange(3)", "assert list(f()) == [0, 1, 2] and max(f()) == 2"),
        ("import decimal\ndef f(): return decimal.Decimal('1.5')", "assert f() == 1.5"),
        ("import fractions\ndef f(): return fractions.Fraction(-3, 2)", "assert f() * 2 == -3"),
        ("def f(): yield from 'ab'", "assert list(f()) == ['a', 'b'] and next(f()) == 'a'"),
        ("def f(): return map(str, [1])", "assert [*f()] == ['1'] and f() != ['1']"),
        ("def f(): return {'a': 1}.keys()", "assert set(f()) == {'a'} and len(f()) == 1 and 'a' in f()"),
        ("def f(t): return [x for x in (1, 'a') if type(x) is t]", "assert f(int) == [1]"),
        ("def f(x): return x.year", "import datetime\nassert f(datetime.date(2020, 1, 1)) == 2020"),
        ("def f(x): return str(x)", "import decimal\nassert f([decimal.Decimal(1)]) == \"[Decimal('1')]\""),
        (NODE, "root = Node(1)\nroot.left = Node(2)\nassert depth(root) == 2 and root.left.value == 2"),
        (NODE, "assert Node(1) == Node(1) and Node(1) != Node(2) and Node(1).pop(n=3) == 4 and Node(1)[2] == 3"),
        ("import sys\ndef f(): return 1", "assert f() == 1 and sys.maxsize > 0"),
        ("print('a')\ndef f(): print('b' * 100000)", "assert f() is None"),
    ],
)
def test_results(program: str, tests: str):
    assert sandbox.run(program, tests) == PASS


@pytest.mark.parametrize(
    "tests",
    [
        "assert node(1) == 1",
        "assert node(1).startswith('x')",
        "assert node(1) < 2",
        "assert abs(node(1) - 1) < 1",
        "assert 7 in node(1)",
        "assert 1.0 == float(node(1))",
        "assert hash(node(1)) == 1",
    ],
)
def test_what_no_object_of_the_answer_decides(tests: str):
    assert not sandbox.run(NODE, tests).passed


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): x.sort()", "x = [2, 1]\nf(x)\nassert x == [1, 2]"),
        ("def f(x): x[0].append(3)", "inner = [1]\nx = [inner]\nf(x)\nassert inner == [1, 3] and x[0] is inner"),
        ("def f(x): x['a'] = {}; x['b'].add(2)", "x = {'b': {1}}\nf(x)\nassert x == {'a': {}, 'b': {1, 2}}"),
        ("def f(*, x): x.clear()", "x = {1}\nf(x=x)\nassert x == set()"),
        ("def f(x): x[0].append(1)", "x = ([],)\nf(x)\nassert x == ([1],)"),
        (
            "def f(x): x.sort(); return x",
            "def check(g):\n    x = [2, 1]\n    r = g(x)\n    assert r == x == [1, 2]\ncheck(f)",
        ),
    ],
)
def test_arguments_that_a_call_changes(program: str, tests: str):
    assert sandbox.run(program, tests) == PASS


def test_what_an_assertion_expects_is_computed_from_what_was_given():
    program = "def f(x): x.clear(); return []"
    assert sandbox.run(program, "x = [2, 1]\nassert f(x) == sorted(x)") == Verdict("assertion")
    assert sandbox.run("def f(x): x.sort(); return x", "x = [2, 1]\nassert f(x) == sorted(x)") == PASS


@pytest.mark.parametrize(
    ("program", "tests", "verdict"),
    [
        ("def f(): raise ValueError('no', 3)", "try: f()\nexcept ValueError as e: assert e.args == ('no', 3)", PASS),
        ("def f(): return {}['k']", "try: f()\nexcept LookupError as e: assert str(e) == \"'k'\"", PASS),
        ("class Bad(OSError): pass\ndef f(): raise Bad", "try: f()\nexcept OSError: pass", PASS),
        ("def f(): b'\\xff'.decode()", "try: f()\nexcept UnicodeDecodeError: pass", PASS),
        ("def f(): raise StopIteration", "assert list(f()) == []", Verdict("exception", "RuntimeError")),
        ("class Bad(Exception): pass\ndef f(): raise Bad", "f()", Verdict("exception", "Bad")),
        ("def f(): assert False", "f()", Verdict("assertion")),
        ("def f(): return 1", "g()", Verdict("exception", "NameError")),
        ("def f(: return 1", "f()", Verdict("exception", "SyntaxError")),
        ("def f(): return f(", "f()", Verdict("exception", "SyntaxError")),
        ("quit", "pass", Verdict("exception", "NameError")),  # a bare interpreter has none
        ("exit()", "pass", Verdict("exception", "NameError")),
        ("def f(): return input()", "f()", Verdict("exception", "EOFError")),
        ("def f():\n    x = []\n    x.append(x)\n    return x", "f()", Verdict("exception", "WireError")),
        ("def f(): return 'x' * (1 << 25)", "f()", Verdict("exception", "WireError")),
    ],
)
def test_exceptions(program: str, tests: str, verdict: Verdict):
    assert sandbox.run(program, tests) == verdict


def test_tests_that_catch_everything_do_not_catch_the_end():
    tests = "try: f()\nexcept BaseException: pass"
    assert sandbox.run("import os\ndef f(): os._exit(0)", tests) == Verdict("exited", "0")
    assert sandbox.run("def f(): raise SystemExit", tests) == PASS


def test_what_tests_cannot_hand_over_is_their_fault():
    with pytest.raises(UnfitError, match="the tests hand over a generator"):
        sandbox.run("def f(x): return 1", "def g(): yield 1\nassert f(g()) == 1")


def test_the_judge_has_limits_too():
    limits = Limits(cpu_seconds=1.0, idle_seconds=1.0)
    spins, sleeps = "f()\nwhile True: pass", "import time\nf()\ntime.sleep(99)"
    assert sandbox.run("def f(): return 1", spins, limits) == Verdict("killed", "the judge of this answer")
    assert sandbox.run("def f(): return 1", sleeps, limits) == Verdict("timeout", "1 s idle")


NEXT = "def f(x): return x + 1"
HELD = "def g():\n    try:\n        yield 1\n    finally: f(5)\nheld = [g()]\nheld.append(held)\nnext(held[0])\n"


@pytest.mark.parametrize(
    "tests",
    [
        "import math\nmath.n = getattr(math, 'n', 0) + 1\nassert f(1) == 2 and math.n == 1",
        "assert not hasattr(math, 'f')\nmath.f = f\nassert f(1) == 2",
        HELD + "assert f(1) == 2",
        "assert f(1) == 2",
    ],
)
def test_an_answer_is_judged_as_if_it_were_the_first(tests: str):
    wrong = "def f(x): return x"
    programs = [NEXT, wrong, "import os\ndef f(x): os._exit(0)", NEXT, NEXT, wrong, NEXT]
    verdicts = [sandbox.run(program, tests) for program in programs]
    wrongs = Verdict("assertion")
    assert verdicts == [PASS, wrongs, Verdict("exited", "0"), PASS, PASS, wrongs, PASS]


def test_a_judge_that_is_killed_makes_no_answer_wrong(monkeypatch: pytest.MonkeyPatch):
    tests = "assert f(1) == 2"
    assert sandbox.run(NEXT, tests) == PASS
    judge = next(judge for prefix, judge in judges._judges.items() if prefix)
    _, _, _, *children = watch.tree(judge.process.pid)  # bubblewrap twice, the judge, and its children

    def send(number: int) -> None:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    take = judges.Judge.take

    def kill(*arguments: Any) -> Any:
        child = take(*arguments)
        send(signal.SIGKILL)
        return child

    send(signal.SIGSTOP)  # they are sent the next answer, and do not take it any more
    monkeypatch.setattr(judges.Judge, "take", kill)
    with pytest.raises(sandbox.SandboxError, match="the judge has ended"):
        sandbox.run(NEXT, tests)
    monkeypatch.undo()
    assert sandbox.run(NEXT, tests) == PASS


def test_idle_is_not_starved():
    now = 0.0
    idle = watch.Idle(lambda: now)
    for busy, seconds, total in [(True, 50.0, 0.0), (False, 0.25, 0.25), (False, 50.0, 0.75), (True, 9.0, 0.75)]:
        now += seconds
        assert idle.look(busy) == total
