"""What the doctor finds out on one node: facts and a canary, a trial that a worker makes; sweeps.doctor judges them."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from em.checkpoint import HUB_FILES, cache_folder
from em.config import Model, Unit
from em.identity import content_id
from em.provenance import code_version, environment
from em.record import Status
from em.store import Store
from em.tiny import recipe
from sweeps.protocol import Outcome, Setup, tail

if TYPE_CHECKING:  # it imports Ray
    from sweeps.lane import Process

RACES = 20  # names that all nodes try to create, all at once
VISIBLE_SECONDS = 60.0  # for a file to appear to others
CANARY_SECONDS = 900.0  # for worker, model and engine to start and make a step
PATIENCE_SECONDS = 10.0  # for a worker that is done to end
POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5  # between two looks whether the doctor is still there


@dataclass(frozen=True)
class Probe:
    """What a node is asked."""

    folder: Path  # of this doctor, in the store; when it is gone, so is the doctor
    node: str
    unit: Unit  # the canary
    trainer: str
    own_device: bool  # as in Setup


@dataclass(frozen=True)
class StoreFacts:
    error: str = ""  # why nothing else is known
    created: int = 0  # of two tries to create one name, those that succeeded
    retaken: bool = False  # whether a name that the driver had created was created again
    won: int = 0  # of the RACES
    seconds: float | None = None  # until the driver's answer to a file appeared here: there and back; None: it did not
    ahead: float = 0.0  # seconds, of the node's clock before the store's


@dataclass(frozen=True)
class Facts:
    store: StoreFacts
    free: dict[str, int]  # bytes, by what is written there: store, temp, cache
    code: str
    versions: dict[str, str]
    has_model: bool  # whether the checkpoint is here, or has to be made or downloaded
    has_token: bool  # of the Hugging Face hub
    cores: int
    memory: int  # bytes
    gpus: list[str]  # name and driver of each
    shared_memory: int  # bytes


@dataclass(frozen=True)
class Canary:
    """What came of the trial."""

    error: str = ""
    log: str = ""  # the end of what the worker wrote, where there is an error
    load: float = 0.0  # seconds until model and engine were ready
    step: float = 0.0  # seconds of the optimiser step: sample, train, push
    memory: int = 0  # bytes at the peak, without the files' pages that workers share
    weights: str = ""  # digest after the step
    answers: str = ""  # digest of what was sampled before it and answered after it


def examine(probe: Probe) -> Iterator[Facts | Canary]:
    """The facts and, where the store works, what came of the canary."""
    facts = look(probe.folder, probe.node, probe.unit.trial.model)
    yield facts
    if not facts.store.error:
        yield fly(probe)


def look(folder: Path, node: str, model: Model) -> Facts:
    store = look_at_store(folder, node)
    has_model, has_token = look_for(model)
    places = {"store": folder.parent, "temp": Path(tempfile.gettempdir()), "cache": cache_of(model)}
    return Facts(
        store=store,
        free={name: free(place) for name, place in places.items()},
        code=code_version(),
        versions=versions(),
        has_model=has_model,
        has_token=has_token,
        cores=len(os.sched_getaffinity(0)),
        memory=memory_limit(),
        gpus=gpus(),
        shared_memory=shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else 0,
    )


def look_at_store(folder: Path, node: str) -> StoreFacts:
    """What a lane on this node would see; the driver has made `folder` and `taken` in it, and answers to `*.ask`."""
    if not appears(folder / "taken"):
        return StoreFacts(f"this node does not see {folder}, made {VISIBLE_SECONDS:.0f} s ago")
    try:
        file, ahead = write(folder, node)
        created = sum(created_anew(file, folder / f"{node}.twice") for _ in range(2))
        retaken = created_anew(file, folder / "taken")
        won = sum(created_anew(file, folder / f"race-{race}") for race in range(RACES))
        start = time.monotonic()
        (folder / f"{node}.ask").touch()
        seconds = time.monotonic() - start if appears(folder / f"{node}.answer") else None
    except OSError as error:
        return StoreFacts(reason(error))
    return StoreFacts("", created, retaken, won, seconds, ahead)


def write(folder: Path, name: str) -> tuple[Path, float]:
    """A new file in `folder`, and the seconds that this machine's clock is ahead of the store's.

    Raises OSError where the store, or a folder of it, cannot be written.
    """
    for part in folder.parent.iterdir():
        if part.is_dir() and not os.access(part, os.W_OK):
            raise PermissionError(13, "Permission denied", str(part))
    file, before = folder / name, time.time()
    file.write_text(name)
    return file, (before + time.time()) / 2 - file.stat().st_mtime


def created_anew(file: Path, name: Path) -> bool:
    """What a commit and a claim rest on: whether `name` was not there before."""
    try:
        os.link(file, name)
    except FileExistsError:
        return False
    return True


def appears(path: Path) -> bool:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not (there := path.exists()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return there


def reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


def free(place: Path) -> int:
    """Bytes that can be written below a folder, or below the nearest that there is."""
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free


def cache_of(model: Model) -> Path:
    """The folder that a model which is not here yet would be written to."""
    if model.pretrain is not None or model.digest:
        return cache_folder()
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def look_for(model: Model) -> tuple[bool, bool]:
    """Whether the checkpoint is on this node, and whether there is a token for the hub, where it comes from there."""
    if model.pretrain is not None:
        return recipe.path(model.pretrain, cache_folder()).exists(), False
    if model.digest:
        return Path(model.path).is_dir(), False
    from huggingface_hub import get_token, snapshot_download

    try:
        snapshot_download(model.path, revision=model.revision, allow_patterns=HUB_FILES, local_files_only=True)
    except (OSError, ValueError):
        return False, bool(get_token())
    return True, bool(get_token())


def versions() -> dict[str, str]:
    return {name: version for name, version in json.loads(environment("")).items() if name != "device"}


def memory_limit() -> int:
    """Bytes of this machine, or of the container."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such kind of container; "max"
            sizes.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(sizes)


