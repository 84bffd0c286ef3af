"""Failed attempts by cause, and the command that runs one again."""

import dataclasses
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from em.errors import InputError
from em.store import Store
from em.store.provenance import provenance
from em.store.record import Record, Status
from em.store.recorded import unit_of
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.failures import attempts, describe
from sweeps.protocol import cause

OOM = "Traceback (most recent call last):\n  File x\ntorch.OutOfMemoryError: Tried to allocate {} GiB on GPU {}"
QUICK = ["model.pretrain.steps=30", "eval.steps=[1]", "rollout.engine=transformers", "benchmarks.sum.limit=2"]


def units(*overrides: str) -> list[Unit]:
    return expand.units(compose_launch(["sweep=smoke", *overrides]))


def failure(unit: Unit, error: str, status: Status = Status.failed) -> Record:
    made = provenance(lane="1", device="cpu", started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    made = dataclasses.replace(made, node="node-a")
    return Record.of(unit, status=status, attempt=1, error=error, log="last words", provenance=made)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OOM.format(2.5, 3), "torch.OutOfMemoryError: Tried to allocate #.# GiB on GPU #"),
        ("killed by SIGKILL while tiny-0 4c2bb1a36516eaeb  step 3/10", "killed by SIGKILL while tiny-# #  step #/#"),
        ("<object at 0x7f3a>", "<object at #>"),
        ("exited with status 3 while step 2/10", "exited with status 3 while step #/#"),
        ("", ""),
    ],
)
def test_errors_of_one_cause_have_one_name(error: str, expected: str) -> None:
    assert cause(error) == expected


def test_failures_are_grouped_the_most_frequent_first(tmp_path: Path) -> None:
    store, [first, second, third, *_] = Store(tmp_path), units()
    store.commit(failure(third, "ValueError: once"))
    for unit, size in ((first, 1), (first, 2), (second, 3)):
        store.commit(failure(unit, OOM.format(size, size)))
    store.commit(failure(first, "", status=Status.done))  # its third attempt succeeded
    said = describe(store, attempts(store), ["store=there"]).split("\n\n")
    assert said[0] == f"4 failed attempts at 3 units of work in {store.where('failed')}"
    assert said[1].splitlines() == [
        "3 x torch.OutOfMemoryError: Tried to allocate 3 GiB on GPU 3",
        "    2 units, 1 of them recorded since, on node-a, 2026-01-02T03:04:05 to 2026-01-02T03:04:05 UTC",
        f"    again, alone: .venv/bin/python -m em.rerun {second.id} store=there",
    ]
    assert said[2].startswith("1 x ValueError: once\n    1 units, on node-a, ")


def test_nothing_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert describe(store, attempts(store)) == f"no failed attempts in {store.where('failed')}"


def test_a_unit_comes_back_from_its_failed_attempt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    [wanted] = units("eval.steps=[2,4]", "eval.texts=none", "optimizer.lr=0.5")[3:4]
    store.commit(failure(wanted, "?"))
    [failed] = store.failures()
    assert unit_of(failed) == wanted
    with pytest.raises(InputError, match=f"by this version's reading it is {wanted.trial.id}-"):
        unit_of(dataclasses.replace(failed, unit_id="another"))
    with pytest.raises(InputError, match="recorded by a version that did not say what was to be measured"):
        unit_of(dataclasses.replace(failed, measurements=[]))


@pytest.mark.slow
def test_the_command_runs_one_unit_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    wanted = units(*QUICK)[2]
    store.commit(failure(wanted, "ValueError: once"))

    def rerun(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "em.rerun", name, f"store={store.root}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = rerun(wanted.id)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{wanted.id}: recorded in {store.where('records')}"
    assert store.record(wanted.id).status is Status.done
    assert re.match(f"{wanted.id}: has succeeded since", rerun(wanted.id).stderr)
    assert rerun("feedfeed").stderr == (
        f"error: feedfeed: no failed attempt in {store.where('failed')}; `make failures` lists them\n"
    )
