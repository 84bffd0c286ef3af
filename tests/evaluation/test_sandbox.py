"""The sandbox: what honest programs may do, what others try, and that the next program is judged right after each."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.errors import InputError
from em.evaluation import graders, sandbox
from em.evaluation.sandbox import MIB, Limits, SandboxError, Verdict
from em.trial.evaluation import Benchmark

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = (
    os.geteuid() == 0 or subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0
)
pytestmark = pytest.mark.skipif(not NAMESPACES, reason="neither root nor allowed to create user namespaces")

GOOD, TESTS = "def double(x): return 2 * x", "assert double(4) == 8"
SHORT = Limits(wall_seconds=1.0)  # for what never ends
LONG = Limits(wall_seconds=30.0)  # for what ends by itself, on a busy machine too
TELL = "def tell(*words): raise type('_'.join(map(str, words)), (Exception,), {})\n"  # a program's way to say something


def contained(program: str, limits: Limits = LONG, tests: str = TESTS) -> Verdict:
    """The verdict on a program that must not pass; the next one must be judged right, both ways."""
    verdict = sandbox.run(TELL + program, tests, limits)
    assert not verdict.passed
    assert sandbox.run(GOOD, TESTS) == Verdict("passed")
    assert sandbox.run(GOOD, "assert double(4) == 9") == Verdict("assertion")
    return verdict


def processes_with(marker: str) -> list[int]:
    """Living processes on this machine that have the marker among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
    return found


def assert_gone(marker: str) -> None:
    deadline = time.monotonic() + 30
    while processes_with(marker):
        assert time.monotonic() < deadline, processes_with(marker)
        time.sleep(0.02)


def sleeper(marker: str) -> str:
    """Program text: becomes a process that sleeps, recognised by the marker."""
    return f"os.execv(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(60)', {marker!r}])"


# What honest programs may do


@pytest.mark.parametrize(
    ("program", "tests", "verdict"),
    [
        (GOOD, TESTS, Verdict("passed")),
        (GOOD, "assert double(4) == 9", Verdict("assertion")),
        (GOOD, "assert triple(4) == 12", Verdict("exception", "NameError")),
        ("def double(x):", TESTS, Verdict("exception", "IndentationError")),
        ("double = input", "double()", Verdict("exception", "EOFError")),
        ("assert __name__ != '__main__'", "", Verdict("passed")),
        (
            "import re, math, heapq, collections, itertools, bisect, functools, typing, datetime, random",
            "",
            Verdict("passed"),
        ),
        ("open('file', 'w').write('text')", "assert open('/tmp/file').read() == 'text'", Verdict("passed")),
        ("import os", "assert os.listdir() == [] and os.getcwd() == '/tmp'", Verdict("passed")),
        ("import numpy as np", "assert np.allclose(np.eye(3) @ np.ones(3), 1)", Verdict("passed")),
        ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", "", Verdict("passed")),
        ("import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int", "assert P(3) == P(3)", Verdict("passed")),
        ("def f(n): return n and 1 + f(n - 1)", "assert f(900) == 900", Verdict("passed")),
        ("# " + "x" * 1_000_000 + "\n" + GOOD, TESTS, Verdict("passed")),  # longer than any pipe
    ],
)
def test_verdicts(program: str, tests: str, verdict: Verdict):
    assert sandbox.run(program, tests) == verdict


def test_a_verdict_can_be_repeated():
    """The order of a set of strings would differ with each interpreter."""
    program = TELL + "tell(*set(map(str, range(30))))"
    assert sandbox.run(program, "") == sandbox.run(program, "")


def test_many_at_once_from_threads():
    def verdicts(number: int) -> tuple[Verdict, Verdict]:
        tests = f"assert double({number}) == {2 * number}"
        return sandbox.run(GOOD, tests), sandbox.run("def double(x): return 0", tests)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(verdicts, range(1, 25))) == {(Verdict("passed"), Verdict("assertion"))}


# What others try