def gpus() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [", driver ".join(part.strip() for part in line.split(",")) for line in said.splitlines()]


@dataclass
class Flight:
    """The canary's time: when what was said."""

    began: float = field(default_factory=time.monotonic)
    ready: float | None = None  # seconds until the first word of a step
    doing: str = "starting the worker"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def note(self, doing: str) -> None:
        self.doing = doing
        if self.ready is None and "  step " in doing:
            self.ready = self.seconds


def fly(probe: Probe) -> Canary:
    """Let a worker make the unit in a store of its own, which is deleted; ends after CANARY_SECONDS, or the doctor."""
    from sweeps.lane import Process, ending

    home = Path(tempfile.mkdtemp(prefix="em-doctor-"))
    setup = Setup(
        store=str(home / "store"),
        lane="doctor",
        log=str(home / "log"),
        trainer=probe.trainer,
        lease_seconds=VISIBLE_SECONDS,
        stall_seconds=CANARY_SECONDS,
        own_device=probe.own_device,
    )
    process, flight, patience = Process.start(setup, probe.unit.trial.base.id), Flight(), 0.0
    try:
        outcome = follow(process.connection, probe, flight)
        if outcome is None:
            return Canary(f"no end in {flight.seconds:.0f} s, while {flight.doing}", tail(process.log))
        patience = PATIENCE_SECONDS
        return landed(outcome, Store(setup.store), probe.unit, flight, process)
    except EOFError:
        return Canary(f"{ending(process.popen.wait(PATIENCE_SECONDS))} while {flight.doing}", tail(process.log))
    finally:
        process.close(patience)
        with suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)  # whatever it has started
        shutil.rmtree(home, ignore_errors=True)


def follow(connection: Connection, probe: Probe, flight: Flight) -> Outcome | None:
    """Until the unit is made; None: not in time, or the doctor is gone.  Raises EOFError where the worker died."""
    try:
        connection.send((probe.unit, 1))
        while flight.seconds < CANARY_SECONDS and probe.folder.exists():
            if connection.poll(LOOK_SECONDS):
                message = connection.recv()
                if isinstance(message, Outcome):
                    return message
                flight.note(message.doing)
    except OSError:  # its end of the pipe is closed
        raise EOFError from None
    return None


def landed(outcome: Outcome, store: Store, unit: Unit, flight: Flight, process: "Process") -> Canary:
    if outcome.status is not Status.done:
        traceback = "\n".join(store.scan_failed().select(pl.col("error")).collect()["error"])
        return Canary(outcome.error or outcome.unwritable, f"{tail(process.log)}\n{traceback}".strip())
    record = store.record(unit.id)
    said = [
        [rollout["token_ids"] for rollout in record["rollouts"]],
        [[result["texts"], result["lengths"]] for result in record["evaluations"]],
    ]
    return Canary(
        load=flight.ready or 0.0,
        step=sum(step["sample"] + step["train"] + step["push"] for step in record["seconds"]),
        memory=own_memory(process.popen.pid),
        weights=record["digests"][-1]["sha256"],
        answers=content_id(said),
    )


def own_memory(pid: int) -> int:
    """Bytes at a process's peak, without the pages of files (libraries, weights) that all workers of a node share."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kib = {words[0]: int(words[1]) for words in lines if words[0] in ("VmHWM:", "RssFile:")}
    return 1024 * (kib.get("VmHWM:", 0) - kib.get("RssFile:", 0))
