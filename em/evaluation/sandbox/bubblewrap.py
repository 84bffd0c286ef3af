"""The commands: a bare interpreter, and bubblewrap around it."""

import marshal
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

from em.evaluation.sandbox.seccomp import filter_for

START_SECONDS = 60.0  # a machine that needs longer until the program begins is not fit to time it
COMPLAINT_BYTES = 1 << 16
UIDS_EACH_PROCESS = 64  # sandboxes that one process may run at once, each with a user id of its own
LIBRARIES = tuple(map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64")))
ENVIRONMENT = {
    "HOME": "/tmp",
    "PYTHONHASHSEED": "0",  # the order of a set of strings is the same each time, and so is the grade
    "OPENBLAS_NUM_THREADS": "1",  # its threads would count as processes
}
LOADER_CACHE = Path("/etc/ld.so.cache")  # where libraries are
PACKAGES = Path("/packages")  # in the sandbox: wherever NumPy lies here, a program finds it at one place
PARTS = "em.evaluation.sandbox"
BOOT = """
import marshal, posix, sys
modules, arguments = marshal.loads(posix.read(0, posix.fstat(0).st_size))
for name, code in modules:
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main(*arguments)
"""


class SandboxError(RuntimeError):
    """The sandbox itself failed: nothing is known of the program."""


def start(
    prefix: tuple[str, ...], request: bytes, channel: int, folder: str | None = None, dies_with_thread: bool = True
) -> subprocess.Popen[bytes]:
    """An interpreter that runs a request; its stdout is the channel, its stderr a pipe.  Raises SandboxError.

    `dies_with_thread`: bubblewrap ends with the thread that started it.
    """
    passed: list[int] = []
    try:
        options: list[str] = []
        if prefix:
            options += ["--die-with-parent"] if dies_with_thread else []
            if rules := filter_for():
                passed.append(in_memory(rules))
                options += ["--seccomp", str(passed[0])]
        stdin = in_memory(request)
        passed.append(stdin)
        return subprocess.Popen(
            [*prefix, *options, *python()],
            stdin=stdin,
            stdout=channel,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd=folder,
            start_new_session=True,  # a group to kill, and no terminal
            pass_fds=passed[:-1],
            bufsize=0,
        )
    except OSError as error:
        raise SandboxError(f"cannot start {(*prefix, *python())[0]}: {error}") from error
    finally:
        for descriptor in passed:
            os.close(descriptor)


def in_memory(content: bytes) -> int:
    """A descriptor to read it from: unlike a pipe it takes any length at once."""
    descriptor = os.memfd_create("request")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def complaint(process: subprocess.Popen[bytes]) -> str:
    """The last line of what a process said that has failed to start."""
    try:
        status = process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        return f"nothing began within {START_SECONDS:g} s"
    said = b""
    if process.stderr is not None and not process.stderr.closed:
        said = process.stderr.read(COMPLAINT_BYTES) or b""
    return (said.decode(errors="replace").strip().splitlines() or [f"exit status {status}"])[-1]


def end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # bubblewrap's death ends all that it holds
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


@cache
def spare_uids() -> range:
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
def python() -> tuple[str, ...]:
    """A bare interpreter that runs what stdin holds: no site-packages, no user's settings, nothing written."""
    return (str(executable()), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", BOOT)


def request(parts: tuple[str, ...], *arguments: Any) -> bytes:
    """What stdin is to hold: modules of this folder, the last of which has a `main`, and what it is called with."""
    return marshal.dumps((tuple((f"{PARTS}.{part}", code(part)) for part in parts), arguments))


@cache
def code(part: str) -> CodeType:
    """Compiled here, where that happens once."""
    return compile(Path(__file__).with_name(f"{part}.py").read_text(), f"<{part}>", "exec", dont_inherit=True)


@cache
def executable() -> Path:
    """Not the virtual environment's, even where that is a copy: it would look for its environment."""
    return Path(sys._base_executable).resolve()  # pyright: ignore[reportAttributeAccessIssue]


@cache
def packages() -> list[Path]:
    """The folders of NumPy, which tests and answers may use (EvalPlus's tests all do)."""
    spec = find_spec("numpy")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent
    return [path for path in (folder, folder.with_name("numpy.libs")) if path.is_dir()]


@cache
def bubblewrap(folder_bytes: int, with_uid: bool) -> tuple[str, ...]:
    """The command that starts what follows it in a sandbox; `with_uid`: as root, for code that changes its id."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed")
    mounts: list[str] = []
    prefix = Path(sys.base_prefix).resolve()
    wanted = dict.fromkeys([*LIBRARIES, executable(), prefix / "lib", prefix / "lib64"])
    paths = [path for path in wanted if path.exists() and not any(known in path.parents for known in LIBRARIES)]
    folders = {PACKAGES, *(parent for path in (*paths, LOADER_CACHE) for parent in path.parents)} - {Path("/")}
    for folder in sorted(folders):
        mounts += ["--dir", str(folder)]  # bubblewrap would make it, for root alone
    for path in paths:
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), str(path)]
        else:
            mounts += ["--ro-bind", str(path), str(path)]
    for path in packages():
        mounts += ["--ro-bind", str(path), str(PACKAGES / path.name)]
    if with_uid:
        privileges = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        privileges = ["--unshare-user"]
        if not os.statvfs("/proc/sys/user").f_flag & os.ST_RDONLY:
            privileges += ["--disable-userns"]  # writes there, and stops in containers where it may not
    return (
        program,
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *privileges,
        *("--perms", "1777", "--size", str(folder_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),
        *mounts,
        *("--ro-bind-try", str(LOADER_CACHE), str(LOADER_CACHE)),
        *("--dir", "/dev", "--symlink", "/tmp", "/dev/shm"),  # semaphores are files there
        *("--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom"),
        *("--remount-ro", "/"),  # bubblewrap's own root is a folder in memory without a limit
    )
