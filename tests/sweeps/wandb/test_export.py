"""What lies on disk equals the store, whatever was killed, and is written once."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from em.errors import InputError
from em.store import Store
from sweeps.board import Notice
from sweeps.wandb import export, runs
from sweeps.wandb.__main__ import Mirror
from sweeps.wandb.folder import generation_of, run_of
from sweeps.wandb.monitor import monitor_run
from sweeps.wandb.runs import CURRENT, SUPERSEDED, planned
from sweeps.wandb.transaction_log import is_whole
from tests.processes import started, wait_for
from tests.sweeps.wandb.conftest import NO_KEY, SMALL, Filled, command, composed, folder_of, read_back, run, viewed

WANDBS_OWN = ("_runtime", "_timestamp", "_step", "_wandb")


def written(store: Store, project: str = "em-smoke") -> dict[str, dict[str, Any]]:
    return {run_id: read_back(path) for run_id, path in folder_of(store, project).runs().items()}


def without_media(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, dict) and name not in WANDBS_OWN}


def assert_equal_to_the_store(store: Store, *words: str) -> None:
    """Every row, summary, config, tag and exit code that the plan has, and no run more."""
    config = composed(store, *words)
    runs = written(store, config.project)
    plans = {plan.id: plan for plan in planned(viewed(config), [])}
    assert {name for name in runs if not name.endswith(("monitor", "curve"))} == set(plans)
    for run_id, plan in plans.items():
        of = runs[run_id]
        assert [row["_step"] for row in of["history"]] == [row["_step"] for row in plan.history]
        assert [without_media(row) for row in of["history"]] == [without_media(row) for row in plan.history]
        assert of["summary"].items() >= plan.summary.items()
        assert json.loads(json.dumps(plan.config)) == {k: v for k, v in of["config"].items() if k != "_wandb"}
        assert (of["run"].display_name, of["run"].run_group, of["run"].job_type) == (
            plan.name,
            plan.group,
            plan.job_type,
        )
        assert list(of["run"].tags) == plan.tags
        assert of["exit_code"] == plan.exit_code
        for name, of_table in plan.tables.items():
            [path] = folder_of(store, config.project).runs()[run_id].glob(f"files/media/table/{name}_*.table.json")
            assert json.loads(path.read_text()) == {"columns": of_table["columns"], "data": of_table["rows"]}


def test_runs_on_disk_equal_the_store_and_are_written_once(filled: Filled) -> None:
    store = filled()
    said = run(store)
    assert "3 cell runs written, 5 in" in said  # and a monitor and a curve
    assert f".venv/bin/python -m wandb sync {store.root}/wandb/em-smoke" in said
    assert_equal_to_the_store(store)
    before = {path: path.stat().st_mtime_ns for path in folder_of(store).runs().values()}
    assert "0 cell runs written, 5 in" in run(store)
    assert {path: path.stat().st_mtime_ns for path in folder_of(store).runs().values()} == before


def test_a_run_that_is_written_so_already_is_left_as_it_is(filled: Filled) -> None:
    """The curve, say, where the monitor has changed and no score has."""
    store = filled()
    run(store)
    folder = folder_of(store)
    curve = next(path for run_id, path in folder.runs().items() if run_id.endswith("curve"))
    before = curve.stat().st_mtime_ns
    with export.session(folder), folder.alone():
        export.save(run_of(curve), folder)
    assert [path for run_id, path in folder.runs().items() if run_id.endswith("curve")] == [curve]
    assert curve.stat().st_mtime_ns == before


def test_a_run_for_each_trial(filled: Filled) -> None:
    store = filled()
    assert "10 trial runs written" in run(store, "tracking.runs=trial")
    assert_equal_to_the_store(store, "tracking.runs=trial")


def test_the_older_version_of_a_cell_is_superseded(filled: Filled) -> None:
    store = filled()
    run(store)
    older = set(folder_of(store).runs())
    filled("sweep.seeds=4")
    assert "3 cell runs written, 8 in" in run(store, "sweep.seeds=4")
    paths = folder_of(store).runs()
    cells = {run_id: path for run_id, path in paths.items() if run_of(path).job_type == "cell"}
    assert {run_id for run_id, path in cells.items() if generation_of(path) == SUPERSEDED} == older & set(cells)
    for run_id, path in cells.items():
        tags = list(read_back(path)["run"].tags)
        assert (SUPERSEDED in tags) == (run_id in older)
        assert len(read_back(path)["history"]) == 3


def test_the_monitor_run_has_the_figure_the_cells_and_some_answers(filled: Filled) -> None:
    store = filled()
    run(store, "sweep.figures=null")
    [path] = [path for path in folder_of(store).runs().values() if run_of(path).job_type == "monitor"]
    monitor = run_of(path)
    assert monitor.tables["responses"]["rows"][0][-3:] == ["#1", "1", True]
    assert [row[0] for row in monitor.tables["cells"]["rows"]] == [
        "temperature=0.5",
        "temperature=1",
        "temperature=1.5",
    ]
    assert [file.name.partition("_")[0] for file in path.glob("files/media/images/*.png")] == ["figure"]
    [row] = read_back(path)["history"]
    assert (row["done"], row["wanted"], row["failed_attempts"]) == (10, 10, 0)
    assert row["_timestamp"] == monitor.history[0]["_timestamp"]


@pytest.mark.slow
def test_an_exporter_that_is_killed_neither_loses_nor_repeats_a_run(filled: Filled) -> None:
    store, rng = filled("sweep.seeds=20"), random.Random(0)
    words = ["sweep.seeds=20", "tracking.runs=trial"]
    folder = folder_of(store)
    for _ in range(4):
        process, there = started(command(store, *words), os.environ | NO_KEY), len(folder.runs())
        wait_for(lambda there=there: len(folder.runs()) > there)
        time.sleep(0.2 * rng.random())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        for path in folder.runs().values():
            assert is_whole(next(path.glob("*.wandb")), len(run_of(path).history))
    assert len(folder.runs()) < 61
    run(store, *words)
    assert_equal_to_the_store(store, *words)
    assert not folder.writing.exists()


def test_a_file_that_was_cut_short_is_not_whole(filled: Filled, tmp_path: Path) -> None:
    store = filled()
    run(store)
    path = next(iter(folder_of(store).runs().values()))
    [file] = path.glob("*.wandb")
    rows, content = len(run_of(path).history), file.read_bytes()
    assert is_whole(file, rows)
    assert not is_whole(file, rows + 1)
    for length in range(0, len(content), 97):
        (tmp_path / "short.wandb").write_bytes(content[:length])
        assert not is_whole(tmp_path / "short.wandb", rows)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_is_said_in_one_line(filled: Filled, tmp_path: Path) -> None:
    store = filled()
    disk = store.root / "wandb"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)], check=True)
    try:
        said = run(store, "tracking.runs=trial", status=2)
        for path in folder_of(store).runs().values():
            assert is_whole(next(path.glob("*.wandb")), len(run_of(path).history))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert said.startswith("error: ")
    assert "cannot be written" in said
    assert said.count("\n") == 1


def exported(store: Store, *words: str) -> dict[str, set[str]]:
    """The ids of cells' and trials' runs by tag, after an export."""
    folder, tagged = folder_of(store), {CURRENT: set(), SUPERSEDED: set()}
    with export.session(folder), folder.alone():
        export.export(viewed(composed(store, *words)), folder)
    for run_id, path in folder.runs().items():
        tag, *_ = read_back(path)["run"].tags
        assert tag == generation_of(path) == run_of(path).tags[0]
        tagged[tag].add(run_id)
    return tagged


def test_the_version_that_is_wanted_now_is_the_current_one(filled: Filled) -> None:
    store, one, both = filled("eval.steps=[1,2]"), "eval.steps=[1]", "eval.steps=[1,2]"
    ids = {steps: {plan.id for plan in planned(viewed(composed(store, steps)), [])} for steps in (one, both)}
    assert exported(store, one) == {CURRENT: ids[one], SUPERSEDED: set()}
    assert exported(store, both) == {CURRENT: ids[both], SUPERSEDED: ids[one]}
    assert exported(store, one) == {CURRENT: ids[one], SUPERSEDED: ids[both]}
    assert exported(store, both) == {CURRENT: ids[both], SUPERSEDED: ids[one]}


def test_runs_of_trials_leave_those_of_cells_current(filled: Filled) -> None:
    store = filled()
    of_cells = exported(store)[CURRENT]
    of_both = exported(store, "tracking.runs=trial")
    assert (len(of_cells), len(of_both[CURRENT] - of_cells), of_both[SUPERSEDED]) == (3, 10, set())
    assert of_cells < of_both[CURRENT]


def test_more_runs_than_a_project_takes_go_on_in_the_next(filled: Filled) -> None:
    store = filled()
    folder, limit = folder_of(store), "tracking.runs_per_project=4"
    for other in ("em-smoke-2", "em-smoke10", "em-smoke.2.staging"):
        (folder.root / other / "offline-run-0-0.current").mkdir(parents=True)
    run(store, limit)
    filled("sweep.seeds=4")
    assert "3 cell runs written, 8 in" in run(store, "sweep.seeds=4", limit)
    assert folder.projects() == ["em-smoke", "em-smoke.2"]
    assert Counter(path.parent.name for path in folder.runs().values()) == {"em-smoke": 4, "em-smoke.2": 4}
    for path in folder.runs().values():
        assert read_back(path)["run"].project == run_of(path).project == path.parent.name


def test_no_cell_keeps_monitor_and_curve_from_being_written(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    mirror = Mirror([*SMALL, f"store={store.root}"], Console(quiet=True))
    monkeypatch.setattr(runs, "COLUMNS", 5)
    with export.session(mirror.folder), pytest.raises(InputError, match="columns of a cell"):
        mirror.look([], [])
    assert sorted(run_of(path).job_type for path in mirror.folder.runs().values()) == ["curve", "monitor"]


@pytest.mark.parametrize(("hours", "rows"), [(1, 2), (2, 1)])
def test_the_monitor_is_thinned_by_how_long_the_launch_takes(filled: Filled, hours: int, rows: int) -> None:
    """A minute after its last row, of a journal that is a month old."""
    store = filled()
    folder, config = folder_of(store), composed(store)
    now = time.time()
    lines = [{"id": "a-monitor", "started": now - 30 * 86_400}, {"_step": 0, "_timestamp": now - 60, "done": 0}]
    folder.root.mkdir()
    (folder.root / "em-smoke-smoke.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = {"started": datetime.fromtimestamp(now - hours * 3600, UTC).isoformat(), "snapshot": None}
    monitor = monitor_run(viewed(config), folder, [Notice("launch", 0.0, said)], "", 15.0, None)
    assert monitor is not None
    assert len(monitor.history) == rows
