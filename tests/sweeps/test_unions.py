"""A union of sweeps and a budget, launched: near-empty trials, real queue, lanes and workers."""

import os
import sys
from pathlib import Path

import polars as pl
import pytest

from em.store import Store
from sweeps.config import compose_launch
from sweeps.plan import plan
from sweeps.snapshot import Snapshot
from sweeps.standing import Observer
from sweeps.supervisor import Supervisor
from sweeps.wandb.__main__ import Mirror
from tests.processes import finished, started

UNION = ["sweep=lr,smoke", "sweep.seeds=2", "cluster.lanes=1"]


def launched(store: Path, *words: str) -> str:
    command = [sys.executable, "-m", "tests.sweep", "tests.near_empty:Trainer", *words, f"store={store}"]
    return finished(started(command, os.environ | {"WANDB_MODE": "offline"}))


@pytest.fixture(scope="module")
def union(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("union") / "results"
    return store, launched(store, *UNION)


def test_each_sweep_of_a_union_is_recorded_and_drawn_once(union):
    store, output = union
    planned = plan(compose_launch(UNION), Store(store))
    assert (planned.todo, len(planned.wanted)) == ([], 1 + 2 * (7 + 3 - 1))  # temperature 1.5 is in both
    assert len(list((store / "records").glob("*.parquet"))) == len(planned.wanted)
    assert {path.stem for path in (store / "figures").glob("*.png")} == {"lr", "smoke"}
    rows = {
        line.split()[0]: line.split()[1:] for line in output.splitlines() if line.split()[:1] in (["lr"], ["smoke"])
    }
    assert rows["lr"] == ["15", "of", "15", "lr.png", "-"]
    assert rows["smoke"] == ["7", "of", "7", "smoke.png", "-"]


def test_seed_0_of_both_sweeps_was_made_before_seed_1_of_any(union):
    started_at = pl.col("provenance").struct.field("started")
    records = pl.read_parquet(union[0] / "records" / "*.parquet").sort(started_at)
    turns = {unit.id: unit.turn for unit in plan(compose_launch(UNION), Store(union[0])).wanted}
    made = [turns[unit] for unit in records["unit_id"]]
    assert made == sorted(made)


def test_the_status_of_a_sweep_shows_the_launch_of_its_union(union):
    [notice] = Observer(compose_launch(["sweep=smoke", "sweep.seeds=2", f"store={union[0]}"])).launches()
    assert notice.said["sweep"] == "lr-smoke"
    whole = Observer(compose_launch([*UNION, f"store={union[0]}"]))
    assert [(of.config.sweep.name, len(seeds)) for of, seeds in whole.look().parts] == [("lr", 14), ("smoke", 6)]


def test_what_a_union_still_lacks_is_listed_with_its_command(union):
    words = [*UNION[:1], "sweep.seeds=3", UNION[2]]
    output = finished(started([sys.executable, "-m", "sweeps.figures", *words, f"store={union[0]}"], dict(os.environ)))
    [row] = [line for line in output.splitlines() if line.split()[:1] == ["smoke"]]
    assert row.split()[1:4] == ["7", "of", "10"]
    assert "sweep=smoke" in "".join(output.split())


def test_a_union_is_one_project_of_wandb(union):
    from rich.console import Console

    mirror = Mirror([*UNION, f"store={union[0]}"], Console(quiet=True))
    mirror.follow()
    assert mirror.folder.projects() == ["em-lr-smoke"]
    kinds = [path.name for path in mirror.folder.runs().values()]
    assert len(kinds) == (7 + 1 + 1) + (3 + 1 + 1)  # cells, monitor and curve of each sweep


@pytest.mark.slow
def test_a_launch_ends_with_its_budget_and_the_same_command_goes_on(tmp_path):
    store = tmp_path / "results"
    output = launched(store, "sweep=smoke", "sweep.seeds=2", "cluster.lanes=1", "budget.wall_hours=1e-6")
    assert "budget.wall_hours=1e-06 is spent" in output
    assert "smoke 0 of 7 - 7:" in " ".join(output.split())  # it was spent before a lane had started
    assert "smoke 7 of 7" not in launched(store, "sweep=smoke", "sweep.seeds=2", "cluster.lanes=1")
    assert plan(compose_launch(["sweep=smoke", "sweep.seeds=2"]), Store(store)).todo == []


@pytest.mark.parametrize(
    ("budget", "gpus", "hours", "stops"),
    [
        ("budget.wall_hours=1", 0.0, 0.98, False),
        ("budget.wall_hours=1", 0.0, 0.995, True),  # the next unit takes half a minute
        ("budget.gpu_hours=8", 8.0, 0.98, False),
        ("budget.gpu_hours=8", 8.0, 0.995, True),
        ("budget.gpu_hours=8", 0.0, 100.0, False),
        ("budget.price=1", 8.0, 100.0, False),
    ],
)
def test_no_unit_is_begun_that_would_end_after_the_budget(budget, gpus, hours, stops):
    said: list[object] = []
    config = compose_launch(["sweep=smoke", budget])
    nothing = None
    supervisor = Supervisor(
        config,
        nothing,  # type: ignore[arg-type]
        nothing,  # type: ignore[arg-type]
        lambda *call: said.append(call),
        nothing,  # type: ignore[arg-type]
        nothing,  # type: ignore[arg-type]
        nothing,  # type: ignore[arg-type]
        gpus,
    )
    supervisor.began -= 3600 * hours
    now = Snapshot(
        planned=9,
        done=1,
        diverged=0,
        failed=0,
        given_up=0,
        lost=0,
        running=1,
        lanes={},
        unit_seconds=[30.0, 20.0],
        paused=False,
        stopped="",
    )
    supervisor.keep_budget(now)
    supervisor.keep_budget(now)
    assert len(said) == stops  # once
