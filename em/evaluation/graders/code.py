"""Python programs: an answer is right when the program in it passes the problem's tests (MBPP, EvalPlus's MBPP+).

The reference is the benchmark's row as a JSON object: MBPP's `test_list`, `test_setup_code` and `test_imports`, or,
where there is one, EvalPlus's `test`, a whole script.  What a program does badly, time-outs included, makes it wrong;
only a sandbox that fails, or a row that has no tests or none that can be run, leaves an answer without a grade.
"""

import json
from collections.abc import Callable
from functools import lru_cache

from em.evaluation import sandbox
from em.evaluation.graders import Grade, programs
from em.evaluation.graders.programs import extract, fault
from em.evaluation.sandbox.script import Script, read


def grade(text: str, reference: str) -> Grade:
    """Whether the program in the text passes the tests, run in a sandbox; sandbox.check() tells where none starts."""
    return _grade(text, reference, sandbox.run)


def grade_without_sandbox(text: str, reference: str) -> Grade:
    """The same with no protection from the program but limits on what it uses."""
    return _grade(text, reference, sandbox.run_without_sandbox)


def is_final(text: str, reference: str) -> bool:
    """Whether the program that is tested stands before a [DONE]; compiles what stands there."""
    try:
        return programs.is_final(text, tests(reference).names)
    except TestsError:
        return False


def inside(reference: str) -> bool:
    """Whether these tests run beside the program, so that an answer written against that can cheat.

    The row decides, so this tells of all grades of a problem, recorded ones too.
    """
    return tests(reference).beside


def _grade(text: str, reference: str, run: Callable[[str, str], sandbox.Verdict]) -> Grade:
    try:
        script = tests(reference)
    except TestsError as error:
        return Grade(correct=None, extracted=extract(text), error=str(error))
    program = extract(text, script.names)
    if program is None or fault(program) is not None:
        return Grade(correct=False, extracted=program)
    try:
        return Grade(correct=run(program, script.source).passed, extracted=program)
    except (sandbox.SandboxError, sandbox.UnfitError) as error:
        return Grade(correct=None, extracted=program, error=str(error))


class TestsError(ValueError):
    """A reference that no program can be tested with."""

    __test__ = False  # its name is no test class


@lru_cache(maxsize=64)  # samples of one problem come together
def tests(reference: str) -> Script:
    """The script that tests a program; TestsError where the row has none that compiles."""
    row = json.loads(reference)
    script = row.get("test") or "\n".join(row.get("test_list") or [])
    if not script:
        raise TestsError("the reference has neither `test` nor `test_list`")
    script = "\n".join([*(row.get("test_imports") or []), row.get("test_setup_code") or "", script])
    if fault(script) is not None:
        raise TestsError("the reference's tests do not compile")
    return read(script)
