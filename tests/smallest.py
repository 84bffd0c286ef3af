"""The smallest real sweep, with Ray, vLLM and training, as the command that a user gives."""

import subprocess
import sys
from pathlib import Path

from tests.processes import started

SMALL = [
    "sweep=smoke",
    "sweep.seeds=6",
    "model.pretrain.steps=30",
    "eval.steps=[2,4]",
    "eval.samples=2",
    *(f"benchmarks.{suite}.limit=4" for suite in ("sum", "difference", "product", "max", "bit", "mixed")),
]


def start(environment: dict[str, str], store: Path, *overrides: str, module: str = "sweeps") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *SMALL, f"store={store}", *overrides]
    if module == "em":
        command = [word for word in command if not word.startswith("sweep")]
    return started(command, environment)


def recorded(store: Path) -> int:
    return len(list((store / "records").glob("*.parquet")))
