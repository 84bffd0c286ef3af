"""W&B as a mirror of the store: a process of its own, which a launch starts and does not wait for."""

import subprocess
import sys
from collections.abc import Sequence

from em.store import Store
from sweeps.config import Launch


def start_exporter(config: Launch, arguments: Sequence[str], store: Store) -> str:
    """Start `python -m sweeps.wandb` beside a launch, and say so or why not: whatever becomes of it, the sweep goes on.

    It finds the launch by its notice in the store, and ends when that is over or gone.
    """
    log = store.root / "wandb" / f"{config.project}.log"
    command = [sys.executable, "-m", "sweeps.wandb", *arguments]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:  # a session of its own: a terminal's Ctrl-C is for the launch
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
    except OSError as error:
        return f"W&B exporter: not started ({error}); `make wandb SWEEP={config.sweep.name}` starts one"
    return f"W&B exporter: {log}"
