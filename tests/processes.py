"""Commands as a user starts them, in sessions of their own; none outlives its test."""

import subprocess
import time
from collections.abc import Callable

STARTED: list[subprocess.Popen[str]] = []


def started(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    STARTED.append(process)
    return process


def finished(process: subprocess.Popen[str], status: int = 0) -> str:
    """What it has said, once it has ended with this status."""
    output, _ = process.communicate(timeout=1000)
    assert process.returncode == status, output
    return output


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def end_all() -> None:
    """What a test that failed has left running."""
    while STARTED:
        if (process := STARTED.pop()).poll() is None:
            process.kill()
            process.communicate()
