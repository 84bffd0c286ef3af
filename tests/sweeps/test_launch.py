"""The real thing at its smallest: Ray, Tune lanes, vLLM, training; stopped and killed in every way."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest

from em.store import Store
from sweeps.config import compose_launch
from sweeps.plan import plan
from tests.processes import finished, wait_for
from tests.smallest import SMALL, recorded, start
from tests.trials import NOT_REPRODUCED

PLANNED = 19

pytestmark = pytest.mark.slow


def at_work(store: Path) -> dict[str, int]:
    """The living processes that hold claims, by the unit that they are at."""
    pids = {}
    for claim in (store / "claims").glob("[!.]*"):
        with suppress(FileNotFoundError):
            pid = json.loads(claim.read_text())["pid"]
            if Path(f"/proc/{pid}").exists():  # a unit may have claims of the dead too
                pids[claim.stem] = pid
    return pids


@contextmanager
def in_mid_trial(store: Path, wanted: Callable[[str], bool] = bool) -> Iterator[int]:
    """A worker that surely is at a unit, a wanted one, not yet at its end; it stands still for the body."""
    caught: list[int] = []

    def catch() -> bool:
        for unit, pid in at_work(store).items():
            if not wanted(unit):
                continue
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                wait_for(lambda pid=pid: state_and_parent(pid)[0] == "T")
                if unit in at_work(store) and not Store(store).is_recorded(unit):
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
    return pl.scan_parquet(store / "records" / "*.parquet").drop(NOT_REPRODUCED).sort("unit_id").collect()


@pytest.fixture(scope="module")
def undisturbed(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("undisturbed")
    return store, finished(start(environment, store))


def test_a_sweep_records_every_trial_once_and_draws_its_figure(undisturbed: tuple[Path, str]) -> None:
    store, _ = undisturbed
    frame = reproduced(store)
    assert frame["unit_id"].n_unique() == len(frame) == PLANNED
    assert set(frame["status"]) == {"done"}
    assert all((store / "figures" / f"smoke.{suffix}").stat().st_size > 200 for suffix in ("pdf", "png", "svg", "csv"))
    numbers = pl.read_csv(store / "figures" / "smoke.csv").filter(pl.col("metric") == "average")
    assert numbers["n"].to_list() == [6, 6, 6]


def test_lanes_start_one_engine_each(undisturbed: tuple[Path, str]) -> None:
    records = pl.read_parquet(undisturbed[0] / "records" / "*.parquet")
    provenance = records.select("provenance").unnest("provenance")
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


@pytest.mark.timeout(1200)
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
    wait_for(lambda: not at_work(tmp_path))
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
    [(attempt, error)] = pl.scan_parquet(tmp_path / "failed" / "*.parquet").select("attempt", "error").collect().rows()
    assert attempt == 1
    doing = r"starting .*|.*  step \d/4|.*  waits for grades"
    assert re.fullmatch(rf"the worker was killed by SIGKILL while ({doing})", error)
    assert not list(tmp_path.rglob("*.tmp"))
    config = compose_launch([*SMALL, f"store={tmp_path}"])
    assert plan(config, Store(tmp_path)).todo == []
