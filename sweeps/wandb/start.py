"""Starts the exporter beside a launch: a process of its own, which the launch neither waits for nor hears of again."""

import subprocess
import sys
from collections.abc import Sequence

from em.store import Store
from sweeps.config import Launch


def start_exporter(config: Launch, arguments: Sequence[str], store: Store) -> str:
    """Start it, and say so or why not: whatever becomes of it, the sweep goes on.

    It finds the launch by its notice in the store, and ends when that is over or gone.
    """
    log = store.root / "wandb" / f"{config.project}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            subprocess.Popen(
                [sys.executable, "-m", "sweeps.wandb", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for the launch
            )
    except OSError as error:
        return f"W&B exporter: not started ({error}); `make wandb SWEEP={config.sweep.name}` starts one"
    return f"W&B exporter: {log}"
