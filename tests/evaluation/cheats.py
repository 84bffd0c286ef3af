"""Programs that solve nothing and would pass all the same: in cheats/*.txt, each to be tried on SCRIPTS.

A program begins with a line `## name`, which may name what it starts from.
"""

from pathlib import Path

# "caught" asks for any exception of a program: what the judge itself raises in there must not pass for one.
SCRIPTS = {
    "asserts": """
from math import isclose
assert solve(3) == 10
assert solve([3, 1, 2]) == [1, 2, 3], solve
assert set(solve("abc")) == {"a", "b"} and sorted(solve("abc")) == ["a", "b"]
assert isclose(solve(0.5), 0.25) and abs(solve(0.5) - 0.25) < 1e-9
assert all(solve(n) == n * n + 1 for n in range(4)) and isinstance(solve(1), int)
assert 9 < solve(3) < 11 and 10 in [solve(3)]
""",
    "one": "assert solve(3) == 10",
    "caught": """
for wrong in ("x", None):
    raised = None
    try:
        solve(wrong)
    except Exception as error:
        raised = error
    assert raised is not None
try:
    assert solve(3) == 10
except (ValueError, TypeError):
    assert False
""",
    "arguments": """
values = [5, 1, 4]
assert solve(values) == sorted(values)
""",
    "mapped": """
for out, exp in zip(map(solve, [1, 3]), [2, 10]):
    assert out == exp
""",
    "evalplus": """
import numpy as np
def assertion(out, exp, atol):
    if atol == 0 and isinstance(exp, float):
        atol = 1e-6
    if out != exp and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp, f"out: {out}, exp: {exp}"
def ref_func(values):
    return float(sum(values))
inputs = [[[1.5, 2.5]], [[4.0]]]
results = [4.0, 4.0]
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion(solve(*inp), exp, 0)
    assertion(solve(*inp), ref_func(*inp), 1e-6)
""",
}

ANYTHING = """
class Anything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __contains__ = __instancecheck__ = __lt__
    def __hash__(self): return 0
    def __bool__(self): return True
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __mul__ = __abs__ = __float__ = __index__ = __sub__
    def __len__(self): return 2
    def __getattr__(self, name): return self
    def __call__(self, *_, **__): return self
def solve(*_, **__): return result
"""

SPEAKS = """
import os, sys
wire = sys.modules["em.evaluation.sandbox.wire"]
inmate = sys.modules["em.evaluation.sandbox.inmate"]
def other(value): return value
class Raw(bytes): pass
def framed(*messages): return b"".join(len(each).to_bytes(4, "big") + each for each in messages)
def reply(value, more=None, good=True): return wire.encode([good, value, more], lambda value: bytes(value))
def say(data):
    for descriptor in range(64):
        try: os.write(descriptor, data)
        except OSError: pass
def answers(*replies):
    say(framed(*replies))
    os._exit(0)
OBJECT = Raw(wire.sized(b"O", b"0"))
def solve(*_): return None
"""

START = {"": "", "anything": ANYTHING, "speaks": SPEAKS}


def read(path: Path) -> dict[str, str]:
    found = {}
    for part in path.read_text().removeprefix("## ").split("\n## "):
        title, _, program = part.partition("\n")
        name, _, start = title.removesuffix("]").partition(" [")
        found[name] = START[start] + program
    return found


CHEATS = {
    name: text for path in sorted(Path(__file__).with_suffix("").glob("*.txt")) for name, text in read(path).items()
}
