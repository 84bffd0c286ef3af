"""Commands, and what they take, seen from outside."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def command_seconds(*command: str, environment: Mapping[str, str] | None = None, quiet: bool = False) -> float:
    """Until it has ended well."""
    start = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL if quiet else None, check=True)
    return time.perf_counter() - start


def seconds_until(condition: Callable[[], bool], *command: str, environment: Mapping[str, str] | None = None) -> float:
    """From the command until the condition holds; returns when the command has ended well."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not condition():
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.wait() == 0, command
    return seconds


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mib(pid: int, field: str = "VmRSS") -> float:
    """Raises OSError or StopIteration where the process has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024


def seconds_and_peak_mib(*command: str, environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Until it has ended well, and the most memory that it held at once, without its children's."""
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(OSError, StopIteration):  # it has just ended
            peak = resident_mib(process.pid, "VmHWM")  # never falls
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.returncode == 0, command
    return seconds, peak
