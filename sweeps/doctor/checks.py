"""What the doctor finds out on one node; sweeps.doctor.verdicts judges it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from em.errors import InputError
from em.memory.device import memory_limit
from em.store.access import is_url
from em.store.files import files_at
from em.store.provenance import code_version, environment
from em.trial.model import Model


@dataclass(frozen=True)
class Facts:
    store: str  # why a lane here could not use it; empty: it can
    clock: float  # seconds that it is ahead of the store's
    missing: str  # a hub model that is not in this node's cache, and cannot be asked for with a token; empty: none
    free: dict[str, int]  # bytes, by what is written there: store, temp
    code: str
    versions: dict[str, str]
    cores: int
    memory: int  # bytes
    gpus: list[str]  # name and driver of each


def look(folder: str, model: Model) -> Facts:
    """`folder` is the doctor's own, in the store; with a piece `driver` in it."""
    places = {"temp": Path(tempfile.gettempdir())}
    if not is_url(folder):
        places = {"store": Path(folder).parent} | places
    versions = json.loads(environment(""))
    return Facts(
        store=try_store(folder),
        clock=clock_ahead(folder),
        missing=missing_model(model),
        free={name: shutil.disk_usage(place).free for name, place in places.items() if place.is_dir()},
        code=code_version(),
        versions={name: version for name, version in versions.items() if name != "device"},
        cores=len(os.sched_getaffinity(0)),
        memory=memory_limit(),
        gpus=gpus(),
    )


def try_store(folder: str) -> str:
    """What a commit rests on: a piece can be created, once."""
    try:
        files = files_at(folder)
        if not files.exists("driver"):
            return f"this node does not see {folder}"
        is_new = files.create_once(uuid.uuid4().hex, b"")
        return "" if is_new and not files.create_once("driver", b"") else "what was created was replaced"
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"cannot be written: {error.strerror}"


def clock_ahead(folder: str) -> float:
    """Seconds between this node's clock and the store's; 0 where that cannot be asked."""
    with suppress(OSError, InputError):
        return time.time() - files_at(folder).now()
    return 0.0


def missing_model(model: Model) -> str:
    if model.pretrain or model.digest:
        return ""
    from huggingface_hub import get_token, try_to_load_from_cache

    cached = try_to_load_from_cache(model.path, "config.json", revision=model.revision)
    return "" if isinstance(cached, str) or get_token() else model.path


def gpus() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
