"""A sweep of two phases whose worker is killed, again and again: its records are those of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from em.store import Store
from tests.processes import finished, started
from tests.sweeps.test_launch import in_mid_trial
from tests.trials import NOT_REPRODUCED

WORDS = [
    *("phase=em_after_grpo", "before=[{phase: grpo, steps: 9, prompts.limit: 10}]", "seed=range(0,3)"),
    *("model.pretrain.steps=30", "rollout=transformers", "eval.steps=[7]", "keep.every=2", "eval.samples=2"),
    *("cluster.lanes=1", "tracking.progress=none", "sweep.figures=[]", "sweep.max_attempts=9"),
]


def launch(store: Path) -> subprocess.Popen[str]:
    return started([sys.executable, "-m", "sweeps", *WORDS, f"store={store}"], dict(os.environ))


def unfinished(store: Path) -> set[str]:
    return {path.parent.name for path in (store / "states" / "unfinished").glob("*/*.parquet")}


def records(store: Path) -> dict[str, dict[str, Any]]:
    opened = Store(store)
    rows = {unit: opened.record(unit) for unit in opened.recorded_units()}
    return {unit: {k: v for k, v in vars(row).items() if k not in NOT_REPRODUCED} for unit, row in rows.items()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_either_phase_it_leads_to_the_undisturbed_records(tmp_path: Path) -> None:
    """And the first phase is trained once for all seeds; nothing is left of it but its record."""
    finished(launch(tmp_path / "alone"))
    driver, store = launch(tmp_path / "killed"), tmp_path / "killed"
    killed: set[str] = set()
    for _ in range(2):  # once in the first phase, once in the second, each after it was written down
        with in_mid_trial(store, lambda unit: unit in unfinished(store) - killed) as worker:
            os.kill(worker, signal.SIGKILL)
            killed.update(unfinished(store))
    finished(driver)
    assert records(store) == records(tmp_path / "alone")
    opened = Store(store)
    rows = [opened.record(unit) for unit in opened.recorded_units()]
    first = [row for row in rows if json.loads(row.trial)["objective"].get("method") == "grpo"]
    assert len(first) == 1
    assert len(first[0].steps) == 9
    second = [row for row in rows if "before" in json.loads(row.trial)]
    assert [len(row.steps) for row in second] == [7, 7, 7]
    assert {row.digests[0].sha256 for row in second} == {first[0].digests[-1].sha256}
    assert all(sorted(row.provenance.resumed or 0 for row in rows)[-2:])
    assert unfinished(store) == set()
    assert list((store / "states" / "ends").iterdir()) == []