def test_forks_400_processes():
    """Two at once: each has a count of its own."""
    marker = uuid.uuid4().hex
    program = f"""
import os, sys, time
forked = 0
try:
    for _ in range(400):
        if os.fork() == 0:
            {sleeper(marker)}
        forked += 1
except BlockingIOError:
    time.sleep(1)  # so that both are at it together
    tell("forked", forked)
"""
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(contained, [program, program]))
    for verdict in verdicts:
        assert verdict.outcome == "exception"
        word, forked = verdict.detail.split("_")
        assert word == "forked"
        assert Limits().processes - 2 <= int(forked) <= Limits().processes - 1
    assert_gone(marker)


def test_eats_memory():
    program = "kept = []\nwhile True: kept.append(b'x' * 10_000_000)"
    assert contained(program) == Verdict("exception", "MemoryError")


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import time\nwhile True: time.sleep(1000)",
        "import signal\nfor s in set(signal.Signals) - {9, 19}: signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "import os\nos.closerange(0, 64)\nwhile True: pass",
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\nthreading.Event().wait()",
    ],
)
def test_never_ends(program: str):
    assert contained(program, SHORT) == Verdict("timeout", "1 s")


def test_opens_sockets():
    name = uuid.uuid4().hex
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{name}")
        unix.listen()
        program = f"""
import socket
reached = []
for family, address in [(socket.AF_INET, {listener.getsockname()!r}), (socket.AF_UNIX, "\\0{name}")]:
    try:
        socket.socket(family).connect(address)
        reached.append(family.name)
    except OSError:
        pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"word", ("192.0.2.1", 53))
    reached.append("datagram")
except OSError:
    pass
try:
    socket.getaddrinfo("example.com", 80)
    reached.append("name")
except socket.gaierror:
    pass
tell("reached", *reached)
"""
        assert contained(program) == Verdict("exception", "reached")
        for server in (listener, unix):
            server.settimeout(0.05)
            with pytest.raises(TimeoutError):
                server.accept()


def test_reads_what_is_the_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    allowed = {"/dev/null", "/dev/urandom", "/etc/ld.so.cache", str(Path(sys.executable).resolve())}
    paths = ["/etc/shadow", "/etc/passwd", "/proc/1/environ", "/proc/self/environ", str(secret), str(Path(__file__))]
    program = f"""
import os
read = []
for path in {paths!r}:
    try:
        open(path).read()
        read.append(path)
    except OSError:
        pass
read += [name for name in os.environ if "SECRET" in name]
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if name != "lib" and not name.startswith(("lib64", "numpy"))]
    read += {{os.path.join(folder, name) for name in files}} - {allowed!r}
tell("read", *read)
"""
    assert contained(program) == Verdict("exception", "read")


def test_writes_outside_its_folder(tmp_path: Path):
    name = f"marker-{uuid.uuid4().hex}"
    folders = ["/", "/usr", "/usr/lib", "/etc", "/dev", "/root", "/home", sys.base_prefix, f"{sys.base_prefix}/lib"]
    folders += [str(Path.home()), str(ROOT), str(tmp_path), "/var/tmp", "/dev/shm", "/tmp"]
    program = f"""
written = []
for folder in {folders!r}:
    try:
        open(folder + "/{name}", "w").write("x")
        written.append(folder)
    except OSError:
        pass
tell(*written)
"""
    assert contained(program) == Verdict("exception", "/tmp")
    assert [folder for folder in folders if (Path(folder) / name).exists()] == []


def test_becomes_root():
    program = """
import os
became = []
calls = [("setuid", 0), ("setgid", 0), ("seteuid", 0), ("setgroups", [0]), ("chroot", "/tmp"), ("nice", -5)]
for name, argument in calls:
    try:
        getattr(os, name)(argument)
        became.append(name)
    except OSError:
        pass
tell("became", *became)
"""
    assert contained(program) == Verdict("exception", "became")


