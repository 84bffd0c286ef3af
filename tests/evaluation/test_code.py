"""The grader of programs: which part of an answer is the program, which tests decide, whose fault a failure is."""

import json
import os
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.evaluation import sandbox
from em.evaluation.graders import Grade
from em.evaluation.graders.code import grade, grade_without_sandbox
from em.evaluation.graders.programs import extract
from em.evaluation.sandbox import bailiff

NAMESPACES = (
    os.geteuid() == 0 or not subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode
)
needs_sandbox = pytest.mark.skipif(not NAMESPACES, reason="neither root nor allowed to create user namespaces")

DOUBLE, TRIPLE = "def double(x):\n    return 2 * x", "def triple(x):\n    return 3 * x"
ROW = json.dumps({"test_list": ["assert double(4) == 8", "assert double(-1) == -2"], "test_setup_code": ""})


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"Here it is:\n```python\n{DOUBLE}\n```\nIt doubles.", DOUBLE),
        (f"```py\n{DOUBLE}\n```", DOUBLE),
        (f"```Python3\r\n{DOUBLE}\r\n```", DOUBLE),
        (f"```\n{DOUBLE}\n```", DOUBLE),
        (f"Answer: ``` python\n{DOUBLE}\n```", DOUBLE),
        (f"First\n```python\n{TRIPLE}\n```\nno:\n```python\n{DOUBLE}\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nIt prints\n```\n[2, 4]\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nRun it:\n```bash\npython double.py\n```", DOUBLE),
        (f"```bash\npip install x\n```\n```\n{DOUBLE}\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nor\n```python\ndef dou", DOUBLE),
        (f"```python\n{DOUBLE}", DOUBLE),
        (f"```python\n{DOUBLE}\n```\n```python\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nUse:\n```python\nprint(double(4))\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nUse:\n```python\nimport sys\nx = [4]\nassert double(x[0]) == 8\n```", DOUBLE),
        (f"```\n{DOUBLE}\n```\nUse:\n```python\nprint(double(4))\n```", DOUBLE),
        (f"```python\n{TRIPLE}\n```\nno:\n```python\ndouble = lambda x: 2 * x\n```", "double = lambda x: 2 * x"),
        (f"```python\n{TRIPLE}\n```\nno:\n```python\nasync {DOUBLE}\n```", f"async {DOUBLE}"),
        ("```python\nx = 2\n```\n```python\nx == 2\n```", "x = 2"),
        ("```python\nprint(1)\n```\n```python\nimport os\n```", "import os"),
        (f"Use ```2 * x``` here:\n```python\n{DOUBLE}\n```", DOUBLE),
        ("1. So:\n   ```python\n   def double(x):\n       return 2 * x\n   ```", DOUBLE),
        ("```python\ndef double(x:\n```", "def double(x:"),
        (f"[BEGIN]\n{DOUBLE}\n[DONE]", DOUBLE),
        (f"{DOUBLE}\n[DONE]\n\nYou are an expert\n[BEGIN]\n{TRIPLE}\n[DONE]", DOUBLE),
        (f"[BEGIN]\n```python\n{DOUBLE}\n```\n[DONE]\n```python\n{TRIPLE}\n```", DOUBLE),
        ("[BEGIN]\ndef double(x:\n[DONE]", "def double(x:"),
        (f"[BEGIN]\n{DOUBLE}\n\nThis doubles.", DOUBLE),
        (DOUBLE, DOUBLE),
        ("\n def double(x): return 2 * x\n\nMore of it.", "def double(x): return 2 * x"),
        (DOUBLE.replace("\n", "\r\n"), DOUBLE.replace("\n", "\r\n")),
        (f"Sure, this doubles:\n\n{DOUBLE}\n\nYou can call it as you like.", DOUBLE),
        (f"from what you say:\n{DOUBLE}\nIt's done.", DOUBLE),
        (f"import math\n\n@staticmethod\n{DOUBLE}\n\nclass A:\n    def", f"import math\n\n@staticmethod\n{DOUBLE}"),
        (f"{DOUBLE}\n\ndef triple(x):\n    '''Never\n closed", DOUBLE),
        ("I cannot do that.", None),
        ("def", None),
        ("", None),
        (" \n\t\n", None),
        ("```python\n\n```", None),
        ("[DONE]", None),
    ],
)
def test_the_program_in_an_answer(text: str, program: str | None):
    assert extract(text) == program


QUADRUPLE = "def quadruple(x):\n    return double(double(x))"
FENCED = 'def double(x):\n    """Like\n    ```\n    double(2)\n    ```\n    """\n    return 2 * x'


