"""What programs try against the host: each is contained, and the next one is judged right, both ways."""

import resource
import socket
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import MIB, Limits, Verdict
from tests.evaluation.sandboxing import (
    GOOD,
    ROOT,
    TESTS,
    assert_gone,
    contained,
    needs_sandbox,
    processes_with,
    sleeper,
)

pytestmark = needs_sandbox


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
    assert contained(program) == Verdict("exception", "devshm_tmp")  # which are one
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
    verdict = contained(program, Limits(file_bytes=8 * MIB))
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
    assert contained(program) == Verdict("exited", "its reply is too long")


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
