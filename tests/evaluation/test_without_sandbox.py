"""Where no sandbox starts, and running without one."""

import os
import uuid
from pathlib import Path

import pytest

from em.errors import InputError
from em.evaluation import graders, sandbox
from em.evaluation.sandbox import DEFAULT, SandboxError, Verdict, bailiff, bubblewrap
from tests.evaluation.sandboxing import GOOD, SHORT, TESTS, assert_gone, needs_sandbox, sleeper

pytestmark = needs_sandbox


@pytest.fixture
def uncached():
    def clear() -> None:
        sandbox.check.cache_clear()
        bubblewrap.bubblewrap.cache_clear()

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
        graders.require_ready("code", "benchmarks.plus")


@pytest.mark.usefixtures("uncached")
@pytest.mark.parametrize("root", [True, False])
def test_no_namespaces(root: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """check() tries a sandbox; that the file is there is not enough."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bwrap: setting up uid map: Permission denied >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for module in (sandbox, bailiff):
        monkeypatch.setattr(module, "spare_uids", lambda: range(1000, 2000) if root else range(0))
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
        ("while True: pass", Verdict("timeout", "1 s of a processor")),
        ("import time\ntime.sleep(1000)", Verdict("timeout", "1 s idle")),
        ("import os\nos.closerange(0, 64)\nwhile True: pass", Verdict("timeout", "1 s of a processor")),
        ("import os\nos._exit(0)", Verdict("exited", "0")),
        ("import os\nos.kill(os.getpid(), 9)", Verdict("killed", "SIGKILL")),
        ("kept = []\nwhile True: kept.append(b'x' * 10_000_000)", Verdict("exception", "MemoryError")),
        ("file = open('file', 'wb')\nwhile True: file.write(b'x' * 1_000_000)", Verdict("exception", "OSError")),
    ],
)
def test_without_a_sandbox(program: str, verdict: Verdict):
    limits = SHORT if verdict.outcome == "timeout" else DEFAULT
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
