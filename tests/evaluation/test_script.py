"""What tests need of an answer: by the tests alone."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.evaluation.graders.code import inside
from em.evaluation.sandbox.script import Names, names_of, read


@pytest.mark.parametrize(
    ("source", "names", "modules"),
    [
        ("assert double(4) == 8", ["double"], []),
        ("assert set(f(x)) == g(y) == {1}", ["f", "g", "x", "y"], []),
        ("import math\nassert math.isclose(f(1), 2)", ["f"], []),
        ("assert f(1) == sys.getsizeof(1)", ["f"], ["sys"]),
        ("assert calendar(1) == 2", ["calendar"], []),
        ("assert sum(10, 15) == 6", ["sum"], []),
        ("assert sum(f(1)) == 6", ["f"], []),
        ("def check(candidate):\n    x = candidate(1)\n    assert x == 2\ncheck(f)", ["f"], []),
        ("for i in range(3): assert f(i) == [j for j in range(i)]", ["f"], []),
        ("root = Node(1)\nroot.left = Node(2)\nassert depth(root) == 2", ["Node", "depth"], []),
        ("def helper():\n    global seen\n    seen = 1\nhelper()\nassert f(seen)", ["f"], []),
        ("pass", [], []),
    ],
)
def test_names_of_the_answer(source: str, names: list[str], modules: list[str]):
    script = read(source)
    assert (sorted(script.names), list(script.modules)) == (sorted(names), modules)
    assert not script.beside


@pytest.mark.parametrize(
    "source",
    [
        "assert f(lambda x: x) == 1",
        "assert f(x for x in [1]) == 1",
        "def own(): pass\nassert f(own) == 1",
        "own = lambda: 1\nassert f([1, own]) == 1",
        "class Own: pass\nassert f(key=Own()) and f(Own) == 1",
        "assert isinstance(f(1), Node)",
        "try: f(1)\nexcept Wrong: pass",
        "class Sub(Node): pass\nassert Sub()",
        "x = [1]\nassert f(x) is x",
        "assert f.__name__ == 'f'",
    ],
)
def test_what_has_to_run_beside_the_program(source: str):
    assert read(source).beside


@pytest.mark.parametrize(
    "source",
    [
        "assert f(1) is None and f(2) is not True",
        "def own(): return 1\nassert f(own()) == 1",
        "assert f(sum(x for x in [1])) == 1",
        "assert list(map(f, [1])) == [1]",
        "assert isinstance(f(1), int)",
        "assert f([1, 'a'], int) == [1]",
    ],
)
def test_what_has_not(source: str):
    assert not read(source).beside


def test_names_that_a_module_binds_and_uses():
    source = "import a.b, c as d\nfrom e import f\nx: int = g\nfor y in z: pass\ndef h(i): return i + j + x"
    assert names_of(source) == Names(frozenset({"a", "d", "f", "x", "y", "h"}), frozenset({"int", "g", "z", "j"}))


BESIDE: set[int] = set()  # of MBPP's 974 rows, by task_id


def test_rows_of_mbpp_that_run_beside_the_program():
    if "EM_BENCHMARK_DATA" not in os.environ:
        pytest.skip("set EM_BENCHMARK_DATA to a folder with mbpp.jsonl")
    lines = (Path(os.environ["EM_BENCHMARK_DATA"]) / "mbpp.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 974
    assert {row["task_id"] for row in rows if inside(json.dumps(row))} == BESIDE


def test_scripts_are_read_by_several_threads():
    items = ", ".join(map(str, range(300)))
    nested = [f"f({number}) == " + "[" * 40 + items + "]" * 40 for number in range(60)]
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)  # seconds: Python 3.11 loses count of a tree's depth at once
        with ThreadPoolExecutor(4) as threads:
            assert {script.names for script in threads.map(read, nested)} == {("f",)}
    finally:
        sys.setswitchinterval(interval)
