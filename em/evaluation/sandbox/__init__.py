"""Runs Python programs that nobody has read against tests, in two interpreters: an answer's and a judge's.

The tests run in the judge, which never runs an answer.  What they call is in the answer's interpreter, and plain data
alone crosses between the two (em.evaluation.sandbox.wire), so a program has passed when the judge says so, and whatever
it does to its own interpreter gives no more than other return values.  Some scripts need more than plain data; they run
beside the program, and the verdict says so (em.evaluation.sandbox.script).  One judge lives as long as the process that
grades, and forks for each script of tests.

Each answer has a bubblewrap sandbox of its own, and the judge has one too.  A program gets no network, no file of the
host but the interpreter's libraries (read-only), a small folder in memory, no environment, the system calls that Python
needs (em.evaluation.sandbox.seccomp), and limits on memory, processor time, file size, files and processes.  Everything
that it started ends with it.  Its time is that of processors, so that a busy machine gives the same verdict, and
sleeping is limited apart.

What it does not protect against: holes in the kernel within these system calls.  Sums over the processes of an answer
(processor, memory, files) are looked up four times a second, and may be passed for so long.
"""

import shutil
import sys
import tempfile
from functools import cache

from em.errors import InputError
from em.evaluation.sandbox import bailiff, script
from em.evaluation.sandbox.bailiff import MIB, Limits, UnfitError, Verdict
from em.evaluation.sandbox.bubblewrap import SandboxError, spare_uids

__all__ = ["DEFAULT", "MIB", "Limits", "SandboxError", "UnfitError", "Verdict", "check", "run", "run_without_sandbox"]

DEFAULT = Limits()


def run(program: str, tests: str, limits: Limits = DEFAULT) -> Verdict:
    """How a program does on tests; SandboxError where no sandbox starts, UnfitError where the tests are at fault."""
    return bailiff.sandboxed(program, script.read(tests), limits)


def run_without_sandbox(program: str, tests: str, limits: Limits = DEFAULT) -> Verdict:
    """The same under limits alone: the program can do what this user can, and leave processes that change session.

    The kernel counts all of this user's processes, and none of root's: as a user it starts none, as root any number.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return bailiff.bare(program, script.read(tests), limits, folder)


@cache
def check(field: str = "benchmarks.mbpp.grader=code") -> None:
    """Raise InputError, with what to install or to set, unless a sandbox starts here; it tries one, once a `field`."""
    opt_out = f"or run what models write without protection: {field}_without_sandbox"
    if shutil.which("bwrap") is None:
        raise InputError(f"{field}: bubblewrap is not installed: `apt install bubblewrap`, {opt_out}")
    try:
        verdict = run("from re import match", "assert match('a', 'a')")
    except SandboxError as error:
        if "nknown option" in str(error):
            remedy = "install bubblewrap 0.8 or newer"
        elif spare_uids():
            remedy = "give the container CAP_SYS_ADMIN, or run as a user who may create user namespaces"
        else:
            remedy = (
                "allow user namespaces (`sysctl kernel.unprivileged_userns_clone=1`; on Ubuntu 24.04 an AppArmor "
                "profile for bwrap, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`)"
            )
        raise InputError(f"{field}: no sandbox starts here ({error}): {remedy}, {opt_out}") from None
    if not verdict.passed:
        remedy = f"make {sys.base_prefix}/lib readable for all users"
        raise InputError(f"{field}: `import re` fails in the sandbox ({verdict.detail}): {remedy}, {opt_out}")