@pytest.mark.parametrize(
    ("text", "program"),
    [
        # Another function, tests or a demonstration after it.
        (f"```python\n{DOUBLE}\n```\nBesides:\n```python\n{TRIPLE}\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nTests:\n```python\ndef test_double():\n    assert double(2) == 4\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nRun:\n```python\ndef main():\n    print(double(2))\nmain()\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\n```python\nimport unittest\nclass T(unittest.TestCase): pass\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nIt prints\n```\ndouble = 4\nx y\n```", DOUBLE),
        # A later attempt counts; one that does not compile, or is cut off, does not.
        (f"```python\n{DOUBLE}  # no\n```\nBetter:\n```python\n{DOUBLE}\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nor\n```python\ndef double(x:\n```", DOUBLE),
        (f"```python\n{DOUBLE}\n```\nor\n```python\ndef double(x):\n    return", DOUBLE),
        (f"```python\n{TRIPLE}\n```\nso\n```python\n{DOUBLE}", DOUBLE),
        # What it needs comes along.
        (
            "```python\nfrom operator import mul\n```\nthen\n```python\ndef double(x): return mul(x, 2)\n```",
            "from operator import mul\ndef double(x): return mul(x, 2)",
        ),
        (
            f"```python\ndef aid(x): return 2 * x\n```\n```python\n{TRIPLE}\n```\n"
            "```python\ndef double(x): return aid(x)\n```\n```python\nprint(double(4))\n```",
            "def aid(x): return 2 * x\ndef double(x): return aid(x)",
        ),
        # Fences within, and none at the end of a line.
        (f"```python\n{FENCED}\n```\nIt doubles.", FENCED),
        ("```python def double(x): return 2 * x```", "def double(x): return 2 * x"),
        ("So: ```py double = lambda x: 2 * x``` it is.", "double = lambda x: 2 * x"),
        ("```python def double(x):\n    return 2 * x\n```", DOUBLE),
        (f"```python\n{DOUBLE}```", DOUBLE),
        (f"````python\n{DOUBLE}\n````", DOUBLE),
        # Several that are done.
        (f"[BEGIN]\n{TRIPLE}\n[DONE]\nNo:\n[BEGIN]\n{DOUBLE}\n[DONE]", DOUBLE),
        (f"[BEGIN]\n{DOUBLE}\n[DONE]\n[BEGIN]\n{DOUBLE}  # again\n[DONE]", DOUBLE),
        (f"[BEGIN]\n{TRIPLE}\n[DONE]\n[BEGIN]\n{TRIPLE}\n[DONE]", TRIPLE),
        # Prose.
        (f"from what you say:\nimport os\nI see.\n{DOUBLE}\nIt's done.", DOUBLE),
    ],
)
def test_the_program_that_tests_of_double_want(text: str, program: str):
    assert extract(text, ["double"]) == program


def test_helper_and_solution_in_two_blocks():
    text = f"```python\n{DOUBLE}\n```\nand\n```python\n{QUADRUPLE}\n```\nUse:\n```python\nprint(double(1))\n```"
    assert extract(text, ["quadruple"]) == f"{DOUBLE}\n{QUADRUPLE}"
    assert extract(text, ["double", "quadruple"]) == f"{DOUBLE}\n{QUADRUPLE}"
    assert extract(text, ["double"]) == DOUBLE


LONG = '''import re
from math import (
    sqrt,
)

@property
def first(x, *, y={
    "a": [1, 2],
}):
    """Says
    something."""
    if x:
        return f"{x:>{y}} {x!r}" + (
            "a"
            "b"
        )
    else: return \\
        re.sub(r"\\d+", '', x)

class A(object):
    def f(self):
        try:
            yield [i for i in range(3)
                   if i]
        except ValueError: pass
        finally:
            print(f"{self broken}")
    x = 1
return 3
def last(): pass
'''


@pytest.mark.parametrize("after", ["", "\nAnd that's it", " '", "\n)", "\n  x"])
def test_the_longest_part_that_compiles(after: str):
    """Against trying them all, wherever an answer is cut off."""

    def compiles(source: str) -> bool:
        try:
            compile(source, "", "exec")
        except SyntaxError:
            return False
        return True

    for length in range(len("import re"), len(LONG), 2):
        text = (LONG[:length] + after).strip()
        lines = text.split("\n")
        parts = ("\n".join(lines[:end]) for end in range(len(lines), 0, -1))
        expected = next(filter(compiles, parts), None)
        assert extract(text) == (expected and expected.rstrip()), text