def test_writes_a_file_of_1_gb():
    program = """
import os
written = 0
try:
    for number in range(20):  # the limit on each file, then on all of them
        file = os.open(str(number), os.O_CREAT | os.O_WRONLY)
        try:
            for _ in range(1000):
                written += os.write(file, b"x" * 1_000_000)
        except OSError:
            pass
finally:
    tell("wrote", written)
"""
    verdict = contained(program, Limits(wall_seconds=30.0, file_bytes=8 * MIB))
    assert verdict.outcome == "exception"
    assert int(verdict.detail.removeprefix("wrote_")) <= 8 * MIB


@pytest.mark.parametrize(
    "write", ["print(line)", "sys.stderr.write(line)", "os.write(1, line.encode())", "os.write(2, line.encode())"]
)
def test_prints_1_gb(write: str):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program = f"import os, sys\nline = 'x' * 1_000_000\nfor _ in range(1000): {write}\ntell('done')"
    assert contained(program) == Verdict("exception", "done")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_floods_every_descriptor():
    program = """
import os
while True:
    for descriptor in range(64):
        try:
            os.write(descriptor, b"x" * 1_000_000)
        except OSError:
            pass
"""
    assert contained(program) == Verdict("exited", "it wrote to the runner's report")


def test_kills_its_parent_pid_1_and_everything():
    program = """
import os
for target in (os.getppid(), 1, -1, 0):
    try:
        os.kill(target, 9)
    except OSError:
        pass
tell("alive")
"""
    assert contained(program).outcome == "killed"
    assert contained(program.replace(", 0)", ")")) == Verdict("exception", "alive")


def daemon(marker: str) -> str:
    return f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        {sleeper(marker)}
    os._exit(0)
time.sleep(1.5)
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "1 / 0", "os.kill(os.getpid(), 9)", GOOD])
def test_leaves_a_daemon(end: str):
    """Whether the program passes or not."""
    marker = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as pool:
        verdict = pool.submit(sandbox.run, daemon(marker) + end, TESTS)
        while not (seen := processes_with(marker)) and not verdict.done():
            time.sleep(0.02)
        verdict = verdict.result()
    assert len(seen) == 1  # it did run
    assert verdict.passed == (end == GOOD)
    assert_gone(marker)
    assert sandbox.run(GOOD, TESTS).passed


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\nos._exit(0)",
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-S', '-c', ''])",
        "import os\nif os.fork(): os._exit(0)\nos._exit(0)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    ],
)
def test_ends_early(program: str):
    assert contained(program, tests="").outcome in ("exception", "exited", "killed")


FAKE = """
import os
def say(*words):
    for descriptor in range(64):
        for word in words:
            try:
                os.write(descriptor, word)
            except OSError:
                pass
"""


def test_fakes_the_report():
    program = (
        FAKE
        + r"""
say(b"passed", b"passed\n", b"\0ready\n", b"0" * 32 + b"passed\n", b"\npassed\n")
print("passed")
os._exit(0)
"""
    )
    assert contained(program) == Verdict("exited", "0")


def test_looks_for_the_nonce():
    """In frames, among all objects, in descriptors and in /proc, and says whatever looks like it."""
    program = (
        FAKE
        + r"""
import gc, re, sys
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
for descriptor in range(64):
    for read in (lambda: os.pread(descriptor, 10_000, 0), lambda: os.read(descriptor, 10_000)):
        try:
            os.set_blocking(descriptor, False)
            seen.append(read())
        except OSError:
            pass
for folder in ("/proc/self", "/proc/1", "/proc/2", "/proc/thread-self", "/dev/fd"):
    for name in ("environ", "cmdline", "maps", "mem", "fd/0", "0"):
        try:
            seen.append(open(f"{folder}/{name}", "rb").read(1_000_000))
        except OSError:
            pass
found = {match for text in seen for match in re.findall(rb"[0-9a-f]{32}", text)}
assert depth >= 2 and len(seen) > 1000
say(*[nonce + b"passed\n" for nonce in found])
os._exit(7)
"""
    )
    assert contained(program) == Verdict("exited", "7")


