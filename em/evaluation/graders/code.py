"""Python programs: an answer is right when the program in it passes the problem's tests (MBPP, EvalPlus's MBPP+).

The reference is the benchmark's row as a JSON object: MBPP's `test_list`, `test_setup_code` and `test_imports`, or,
where there is one, EvalPlus's `test`, a whole script.  What a program does badly, time-outs included, makes it wrong;
only a sandbox that fails, or a row without tests, leaves an answer without a grade.
"""

import json
import re
import textwrap
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache

from em.evaluation import sandbox
from em.evaluation.graders import Grade

FENCE = re.compile(r"```[^\n`]+```|```([^\n`]*)\n(.*?)(```|\Z)", re.DOTALL)  # the first: a span within a line
LANGUAGES = ("python", "py", "python3")
PROGRAM_START = re.compile(r"(?:async def|def|class|from|import)\s|@\w")
DEFINES = re.compile(r"^(?:(?:async )?def |class |\w+ *= *lambda\b)", re.MULTILINE)
BINDS = re.compile(r"^\w+ *=(?!=)", re.MULTILINE)
TRIES = 100  # programs compiled in search of one within prose: a tenth of a second
UNCOMPILED = (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError)  # what compile() makes of any text

_filters = threading.Lock()  # catch_warnings() changes the process


def grade(text: str, reference: str) -> Grade:
    """Whether the program in the text passes the tests, run in a sandbox; sandbox.check() tells where none starts."""
    return _grade(text, reference, sandbox.run)


def grade_without_sandbox(text: str, reference: str) -> Grade:
    """The same with no protection from the program but limits on what it uses."""
    return _grade(text, reference, sandbox.run_without_sandbox)


def _grade(text: str, reference: str, run: Callable[[str, str], sandbox.Verdict]) -> Grade:
    program = extract(text)
    if program is None or _fault(program) is not None:
        return Grade(correct=False, extracted=program)
    try:
        return Grade(correct=run(program, tests(reference)).passed, extracted=program)
    except (sandbox.SandboxError, TestsError) as error:
        return Grade(correct=None, extracted=program, error=str(error))


class TestsError(ValueError):
    """A reference that no program can be tested with."""

    __test__ = False  # its name is no test class


@lru_cache(maxsize=64)  # samples of one problem come together, and a script of EvalPlus may have 100 kB
def tests(reference: str) -> str:
    """The script that runs after the program; TestsError where the row has none that compiles."""
    row = json.loads(reference)
    script = row.get("test") or "\n".join(row.get("test_list") or [])
    if not script:
        raise TestsError("the reference has neither `test` nor `test_list`")
    script = "\n".join([*(row.get("test_imports") or []), row.get("test_setup_code") or "", script])
    if _fault(script) is not None:
        raise TestsError("the reference's tests do not compile")
    return script


def extract(text: str) -> str | None:
    """The program in an answer; None: there is none.  What is found may not compile.

    In this order: the last complete fenced block that defines a function or class, or binds a name (others show how
    it is used), of Python or of no language (which may be a program's output, so it comes second); the last one
    otherwise, or an unclosed one; what stands before [DONE]; all of the text; its longest part that compiles.
    """
    text, done, _ = text.partition("[DONE]")  # base models go on with a next problem
    fenced = _fenced(text)
    if fenced is not None:
        return fenced
    text = _dedented(text.rpartition("[BEGIN]")[2])
    if not text:
        return None
    return text if done or _fault(text) is None else _leading(text.split("\n"))


def _fenced(text: str) -> str | None:
    complete: list[tuple[bool, bool, bool, str]] = []
    unclosed = None
    for info, body, end in FENCE.findall(text):
        language = info.strip().lower()
        program = _dedented(body)
        if not program or (language and language.split()[0] not in LANGUAGES):
            continue
        if end:
            complete.append((bool(DEFINES.search(program)), bool(BINDS.search(program)), bool(language), program))
        else:
            unclosed = program
    return max(reversed(complete), key=lambda block: block[:-1])[-1] if complete else unclosed


def _dedented(source: str) -> str:
    """Without blank lines around it, and without the margin of a fenced block in a list."""
    source = source.strip("\r\n").rstrip()
    if source[:1].isspace():
        source = textwrap.dedent(source).strip()
    return source


def _leading(lines: list[str]) -> str | None:
    """The longest part that compiles, from the first line on that begins like a program and gives any."""
    tries = TRIES
    for start, line in enumerate(lines):
        end = len(lines) if PROGRAM_START.match(line) else start
        while end > start and tries:
            tries -= 1
            program = "\n".join(lines[start:end])
            fault = _fault(program)
            if fault is None:
                return program.rstrip()
            end = min(end - 1, start + fault - 1) if fault else end - 1  # no part with the line at fault compiles
    return None


def _fault(source: str) -> int | None:
    """None where the source compiles, else the line at fault, from 1; 0 where Python names none."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning that is an error somewhere must not decide a grade
        try:
            compile(source, "<answer>", "exec", dont_inherit=True)
        except UNCOMPILED as error:
            return (error.lineno or 0) if isinstance(error, SyntaxError) else 0
    return None
