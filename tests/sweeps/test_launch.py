"""The real thing at its smallest: Ray, Tune lanes, vLLM, training; stopped and killed in every way."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from em.record import NOT_REPRODUCED
from em.store import Store
from sweeps.config import compose_launch
from sweeps.lane import LOST
from sweeps.plan import plan

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
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finished(process: subprocess.Popen[str], status: int = 0) -> str:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == status, output
    return output


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def recorded(store: Path) -> int:
    return len(list((store / "records").glob("*.parquet")))


def kill_lane_in_mid_trial(store: Path) -> None:
    made = Store(store).scan().select("provenance").unnest("provenance").sort("started").collect()
    time.sleep(0.3)
    os.kill(made["pid"][-1], signal.SIGKILL)


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
    for _ in range(4):  # a lane that is killed between two trials loses nothing, and there is nothing to see
        kill_lane_in_mid_trial(tmp_path)
        known = recorded(tmp_path)
        wait_for(lambda known=known: recorded(tmp_path) > known)  # Tune started the lane again
        if (tmp_path / "failed").is_dir():
            break
    driver.kill()
    driver.communicate()
    before = recorded(tmp_path)
    assert before < PLANNED

    driver = start(environment, tmp_path, "cluster.lanes=1")
    wait_for(lambda: recorded(tmp_path) >= before + 2)
    os.killpg(driver.pid, signal.SIGINT)  # what a terminal does: to Ray's processes too
    output = finished(driver, status=130)
    stopped_at = recorded(tmp_path)
    assert f"stopped: {stopped_at} of {PLANNED} recorded; the same command goes on" in output
    assert stopped_at < PLANNED

    finished(start(environment, tmp_path))
    assert reproduced(tmp_path).equals(reproduced(undisturbed[0]))
    lost = Store(tmp_path).scan_failed().select("attempt", "error").collect().rows()
    assert lost == [(1, LOST)]
    assert not list(tmp_path.rglob("*.tmp"))
    config = compose_launch([*SMALL, f"store={tmp_path}"])
    assert plan(config, Store(tmp_path)).todo == []


def test_a_setting_that_no_trial_can_meet_ends_the_sweep_in_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    output = finished(start(environment, tmp_path, "rollout.max_new_tokens=100000", "rollout=transformers"), status=2)
    assert output.splitlines()[-1].startswith("error: max_new_tokens=100000: the prompt '")
    assert recorded(tmp_path) <= 1
