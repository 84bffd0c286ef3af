"""The real thing at its smallest: Ray, Tune lanes, vLLM, training; stopped and killed in every way."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest

from em.record import NOT_REPRODUCED
from em.store import Store
from sweeps.config import compose_launch
from sweeps.plan import plan
from tests.processes import finished, started, wait_for

SMALL = [
    "sweep=smoke",
    "sweep.seeds=6",
    "model.pretrain.steps=30",
    "eval.steps=[2,4]",
    "eval.samples=2",
    *(f"benchmarks.{suite}.limit=4" for suite in ("sum", "difference", "product", "max", "bit", "mixed")),
]
PLANNED = 19


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cache of its own, so that the tests pretrain as a new user does."""
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


def start(environment: dict[str, str], store: Path, *overrides: str, module: str = "sweeps") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *SMALL, f"store={store}", *overrides]
    if module == "em":
        command = [word for word in command if not word.startswith("sweep")]
    return started(command, environment)


def recorded(store: Path) -> int:
    return len(list((store / "records").glob("*.parquet")))


def workers(store: Path) -> list[int]:
    """The processes that are at a unit of work."""
    found = []
    for claim in (store / "claims").glob("[!.]*"):
        with suppress(FileNotFoundError):
            found.append(json.loads(claim.read_text())["pid"])
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


