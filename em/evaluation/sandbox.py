"""Runs Python programs that nobody has read, each in a bubblewrap sandbox of its own, against tests.

A program gets no network, no file of the host but the interpreter's libraries (read-only), a small folder in memory,
no environment, and limits on memory, processor time, file size, processes and wall time.  Everything that it started
ends with it.  It passes when all tests have run: the runner (em.evaluation.sandboxed) then returns a nonce that it was
handed before, so that neither an exit status nor a printed word is success.

What it does not protect against: holes in the kernel (there is no system call filter), and cheating by a program that
is written against this very runner.  Program and tests share one interpreter, as they must, so an object that equals
everything passes, and raw memory can be searched for the nonce.  Memory is limited for each process, not for their sum,
and shared memory and memfds are not counted.
"""

import itertools
import marshal
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from em.errors import InputError
from em.evaluation.sandboxed import NONCE_BYTES, READY

MIB = 1 << 20
START_SECONDS = 40.0  # a machine that needs longer until the program begins is not fit to time it
REPORT_BYTES = 1 << 16  # an honest report has a hundred
OPEN_FILES = 64
UIDS_EACH_PROCESS = 64  # sandboxes that one process may run at once, each with a user id of its own
ENVIRONMENT = {
    "HOME": "/tmp",
    "PYTHONHASHSEED": "0",  # the order of a set of strings is the same each time, and so is the grade
    "OPENBLAS_NUM_THREADS": "1",  # its threads would count as processes
}
LIBRARIES = tuple(map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64")))
LOADER_CACHE = Path("/etc/ld.so.cache")  # where libraries are
PACKAGES = Path("/packages")  # in the sandbox: wherever NumPy lies here, a program finds it at one place

_serial = itertools.count()


class SandboxError(RuntimeError):
    """The sandbox itself failed: nothing is known of the program."""


@dataclass(frozen=True)
class Limits:
    wall_seconds: float = 10.0  # from the program's first line to the last test
    cpu_seconds: int = 12  # each process
    memory_bytes: int = 512 * MIB  # address space, each process
    file_bytes: int = 32 * MIB  # each file, and the working folder as a whole
    processes: int = 8  # and threads, the program's own included


@dataclass(frozen=True)
class Verdict:
    outcome: str  # "passed", "assertion", "exception", "timeout", "killed" by a signal, or "exited" with tests to run
    detail: str = ""  # the exception's type, the signal's name, the exit status

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


DEFAULT = Limits()


def run(program: str, tests: str, limits: Limits = DEFAULT) -> Verdict:
    """How a program does on tests that run after it in its namespace; SandboxError where no sandbox starts."""
    uids = _spare_uids()
    uid = uids[(os.getpid() * UIDS_EACH_PROCESS + next(_serial) % UIDS_EACH_PROCESS) % len(uids)] if uids else None
    return _run(_bubblewrap(limits.file_bytes, with_uid=uid is not None), None, program, tests, limits, uid)


def run_without_sandbox(program: str, tests: str, limits: Limits = DEFAULT) -> Verdict:
    """The same under limits alone: the program can do what this user can, and leave processes that change session.

    The kernel counts all of this user's processes, and none of root's: as a user it starts none, as root any number.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return _run((), folder, program, tests, limits, None)


@cache
def check(field: str = "benchmarks.mbpp.grader=code") -> None:
    """Raise InputError, with what to install or to set, unless a sandbox starts here; it tries one, once a `field`."""
    opt_out = f"or run what models write without protection: {field}_without_sandbox"
    if shutil.which("bwrap") is None:
        raise InputError(f"{field}: bubblewrap is not installed: `apt install bubblewrap`, {opt_out}")
    try:
        verdict = run("import re", "assert re.match('a', 'a')")
    except SandboxError as error:
        if "nknown option" in str(error):
            remedy = "install bubblewrap 0.8 or newer"
        elif _spare_uids():
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


def _run(
    prefix: tuple[str, ...], folder: str | None, program: str, tests: str, limits: Limits, uid: int | None
) -> Verdict:
    limited = [
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ]
    packages = [str(PACKAGES if prefix else path.parent) for path in _packages()[:1]]
    nonce = os.urandom(NONCE_BYTES // 2).hex().encode()
    with os.fdopen(os.memfd_create("request"), "w+b") as request:  # unlike a pipe it takes any length at once
        request.write(nonce + marshal.dumps((program, tests, packages, uid, limited)))
        request.seek(0)
        try:
            process = subprocess.Popen(
                [*prefix, *_python()],
                stdin=request,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                cwd=folder,
                start_new_session=True,  # a group to kill, and no terminal
                bufsize=0,
            )
        except OSError as error:
            raise SandboxError(f"cannot start {(*prefix, *_python())[0]}: {error}") from error
    assert process.stderr is not None
    with process.stderr:
        try:
            return _verdict(process, process.stderr.fileno(), nonce, limits.wall_seconds)
        finally:
            with suppress(ProcessLookupError):  # bubblewrap's death ends all that it holds
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _verdict(process: subprocess.Popen[bytes], report: int, nonce: bytes, wall_seconds: float) -> Verdict:
    """Listen until the runner has reported, the last process has gone or time is up."""
    ready = select.poll()
    ready.register(report, select.POLLIN)
    said, begun = b"", False
    deadline = time.monotonic() + START_SECONDS
    while ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
        chunk = os.read(report, 4096)
        said += chunk
        if not begun and READY in said:
            begun, deadline = True, time.monotonic() + wall_seconds
        word, newline, _ = said.partition(nonce)[2].partition(b"\n")
        if newline:
            outcome, _, detail = word.decode(errors="replace").partition(" ")
            return Verdict(outcome, detail)
        if len(said) > REPORT_BYTES:
            return Verdict("exited", "it wrote to the runner's report")
        if not chunk:
            return _ended(process, said, begun, max(0.0, deadline - time.monotonic()))
    if not begun:
        raise SandboxError(f"no program began within {START_SECONDS:g} s")
    return Verdict("timeout", f"{wall_seconds:g} s")


def _ended(process: subprocess.Popen[bytes], said: bytes, begun: bool, seconds: float) -> Verdict:
    """The verdict on a program whose report ended without a word."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return Verdict("timeout", "it closed the runner's report")
    if not begun:
        complaint = said.decode(errors="replace").strip().splitlines() or [f"exit status {status}"]
        raise SandboxError(complaint[-1])
    number = -status if status < 0 else status - 128  # bubblewrap says 128 + signal, as a shell does
    if number in set(signal.Signals):
        return Verdict("killed", signal.Signals(number).name)
    return Verdict("exited", str(status))


@cache
def _spare_uids() -> range:
    """User ids that nobody is likely to have, where this process may change to one; else none.

    Root is exempt from the limit on processes, and others share one count for each user id: so each sandbox of root
    gets an id of its own.  Without root, bubblewrap's user namespace starts a count of its own.
    """
    if os.geteuid() != 0:
        return range(0)
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    first, count = max(
        ((int(inside), int(count)) for inside, _, count in map(str.split, lines)), key=lambda pair: pair[1]
    )
    return range(first + count // 2, first + count) if count > UIDS_EACH_PROCESS else range(0)


@cache
def _python() -> tuple[str, ...]:
    """A bare interpreter that runs the runner: no site-packages, no user's settings, nothing written."""
    runner = Path(__file__).with_name("sandboxed.py").read_text()
    return (str(_executable()), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", runner)


@cache
def _executable() -> Path:
    """Not the virtual environment's, even where that is a copy: it would look for its environment."""
    return Path(sys._base_executable).resolve()  # pyright: ignore[reportAttributeAccessIssue]


@cache
def _packages() -> list[Path]:
    """The folders of NumPy, which tests and answers may use (EvalPlus's tests all do)."""
    spec = find_spec("numpy")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent
    return [path for path in (folder, folder.with_name("numpy.libs")) if path.is_dir()]


@cache
def _bubblewrap(folder_bytes: int, with_uid: bool) -> tuple[str, ...]:
    """The command that starts what follows it in a sandbox; `with_uid`: as root, for a runner that changes its id."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed")
    mounts: list[str] = []
    prefix = Path(sys.base_prefix).resolve()
    wanted = dict.fromkeys([*LIBRARIES, _executable(), prefix / "lib", prefix / "lib64"])
    paths = [path for path in wanted if path.exists() and not any(known in path.parents for known in LIBRARIES)]
    folders = {PACKAGES, *(parent for path in (*paths, LOADER_CACHE) for parent in path.parents)} - {Path("/")}
    for folder in sorted(folders):
        mounts += ["--dir", str(folder)]  # bubblewrap would make it, for root alone
    for path in paths:
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), str(path)]
        else:
            mounts += ["--ro-bind", str(path), str(path)]
    for path in _packages():
        mounts += ["--ro-bind", str(path), str(PACKAGES / path.name)]
    if with_uid:
        privileges = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        privileges = ["--unshare-user"]
        if not os.statvfs("/proc/sys/user").f_flag & os.ST_RDONLY:
            privileges += ["--disable-userns"]  # writes there, and stops in containers where it may not
    return (
        program,
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--die-with-parent"),
        *privileges,
        *("--perms", "1777", "--size", str(folder_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),
        *mounts,
        *("--ro-bind-try", str(LOADER_CACHE), str(LOADER_CACHE)),
        *("--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"),
        *("--remount-ro", "/"),  # bubblewrap's own root is a folder in memory without a limit
    )