@pytest.mark.parametrize(
    "program",
    [
        "(" * 5000,
        "(" * 5000 + ")" * 5000,
        "-" * 100_000 + "1",
        "x" + ".y" * 50_000,
        "x = 1" + " + 1" * 50_000,
        "if x:\n pass\n" + "elif x:\n pass\n" * 5000 + "else: pass",
        "x = 'a\0b'",
        "x = '\ud800'",
        "x = " + "9" * 100_000,
    ],
)
def test_source_that_breaks_the_compiler_is_wrong_at_once(program: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "run", None)
    assert grade(f"```python\n{program}\n```", ROW) == Grade(correct=False, extracted=program)
    assert grade(program, ROW) == Grade(correct=False, extracted=None)


def test_prose_of_many_starts_is_searched_in_bounded_time():
    assert extract("\n".join("import what you like, " * 20 for _ in range(2000))) is None
    assert extract("def f(x\n" + "x = (1,\n" * 2000) is None


@pytest.mark.parametrize("action", ["error", "always", "ignore"])
def test_warnings_change_no_grade(action):
    program = "import re\ndef double(x):\n    if x is 4: re.match('\\d', '')\n    return 2 * x"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        assert extract(program) == program
    assert caught == []


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "row", "correct"),
    [
        (DOUBLE, json.loads(ROW), True),
        ("double = lambda x: 8", json.loads(ROW), False),
        ("def double(x):\r\n\treturn 2 * x\r\n", json.loads(ROW), True),
        ("while True: pass", {"test_list": ["pass"]}, False),
        ("import sys\nsys.exit(0)", {"test_list": ["pass"]}, False),
        ("class Node: pass", {"test_setup_code": "root = Node()", "test_list": ["assert root"]}, True),
        ("x = 2", {"test_imports": ["import math"], "test_list": ["assert math.sqrt(4) == x"]}, True),
        ("x = 2", {"test": "assert x == 3", "test_list": ["assert x == 2"], "test_imports": []}, False),
        ("x = 2", {"test": "for i in range(3):\n    assert x == 2", "test_imports": ["import math"]}, True),
        ("x = 0.1 + 0.2", {"test": "import numpy as np\nassert np.allclose(x, 0.3)", "test_imports": []}, True),
        ("x = 0.4", {"test": "import numpy as np\nassert np.allclose(x, 0.3)", "test_imports": []}, False),
    ],
)
def test_grades(program: str, row: dict, correct: bool, monkeypatch: pytest.MonkeyPatch):
    limits = sandbox.Limits(cpu_seconds=1.0 if program.startswith("while True") else 10.0)
    run = sandbox.run
    monkeypatch.setattr(sandbox, "run", lambda program, tests: run(program, tests, limits))
    found = grade(f"```python\n{program}\n```", json.dumps(row))
    assert found == Grade(correct=correct, extracted=program.rstrip())


def test_grades_without_a_sandbox():
    assert grade_without_sandbox(DOUBLE, ROW) == Grade(correct=True, extracted=DOUBLE)
    assert grade_without_sandbox(TRIPLE, ROW) == Grade(correct=False, extracted=TRIPLE)
    assert grade_without_sandbox("I cannot do that.", ROW) == Grade(correct=False, extracted=None)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({}, "the reference has neither `test` nor `test_list`"),
        ({"test_list": [], "test": ""}, "the reference has neither `test` nor `test_list`"),
        ({"test_list": ["assert double(4 == 8"]}, "the reference's tests do not compile"),
    ],
)
def test_a_row_without_tests_is_no_fault_of_the_answer(row: dict, error: str):
    assert grade(DOUBLE, json.dumps(row)) == Grade(correct=None, extracted=DOUBLE, error=error)


def test_a_sandbox_that_fails_is_no_fault_of_the_answer(monkeypatch: pytest.MonkeyPatch):
    failing = ("/bin/sh", "-c", "echo bwrap: no namespace >&2; exit 1")
    monkeypatch.setattr(bailiff, "bubblewrap", lambda *_, **__: failing)
    assert grade(DOUBLE, ROW) == Grade(correct=None, extracted=DOUBLE, error="bwrap: no namespace")


FAILING: dict[int, str] = {}  # of MBPP's own solutions by task_id, with the cause


@needs_sandbox
@pytest.mark.slow
def test_mbpps_own_solutions_pass():
    if "EM_BENCHMARK_DATA" not in os.environ:
        pytest.skip("set EM_BENCHMARK_DATA to a folder with mbpp.jsonl")
    lines = (Path(os.environ["EM_BENCHMARK_DATA"]) / "mbpp.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 974

    def graded(row: dict) -> Grade:
        return grade(f"So:\n```python\n{row['code']}\n```\n", json.dumps(row))

    with ThreadPoolExecutor(2) as pool:
        grades = dict(zip([row["task_id"] for row in rows], pool.map(graded, rows), strict=True))
    assert [task for task, found in grades.items() if found.error is not None] == []
    assert {task for task, found in grades.items() if not found.correct} == set(FAILING)