@contextmanager
def in_mid_trial(store: Path) -> Iterator[int]:
    """A worker that surely is at a unit, not yet at its end; it stands still for the body."""
    caught: list[int] = []

    def catch() -> bool:
        for claim in (store / "claims").glob("[!.]*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                pid = json.loads(claim.read_text())["pid"]
                os.kill(pid, signal.SIGSTOP)
                wait_for(lambda pid=pid: state_and_parent(pid)[0] == "T")
                if claim.exists() and not Store(store).record_path(claim.name).exists():
                    caught.append(pid)
                    return True
                os.kill(pid, signal.SIGCONT)
        return False

    wait_for(catch)
    yield caught[0]
    with suppress(ProcessLookupError):  # where the body killed it
        os.kill(caught[0], signal.SIGCONT)


def state_and_parent(pid: int) -> tuple[str, int]:
    state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return state, int(parent)


def reproduced(store: Path) -> pl.DataFrame:
    """Everything of the records that another run must give again, bit by bit."""
    return Store(store).scan().drop(NOT_REPRODUCED).sort("unit_id").collect()


@pytest.fixture(scope="module")
def undisturbed(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("undisturbed")
    return store, finished(start(environment, store))


def test_a_sweep_records_every_trial_once_and_draws_its_figure(undisturbed: tuple[Path, str]) -> None:
    store, _ = undisturbed
    frame = reproduced(store)
    assert frame["unit_id"].n_unique() == len(frame) == PLANNED
    assert set(frame["status"]) == {"done"}
    assert all((store / "figures" / f"smoke.{suffix}").stat().st_size > 500 for suffix in ("pdf", "png", "csv"))
    table = pl.read_csv(store / "figures" / "smoke.csv")
    assert table["n"].to_list() == [6, 6, 6]


def test_lanes_start_one_engine_each(undisturbed: tuple[Path, str]) -> None:
    provenance = Store(undisturbed[0]).scan().select("provenance").unnest("provenance").collect()
    assert provenance.select("lane", "pid").n_unique() == provenance["lane"].n_unique()
    assert provenance["turnover_seconds"].null_count() == provenance["lane"].n_unique()  # a lane's first trial


def test_a_normal_run_says_only_what_it_is_meant_to(undisturbed: tuple[Path, str]) -> None:
    lines = [line.strip() for line in undisturbed[1].splitlines()]
    before = lines[: next(index for index, line in enumerate(lines) if line.startswith("accuracy, %"))]
    ours = (
        r"sweep smoke: 18 trials \(3 rollout.temperature x 6 seeds\)",
        r"measured after step 2, 4 at temperature 1: 6 benchmarks, 2 samples a problem",
        rf"recorded 0 of {PLANNED} units of work in .*, {PLANNED} to do",
        r"Pretraining the tiny model.*",
        r"starting Ray and lanes",
        rf"smoke: \d+/{PLANNED} recorded, \d running(, .* s a trial, .* left)?",
    )
    strange = [line for line in before if line and not any(re.fullmatch(pattern, line) for pattern in ours)]
    assert strange == []


def test_the_same_command_again_finds_everything(undisturbed: tuple[Path, str], environment: dict[str, str]) -> None:
    output = finished(start(environment, undisturbed[0]))
    assert f"recorded {PLANNED} of {PLANNED} units of work" in output
    assert "starting Ray" not in output


def test_a_trial_alone_gives_the_same_record_as_in_the_sweep(
    undisturbed: tuple[Path, str], environment: dict[str, str], tmp_path: Path
) -> None:
    finished(start(environment, tmp_path, "rollout.temperature=1.0", "seed=4", module="em"))
    alone = reproduced(tmp_path)
    assert len(alone) == 2
    swept = reproduced(undisturbed[0]).filter(pl.col("unit_id").is_in(alone["unit_id"].to_list()))
    assert alone.equals(swept)


def test_killed_lanes_killed_drivers_and_ctrl_c_lose_nothing(
    undisturbed: tuple[Path, str], environment: dict[str, str], tmp_path: Path
) -> None:
    driver = start(environment, tmp_path, "cluster.lanes=1")
    wait_for(lambda: recorded(tmp_path) >= 2)
    with in_mid_trial(tmp_path) as worker:
        os.kill(worker, signal.SIGKILL)
    known = recorded(tmp_path)
    wait_for(lambda: recorded(tmp_path) > known)  # the lane started another
    with in_mid_trial(tmp_path) as worker:
        os.kill(state_and_parent(worker)[1], signal.SIGKILL)
    wait_for(lambda: recorded(tmp_path) > known + 2)  # Tune started the lane again
    with in_mid_trial(tmp_path):
        at_kill = recorded(tmp_path)
        driver.kill()
    driver.communicate()
    wait_for(lambda: not workers(tmp_path))
    before = recorded(tmp_path)
    assert at_kill < before < PLANNED  # the orphaned worker finished what it was at

    driver = start(environment, tmp_path, "cluster.lanes=1")
    wait_for(lambda: recorded(tmp_path) >= before + 2)
    os.killpg(driver.pid, signal.SIGINT)  # what a terminal does: to Ray's processes too
    output = finished(driver, status=130)
    stopped_at = recorded(tmp_path)
    assert f"stopped: {stopped_at} of {PLANNED} recorded; the same command goes on" in output
    assert stopped_at < PLANNED

    finished(start(environment, tmp_path))
    assert reproduced(tmp_path).equals(reproduced(undisturbed[0]))
    [(attempt, error)] = Store(tmp_path).scan_failed().select("attempt", "error").collect().rows()
    assert attempt == 1
    assert re.fullmatch(r"the worker was killed by SIGKILL while .* step \d/4|.* while starting .*", error)
    assert not list(tmp_path.rglob("*.tmp"))
    config = compose_launch([*SMALL, f"store={tmp_path}"])
    assert plan(config, Store(tmp_path)).todo == []


def test_a_setting_that_no_trial_can_meet_ends_the_sweep_in_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    output = finished(start(environment, tmp_path, "rollout.max_new_tokens=100000", "rollout=transformers"), status=2)
    reason = "error: the last 6 trials all failed alike: InputError: max_new_tokens=100000: the prompt '"
    assert output.splitlines()[-1].startswith(reason)
    assert recorded(tmp_path) <= 1


def trajectories(store: Path) -> dict[str, tuple[object, ...]]:
    """What is recorded of every trial, over all of its records."""
    found: dict[str, tuple[object, ...]] = {}
    for rows in Store(store).scan().sort(pl.col("steps").list.len()).collect().partition_by("trial_id"):
        records = rows.to_dicts()
        measured = [(r["step"], r["evaluation_id"], r) for record in records for r in record["evaluations"]]
        digests = {(digest["step"], digest["sha256"]) for record in records for digest in record["digests"]}
        longest = [records[-1][name] for name in ("status", "trial", "prompts", "steps", "rollouts")]
        found[records[0]["trial_id"]] = (longest, sorted(digests), sorted(measured, key=lambda it: it[:2]))
    return found


def test_an_extended_sweep_is_the_sweep_that_had_it_from_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    """More steps and another evaluation temperature replay recorded tokens; nothing is recorded twice."""
    short, long = ("eval.steps=[10]",), ("eval.steps=[10,20]", "eval.temperatures=[1.0,0.0]")
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    finished(start(environment, grown, "sweep.seeds=1", *short))
    output = finished(start(environment, grown, "sweep.seeds=1", *long))
    assert "3 of these go on from a recorded trial: its tokens are trained on again, not sampled again" in output
    finished(start(environment, whole, "sweep.seeds=1", *long))
    assert trajectories(grown) == trajectories(whole)
    provenance = Store(grown).scan().select("unit_id", "provenance").unnest("provenance").collect()
    assert (provenance["replayed"].null_count(), len(provenance)) == (4, 8)
    assert set(provenance["replayed"].drop_nulls()) <= set(provenance["attempt_id"])
    measured = Store(grown).scan().select(pl.col("evaluations").list.len().sum()).collect().item()
    assert measured == (1 + 3 * 2) * 12
