"""What a lane's worker holds after 30 and after 300 trials of the main sweep."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.processes import resident_mib
from bench.rows import Row, at_most
from em.store import Store


def rows(folder: Path) -> Iterator[Row]:
    store = Store(folder / "results")
    words = ["sweep=temperature", "sweep.seeds=38", "cluster.lanes=1", f"store={store.root}", "tracking=quiet"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen([sys.executable, "-m", "sweeps", *words], env=environment)
    resident: dict[int, float] = {}
    while process.poll() is None:
        time.sleep(0.2)
        done = len(store.recorded_units()) - 1  # without the base model
        if done > 0 and done % 30 == 0 and done not in resident and (worker := at_work(store.root / "claims")):
            resident[done] = resident_mib(worker)
            print(f"{done} trials: {resident[done]:.0f} MiB", flush=True)
    yield Row("memory of a lane, 300 trials against 30", resident[300] / resident[30], "x", at_most(1.15))


def at_work(claims: Path) -> int | None:
    """The process that has claimed a unit, where one has just now."""
    for path in claims.glob("[!.]*"):
        with suppress(OSError, ValueError):
            return json.loads(path.read_text())["pid"]
    return None
