"""Trials of two ranks as users run them; either rank is killed: what is wanted is recorded once, and nobody is left."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from em.store import Store
from tests.processes import finished, wait_for
from tests.smallest import recorded, start
from tests.sweeps.test_launch import at_work, in_mid_trial, state_and_parent

TRANSFORMERS = "rollout=transformers", "eval.steps=[2000]", "model.ranks=2"
UNITS = 7  # three temperatures of two seeds, and the base model


def ranks_of(pid: int) -> list[int]:
    """The other ranks of a process's group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"em.train.rank" in (path / "cmdline").read_bytes() and state_and_parent(int(path.name))[1] == pid:
                found.append(int(path.name))
    return found


def is_gone(pid: int) -> bool:
    try:
        return state_and_parent(pid)[0] in "ZX"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("strike", "status", "said"),
    [
        (lambda pid, rank: os.kill(rank, signal.SIGKILL), 1, "rank 1 of 2 has ended with status -9; the group ends"),
        (lambda pid, rank: os.kill(pid, signal.SIGKILL), -9, ""),
        (lambda pid, rank: os.killpg(pid, signal.SIGINT), 130, ""),  # Ctrl-C
    ],
    ids=["rank 1 is killed", "rank 0 is killed", "Ctrl-C"],
)
def test_no_rank_outlives_its_group(
    strike: Callable[[int, int], None], status: int, said: str, environment: dict[str, str], tmp_path: Path
) -> None:
    process = start(environment, tmp_path, *TRANSFORMERS, module="em")
    wait_for(lambda: recorded(tmp_path) == 1)  # the base model, and training has begun
    [rank] = ranks_of(process.pid)
    strike(process.pid, rank)
    assert said in finished(process, status)
    wait_for(lambda: is_gone(rank), 60)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_records_each_trial_once_whichever_rank_dies(environment: dict[str, str], tmp_path: Path) -> None:
    process = start(environment, tmp_path, "sweep.seeds=2", "model.ranks=2", "cluster.lanes=1")
    seen = set[int]()

    def has_begun() -> bool:
        """A worker claims before it starts the other ranks."""
        return bool({rank for worker in at_work(tmp_path).values() for rank in ranks_of(worker)} - seen)

    for of_group in (lambda pid: ranks_of(pid)[0], lambda pid: pid):
        wait_for(has_begun)
        with in_mid_trial(tmp_path) as worker:
            seen |= {worker, *ranks_of(worker)}
            os.kill(of_group(worker), signal.SIGKILL)
    wait_for(has_begun)
    seen |= {rank for worker in at_work(tmp_path).values() for rank in (worker, *ranks_of(worker))}
    finished(process)
    assert len(seen) == 6
    wait_for(lambda: all(map(is_gone, seen)), 60)
    frame = pl.read_parquet(tmp_path / "records" / "*.parquet")
    assert frame["unit_id"].n_unique() == len(frame) == UNITS
    assert set(frame["status"]) == {"done"}
    devices = frame["provenance"].struct.field("environment")
    assert all('"device": "2 x cpu' in of for of in devices)
    first, second = sorted(failure.error or "" for failure in Store(tmp_path).failures())
    assert first.startswith("the worker exited with status 1 while")
    assert second.startswith("the worker was killed by SIGKILL while")
