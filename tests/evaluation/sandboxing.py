"""What tests of the sandbox share."""

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import DEFAULT, Limits, Verdict

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = (
    os.geteuid() == 0 or subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0
)
needs_sandbox = pytest.mark.skipif(not NAMESPACES, reason="neither root nor allowed to create user namespaces")

GOOD, TESTS = "def double(x): return 2 * x", "assert double(4) == 8"
SHORT = Limits(cpu_seconds=1.0, idle_seconds=1.0)  # for what never ends
TELL = "def tell(*words): raise type('_'.join(map(str, words)), (Exception,), {})\n"  # a program's way to say something


def contained(program: str, limits: Limits = DEFAULT, tests: str = TESTS) -> Verdict:
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


def as_nobody(script: str) -> Any:
    """What a script prints, as JSON, that runs as a user without privileges; it finds em.evaluation.sandbox, cheats."""
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
        for name in ("errors.py", "masking.py"):
            shutil.copy(ROOT / "em" / name, folder / "em")
        shutil.copy(ROOT / "tests" / "evaluation" / "cheats.py", folder)
        shutil.copytree(ROOT / "tests" / "evaluation" / "cheats", folder / "cheats")
        shutil.copytree(ROOT / "em" / "evaluation" / "sandbox", folder / "em" / "evaluation" / "sandbox")
        (folder / "script.py").write_text(script)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        done = subprocess.run(
            [python, folder / "script.py"],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.stderr == ""
    return json.loads(done.stdout)