@pytest.mark.parametrize(
    "program",
    [
        "import builtins\nbuiltins.exec = builtins.compile = lambda *_, **__: None",
        "import builtins\nbuiltins.AssertionError = builtins.BaseException = type('Never', (Exception,), {})",
        "import __main__\n__main__.outcome = lambda *_: b'passed'",
        "import posix\nposix.write = posix._exit = lambda *_: None",
        "import sys\nsys.modules.clear()",
        "class T(type):\n    __name__ = property(lambda _: 'passed')\nclass E(Exception, metaclass=T): pass\nraise E",
    ],
)
def test_changes_the_interpreter(program: str):
    assert contained(program).outcome in ("assertion", "exception", "exited")


@pytest.mark.parametrize("before", ["", "import sys\nsys.setrecursionlimit(10**9)\n"])
def test_recurses_without_end(before: str):
    program = before + "class A:\n    def __repr__(self): return repr(self)\nrepr(A())"
    assert contained(program) in (
        Verdict("exception", "RecursionError"),
        Verdict("exception", "MemoryError"),
        Verdict("killed", "SIGSEGV"),
    )


# What the host does


def test_an_interrupt_leaves_nothing():
    marker = uuid.uuid4().hex

    def interrupt() -> None:
        while not processes_with(marker):
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    watch = threading.Thread(target=interrupt, daemon=True)
    watch.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run("import os, sys\n" + sleeper(marker), TESTS)
    assert_gone(marker)


