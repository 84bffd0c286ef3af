"""Sends runs that wait on disk, with `wandb sync`, which marks each that W&B has taken; its log is to agree."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import wandb

from em.errors import InputError
from sweeps.config import Launch
from sweeps.tracking import Upload
from sweeps.wandb.folder import Folder

ROUNDS = 3  # of `wandb sync`, where it leaves something out without a word
PARALLEL = 8  # runs that are sent at once; wandb itself slows down where W&B says that it is too much
TIMEOUT_SECONDS = 20.0  # of the question whether W&B is there
SETTINGS = {  # of wandb, which else tries for hours
    "WANDB__GRAPHQL_RETRY_MAX": "4",
    "WANDB__GRAPHQL_RETRY_WAIT_MAX_SECONDS": "10",
    "WANDB__FILE_STREAM_RETRY_MAX": "6",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "6",
}
ADVICE = {
    "previously created and deleted": "they were deleted at W&B, which takes no id twice: undelete them there, or "
    "send all to another project (`tracking.project=NAME`, then `make wandb` and `make wandb-sync`)",
    "permission denied": "the key may not write there: check tracking.entity and tracking.project",
    "429": "W&B's rate limit is reached: try again later",
}


def credentials() -> tuple[str, str]:
    """The address of W&B and the API key, as `wandb login` or the environment have them; the key may be empty."""
    settings = wandb.setup(wandb.Settings(silent=True, mode="online")).settings  # offline it would look for no key
    try:
        wandb.login(prompt=False, verify=False)
    except wandb.Error as error:
        raise InputError(f"WANDB_API_KEY: {error}") from None
    return settings.base_url, settings.api_key or ""


def is_wanted(config: Launch) -> bool:
    """Whether runs are sent as they are written."""
    upload, mode = config.tracking.upload, os.environ.get("WANDB_MODE", "online")
    return upload is Upload.online or (upload is Upload.auto and mode == "online" and bool(credentials()[1]))


def command(config: Launch, folder: Folder) -> list[str]:
    entity = ["--entity", config.tracking.entity] if config.tracking.entity else []
    return ["wandb", "sync", *entity, *(str(folder.root / project) for project in folder.projects())]


def sync(config: Launch, folder: Folder) -> str:
    """Send what waits, and say how it went; raises InputError, one line, where W&B has not taken all."""
    unmark_unsent(folder)  # of a `wandb sync` that was killed
    waiting = len(folder.waiting())
    if not waiting:
        return f"nothing to send: W&B has all {len(folder.runs())} runs of {folder.root / folder.project}"
    later = f"what waits ({waiting} runs) stays in {folder.root}; `make wandb-sync SWEEP={config.sweep.name}` sends it"
    ask(*credentials(), later)
    words = [sys.executable, "-m", *command(config, folder), "-n", str(PARALLEL)]
    staging = str(folder.staging.resolve())
    environment = SETTINGS | os.environ | {"WANDB_DATA_DIR": staging, "WANDB_DIR": staging}  # its logs too
    said = ""
    with folder.alone():
        for _ in range(ROUNDS):
            done = subprocess.run(
                words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            said = done.stdout + done.stderr
            if not unmark_unsent(folder):
                break
        left = len(folder.waiting())
        if not left:
            shutil.rmtree(folder.staging, ignore_errors=True)
    if left:
        raise InputError(f"W&B has taken {waiting - left} of {waiting} runs: {reason(said)}")
    return f"{waiting} runs sent to {config.tracking.entity or 'the entity of the key'}, {', '.join(folder.projects())}"


def unmark_unsent(folder: Folder) -> int:
    """Take the mark from runs whose history was never sent, and say how many; the logs of `wandb sync` tell.

    Under load wandb 0.31 now and then closes a run before it has begun to send its history, and marks it all the same.
    """
    opened: set[str] = set()
    sent: set[str] = set()
    for log in folder.staging.glob("wandb/logs/debug-sync.*.log"):
        for line in log.read_text(errors="replace").rpartition("\n")[0].splitlines():  # the last may be torn
            for message, runs in (("sender: started", opened), ("filestream: request sent", sent)):
                if f'"msg":"{message}"' in line:
                    runs.add(json.loads(line)["sync_path"])
    unsent = [mark for path in opened - sent if (mark := Path(f"{path}.synced")).exists()]
    for mark in unsent:
        mark.unlink()
    return len(unsent)


def ask(address: str, key: str, later: str) -> str:
    """The entity of the key; raises InputError, which ends with `later`, unless W&B is there and knows it.

    `wandb.Api` would ask too, but takes a network that is not there for a wrong key.
    """
    if not key:
        raise InputError(f"WANDB_API_KEY: there is none; set it, or run `.venv/bin/python -m wandb login` ({later})")
    body = json.dumps({"query": "query Viewer { viewer { id entity } }", "operationName": "Viewer"}).encode()
    token = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    try:
        request = urllib.request.Request(f"{address}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            viewer = (json.load(answer).get("data") or {}).get("viewer")
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise InputError(f"{address}: W&B answers {error.code} {error.reason}; {later}") from None
        viewer = None
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: no way to W&B ({getattr(error, 'reason', error)}); {later}") from None
    if not viewer:
        raise InputError(f"WANDB_API_KEY: {address} does not know this key; copy it from {address}/authorize ({later})")
    return viewer["entity"]


def reason(said: str) -> str:
    """What is to be done about what `wandb sync` said, in one line."""
    for phrase, advice in ADVICE.items():
        if phrase in said.lower():
            return advice
    lines = [line for line in said.splitlines() if re.search(r"error|failed|denied|refused", line, re.IGNORECASE)]
    return (lines or said.strip().splitlines() or ["`wandb sync` said nothing"])[-1].removeprefix("wandb: ")