def test_death_of_the_grading_process_leaves_nothing():
    marker = uuid.uuid4().hex
    script = f"from em.evaluation import sandbox\nsandbox.run('import os, sys\\n' + {sleeper(marker)!r}, '')"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as grading:
        deadline = time.monotonic() + 30
        while not processes_with(f"time.sleep(60)\0{marker}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        grading.kill()
    assert_gone(f"time.sleep(60)\0{marker}")


def test_leaves_no_descriptor_and_no_zombie():
    sandbox.run(GOOD, TESTS)
    before = len([*Path("/proc/self/fd").iterdir()])
    for program in (GOOD, "while True: pass", "import os\nos._exit(0)"):
        sandbox.run(program, TESTS, Limits(wall_seconds=0.3))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    assert [pid for pid in children if "Z" in Path(f"/proc/{pid}/stat").read_text().split()] == []


UNPRIVILEGED = """
import json, sys
from em.evaluation import sandbox
sandbox.check()
fork = '''
import os, time
forked = 0
try:
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(60)
        forked += 1
except BlockingIOError:
    raise type(f"forked_{forked}", (Exception,), {})
'''
read = '''
import os
for path in ("/etc/passwd", "/proc/1/environ", %r):
    try: open(path)
    except OSError: continue
    raise RuntimeError(path)
for path in ("/x", "/dev/x", "/etc/x", "/usr/x", "/usr/lib/x"):
    try: open(path, "w")
    except OSError: continue
    raise RuntimeError(path)
''' % __file__
programs = [("x = 2", "assert x == 2"), ("x = 2", "assert x == 3"), (fork, ""), (read, ""), ("while True: pass", "")]
print(json.dumps([list(vars(sandbox.run(*each, sandbox.Limits(wall_seconds=5.0))).values()) for each in programs]))
"""


def test_as_a_user_without_privileges(tmp_path_factory: pytest.TempPathFactory):
    """Without root all tests here are of that mode."""
    if os.geteuid() != 0:
        pytest.skip("runs as a user without privileges already")
    python = "/usr/bin/python3"
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not Path(python).exists() or subprocess.run([python, "-c", probe], check=False).returncode:
        pytest.skip(f"{python}, which every user can read, is not Python 3.11 or newer")
    if subprocess.run(["unshare", "-U", "true"], user=65534, group=65534, capture_output=True, check=False).returncode:
        pytest.skip("users may not create user namespaces here")
    folder = Path("/tmp") / f"sandbox-{uuid.uuid4().hex}"  # pytest's own folders are closed to other users
    try:
        (folder / "em" / "evaluation").mkdir(parents=True)
        for name in ("errors.py", "evaluation/sandbox.py", "evaluation/sandboxed.py"):
            shutil.copy(ROOT / "em" / name, folder / "em" / name)
        (folder / "script.py").write_text(UNPRIVILEGED)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        done = subprocess.run(
            [python, folder / "script.py"],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.stderr == ""
    good, wrong, fork, read, loop = json.loads(done.stdout)
    assert good == ["passed", ""]
    assert wrong == ["assertion", ""]
    assert fork[1] in ("forked_5", "forked_6", "forked_7")
    assert read == ["passed", ""]
    assert loop == ["timeout", "5 s"]


# Where there is no sandbox


@pytest.fixture
def uncached():
    def clear() -> None:
        sandbox.check.cache_clear()
        sandbox._bubblewrap.cache_clear()

    clear()
    yield
    clear()


@pytest.mark.usefixtures("uncached")
def test_bubblewrap_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as refused:
        sandbox.check()
    message = str(refused.value)
    assert "\n" not in message
    assert "`apt install bubblewrap`" in message
    assert "benchmarks.mbpp.grader=code_without_sandbox" in message
    with pytest.raises(SandboxError, match="bubblewrap is not installed"):
        sandbox.run(GOOD, TESTS)
    with pytest.raises(InputError, match=r"^benchmarks.plus.grader=code: .* benchmarks.plus.grader=code_without_"):
        graders.require_ready(Benchmark(name="plus", hub="owner/plus", grader="code"))


@pytest.mark.usefixtures("uncached")
@pytest.mark.parametrize("root", [True, False])
def test_no_namespaces(root: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """check() tries a sandbox; that the file is there is not enough."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bwrap: setting up uid map: Permission denied >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "_spare_uids", lambda: range(1000, 2000) if root else range(0))
    with pytest.raises(InputError) as refused:
        sandbox.check()
    message = str(refused.value)
    assert "\n" not in message
    assert "bwrap: setting up uid map: Permission denied" in message
    assert ("CAP_SYS_ADMIN" in message) == root
    assert ("kernel.apparmor_restrict_unprivileged_userns" in message) != root
    assert "benchmarks.mbpp.grader=code_without_sandbox" in message


@pytest.mark.usefixtures("uncached")
def test_a_sandbox_that_starts_is_not_refused():
    sandbox.check()


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        (GOOD, Verdict("passed")),
        ("def double(x): return x", Verdict("assertion")),
        ("while True: pass", Verdict("timeout", "1 s")),
        ("import os\nos.closerange(0, 64)\nwhile True: pass", Verdict("timeout", "it closed the runner's report")),
        ("import os\nos._exit(0)", Verdict("exited", "0")),
        ("import os\nos.kill(os.getpid(), 9)", Verdict("killed", "SIGKILL")),
        ("kept = []\nwhile True: kept.append(b'x' * 10_000_000)", Verdict("exception", "MemoryError")),
        ("file = open('file', 'wb')\nwhile True: file.write(b'x' * 1_000_000)", Verdict("exception", "OSError")),
    ],
)
def test_without_a_sandbox(program: str, verdict: Verdict):
    limits = SHORT if verdict.outcome == "timeout" else LONG
    assert sandbox.run_without_sandbox(program, TESTS, limits) == verdict


def test_without_a_sandbox_the_folder_and_the_group_go(tmp_path: Path):
    marker, place = uuid.uuid4().hex, tmp_path / "place"
    program = f"""
import os, sys
open({str(place)!r}, "w").write(os.getcwd())
open("left", "w").write("x")
if os.fork() == 0:
    {sleeper(marker)}
while True: pass
"""
    assert sandbox.run_without_sandbox(program, "", SHORT).outcome == "timeout"
    assert_gone(marker)
    assert not Path(place.read_text()).exists()
