"""What is said of a sweep from its store alone: launches, plan, cells; and a watch that ends by itself."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

import analysis.draw
from analysis.seeds import AVERAGE
from em.store import Store
from em.store.provenance import provenance
from em.store.record import EvaluationResult, Record, Status
from em.trial.unit import Unit
from sweeps import status
from sweeps.board import GONE_SECONDS, Board
from sweeps.config import compose_launch
from sweeps.snapshot import LaneState, Snapshot
from sweeps.standing import Observer
from sweeps.status import cells, head, watch
from tests.test_imports import HEAVY, PROBE

NOW = datetime.now(UTC)
ARGUMENTS = ["sweep=smoke", "sweep.seeds=4"]  # 0.5, 1.0 and 1.5, four seeds each: 12 trials and their base model


def record(unit: Unit, accuracy: float = 0.5, status: Status = Status.done, benchmarks: int = 6) -> Record:
    """A record of what the unit wants, all of one accuracy; diverged and failed ones hold no measurement."""
    results = [
        EvaluationResult(
            step=measurement.step,
            evaluation_id=measurement.evaluation.id,
            benchmark=measurement.evaluation.benchmark.name,
            temperature=1.0,
            problems=1,
            samples=1,
            accuracy=accuracy,
            correct=[True],
            extracted=["1"],
            lengths=[3],
            truncated=[False],
            texts=["#1"],
        )
        for measurement in unit.measurements[:benchmarks]
    ]
    made = provenance(lane="0", device="cpu", started=NOW, turnover_seconds=None)
    return Record.of(
        unit,
        status=status,
        attempt=1,
        error="ValueError: no" if status is Status.failed else None,
        evaluations=results if status is Status.done else [],
        provenance=made,
    )


def snapshot(**changes: object) -> Snapshot:
    lanes = {
        "0": LaneState("node-a", "tiny-0 abc  step 3/10", done=6, engines=1),
        "10": LaneState("node-b", "loading tiny-0\nand more", engines=3),
        "2": LaneState("node-b", "waiting", done=5),
    }
    fields = {
        "planned": 120,
        "done": 19,
        "diverged": 1,
        "failed": 4,
        "given_up": 0,
        "lost": 2,
        "running": 2,
        "lanes": lanes,
        "unit_seconds": [1.0, 3.0],
        "paused": False,
        "stopped": "",
    }
    return Snapshot(**(fields | changes))  # type: ignore[arg-type]


def posted(store: Store, said: Snapshot, age: float = 0.0, over: bool = False, sweep: str = "smoke") -> Path:
    """A launch's notice on node-a, as old as that."""
    board = Board(store, sweep, [f"sweep={sweep}", "sweep.seeds=4"])
    board.about |= {"node": "node-a", "pid": 4711}
    board.post(said.plain(), over)
    path = store.root / "launches" / board.folder / "status.json"
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def printed(sweep: Observer, width: int = 100, rows: int = 40, lanes: int = 40) -> list[str]:
    """The lines of a status, blanks united."""
    now, output = sweep.look(), StringIO()
    Console(file=output, width=width).print(head(sweep, now, lanes), cells(sweep, now, rows), sep="\n")
    assert all(len(line) <= width for line in output.getvalue().splitlines())
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def sweep(store: Store) -> Observer:
    return Observer(compose_launch([*ARGUMENTS, f"store={store.root}"]))


def commit(sweep: Observer, accuracies: Sequence[float], status: Status = Status.done, first: int = 0) -> None:
    """Record that of units of the sweep, in its order, from the one at `first` on."""
    for unit, accuracy in zip(sweep.units[first:], accuracies, strict=False):
        assert sweep.store.commit(record(unit, accuracy, status))


@pytest.fixture
def begun(sweep: Observer) -> Observer:
    """Two seeds of each cell scored; of the third seeds one has diverged, one failed once and one was given up."""
    commit(sweep, [0.4, 0.5, 0.6, 0.7, 0.52, 0.6, 0.9])
    commit(sweep, [0], Status.diverged, first=7)
    commit(sweep, [0], Status.failed, first=8)
    for _ in range(3):
        commit(sweep, [0], Status.failed, first=9)
    return sweep


def test_a_sweep_of_which_nothing_is_known(sweep: Observer) -> None:
    lines = printed(sweep)
    assert lines[0] == "no launch of smoke is known here: `make sweep-smoke` starts one"
    assert "recorded 0 of 13 units of work in" in " ".join(lines)
    assert "0.5 ···· 0/4 - - -" in lines
    assert not sweep.store.root.exists()


def test_the_plan_and_every_cell_are_counted(begun: Observer) -> None:
    lines = printed(begun, width=80)
    text = " ".join(lines)
    assert "recorded 8 of 13 units of work in" in text
    assert ", 4 to do" in text
    assert "1 given up after 3 failed attempts (`make failures`)" in text
    assert any(line.endswith("61.5% 1 diverged 4 failed attempts 1 given up") for line in lines)
    assert "accuracy after step 10 at temperature 1, %; base model 40.0" in lines
    assert "temperature recorded diverged failed mean worst best" in lines
    assert [line for line in lines if "/4" in line] == [
        "0.5 ■■x· 3/4 1 51.0 50.0 52.0",
        "1 ■■!· 2/4 1 60.0 60.0 60.0",
        "1.5 ■■!· 2/4 1 80.0 70.0 90.0",
    ]


def test_failures_that_may_pass_are_pointed_at(sweep: Observer) -> None:
    commit(sweep, [0], Status.failed, first=1)
    assert "`make failures` says what failed" in printed(sweep)


def test_what_is_not_measured_on_all_benchmarks_is_missing(sweep: Observer) -> None:
    sweep.store.commit(record(sweep.units[1], benchmarks=5))
    assert "0.5 ···· 0/4 - - -" in printed(sweep)


def test_a_damaged_record_is_counted_and_shown_as_missing(begun: Observer) -> None:
    (begun.store.root / "records" / f"{begun.units[1].id}.parquet").write_bytes(b"half")
    lines = printed(begun)
    assert any(line.endswith("4 failed attempts 1 given up 1 damaged") for line in lines)
    assert "0.5 ■x·· 2/4 1 52.0 52.0 52.0" in lines


def test_every_combination_is_a_row(store: Store) -> None:
    axes = "[{field:optimizer.lr,values:[1e-3,1e-4]},{field:model.pretrain.seed,values:[1,0]}]"
    sweep = Observer(compose_launch(["sweep=smoke", f"sweep.axes={axes}", "sweep.figures=[]", f"store={store.root}"]))
    commit(sweep, [0.5, 0.5, 0.25])  # two base models and the first cell's first seed
    lines = printed(sweep)
    assert "accuracy after step 10 at temperature 1, %" in lines
    assert "lr seed recorded mean worst best" in lines
    assert [line for line in lines if "/2" in line] == [
        "0.001 1 ■· 1/2 25.0 25.0 25.0",
        "0.001 0 ·· 0/2 - - -",
        "0.0001 1 ·· 0/2 - - -",
        "0.0001 0 ·· 0/2 - - -",
    ]
    assert printed(sweep, rows=1)[-1] == "and 3 more: 0/6 recorded"


def test_a_sweep_without_axes_is_one_cell(store: Store) -> None:
    sweep = Observer(compose_launch(["sweep=smoke", "sweep.axes=[]", "sweep.figures=[]", f"store={store.root}"]))
    commit(sweep, [0.5, 0.25])
    assert "tiny-0 ■· 1/2 25.0 25.0 25.0" in printed(sweep)


def test_a_sweep_of_base_models_has_no_cells(store: Store) -> None:
    sweep = Observer(compose_launch([*ARGUMENTS, "eval.steps=[0]", f"store={store.root}"]))
    commit(sweep, [0.5])
    assert "accuracy" not in " ".join(printed(sweep))
    assert "100.0%" in printed(sweep)[-2]


def test_many_seeds_share_a_mark_which_is_of_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "BAR", 4)
    scored, missing = status.Outcome.scored, status.Outcome.missing
    counts = [{missing: 8}, {scored: 1, missing: 7}, {scored: 7, missing: 1}, {scored: 8}, {scored: 2}]
    assert [status.bar(status.Counter(count)).plain for count in counts] == ["····", "····", "■■■·", "■■■■", "■■"]


def test_a_live_launch_is_shown_with_its_lanes(begun: Observer) -> None:
    posted(begun.store, snapshot(), age=12)
    posted(begun.store, snapshot(), sweep="other")
    lines = printed(begun)
    started = datetime.strptime(lines[0].partition("since ")[2][:16], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert NOW - timedelta(minutes=5) < started <= datetime.now(UTC)
    assert lines[0].startswith("running on node-a, pid 4711, since ")
    assert lines[0].endswith(" s), last notice 12 s ago")
    assert lines[1:7] == [
        ".venv/bin/python -m sweeps sweep=smoke sweep.seeds=4",
        "20 of 120 done 2 running 2.00 s a trial 100 s left",
        "1 diverged 4 failed attempts 2 lost with their lane",
        "lane 0 node-a 6 done tiny-0 abc step 3/10",
        "lane 2 node-b 5 done waiting",
        "lane 10 node-b 0 done 3 engine starts loading tiny-0",
    ]
    assert "and 2 more" in printed(begun, lanes=1)
    assert "other" not in " ".join(lines)


def test_all_live_launches_are_shown_and_why_one_waits_or_stops(begun: Observer) -> None:
    posted(begun.store, snapshot(), over=True)
    posted(begun.store, snapshot(paused=True))
    posted(begun.store, snapshot(stopped="asked to"))
    heads = [line.partition(",")[0] for line in printed(begun) if "pid 4711" in line]
    assert sorted(heads) == ["paused on node-a", "stopping (asked to) on node-a"]


def test_a_launch_that_is_gone_was_last_heard_of(begun: Observer) -> None:
    posted(begun.store, snapshot(), age=max(180, GONE_SECONDS))
    assert printed(begun)[:2] == [
        "no launch is running; last sign of life 3 min ago on node-a, pid 4711: the same command goes on",
        ".venv/bin/python -m sweeps sweep=smoke sweep.seeds=4",
    ]


def test_a_launch_that_ended_says_how(begun: Observer) -> None:
    posted(begun.store, snapshot(stopped="asked to"), age=60, over=True)
    assert printed(begun, width=200)[:2] == [
        "no launch is running; the last one ended 60 s ago (asked to) on node-a, pid 4711, "
        "20 of its 120 units of work done: the same command goes on",
        ".venv/bin/python -m sweeps sweep=smoke sweep.seeds=4",
    ]


def test_nothing_is_to_go_on_where_nothing_is_to_do(sweep: Observer) -> None:
    commit(sweep, [0.5] * 13)
    posted(sweep.store, snapshot(), age=60, over=True)
    assert "goes on" not in " ".join(printed(sweep))


def test_a_notice_of_another_version_is_shown_as_far_as_it_can_be(begun: Observer) -> None:
    path = posted(begun.store, snapshot())
    said = Board(begun.store, "smoke", []).about | {"over": False, "snapshot": asdict(snapshot()) | {"newer": 1}}
    path.write_text(json.dumps(said))
    lines = printed(begun)
    assert lines[0].startswith("running on ")
    assert "another version of the code wrote its notice: it cannot be read here" in lines


def test_records_are_read_again_only_where_there_are_others(begun: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begun.look()
    assert begun.look() is first
    commit(begun, [0.5], first=10)
    second = begun.look()
    assert (first.plan.recorded, second.plan.recorded) == (8, 9)
    commit(begun, [0], Status.failed, first=11)
    assert begun.look().failed == 5
    monkeypatch.setattr(begun.store, "records", lambda: pytest.fail("read again"))
    begun.look()


def watched(
    sweep: Observer, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Callable[[], object]], terminal: bool = False
) -> str:
    """What a watch prints that finds one more thing done each time it has slept; it has to end after the last."""
    left, output = iter(steps), StringIO()
    monkeypatch.setattr(status.time, "sleep", lambda seconds: next(left)())
    watch(sweep, Console(file=output, width=100, height=24, force_terminal=terminal))
    assert list(left) == []
    return output.getvalue()


def test_a_watch_ends_with_the_sweep_and_redraws_its_figure(begun: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = begun.draw
    monkeypatch.setattr(begun, "draw", lambda: drawn.append(begun.standing.plan.recorded) or draw())
    steps = [
        lambda: commit(begun, [0.8], first=8),  # after one failed attempt
        lambda: posted(begun.store, snapshot()),
        lambda: commit(begun, [0.5, 0.6, 0.7], first=10),
    ]
    lines = [" ".join(line.split()) for line in watched(begun, monkeypatch, steps).splitlines()]
    trouble = "1 diverged, 4 failed attempts, 1 given up"
    assert [line for line in lines if line.startswith("smoke: ")] == [
        f"smoke: 8/13 recorded, {trouble}, no launch is running",
        f"smoke: 9/13 recorded, {trouble}, no launch is running",
        f"smoke: 9/13 recorded, {trouble}, running on node-a",
        f"smoke: 12/13 recorded, {trouble}, running on node-a",
    ]
    assert lines[-3:] == [
        "0.5 ■■■x 4/4 1 50.7 50.0 52.0",
        "1 ■■■■ 4/4 65.0 60.0 80.0",
        "1.5 ■■■! 3/4 1 76.7 70.0 90.0",
    ]
    assert drawn == [8, 9, 12]
    assert f"drawn:{begun.store.where('figures/smoke.png')}" in "".join(lines).replace("drawn: ", "drawn:")
    numbers = pl.read_csv(begun.store.files.read("figures/smoke.csv")).filter(pl.col("metric") == AVERAGE)
    assert numbers.select("rollout.temperature", "n").rows() == [(0.5, 3), (1.0, 4), (1.5, 3)]


def test_a_watch_on_a_terminal_redraws_in_place(begun: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begun, "drawable", False)
    steps = [lambda: commit(begun, [0.8], first=8), lambda: commit(begun, [0.5, 0.6, 0.7], first=10)]
    text = watched(begun, monkeypatch, steps, terminal=True)
    shown = [text.count(f"recorded {recorded} of 13") for recorded in (8, 9, 12)]
    assert shown == [1, 1, 2]  # what is seen last stays
    assert "\x1b[1A\x1b[2K" in text  # over what was shown before
    assert "smoke: 8/13" not in text


def test_a_store_that_cannot_be_written_is_watched_without_a_figure(
    begun: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr(analysis.draw, "save", refuse)
    steps = [lambda: commit(begun, [0.8], first=8), lambda: commit(begun, [0.5, 0.6, 0.7], first=10)]
    text = watched(begun, monkeypatch, steps)
    assert tried == [1]
    assert "drawn" not in text
    assert "smoke: 12/13 recorded" in text


@pytest.mark.parametrize("overrides", [["sweep.figures=[]"], []])
def test_nothing_is_drawn_where_there_is_no_figure_or_no_score(store: Store, overrides: list[str]) -> None:
    sweep = Observer(compose_launch([*ARGUMENTS, f"store={store.root}", *overrides]))
    assert sweep.draw() == []
    commit(sweep, [0.5])
    sweep.look()
    assert sweep.draw() == []
    assert store.files.list("figures") == []


def test_the_commands_load_nothing_heavy_and_end_as_they_should(sweep: Observer) -> None:
    """`watch` is interrupted while something is left to do, and ends by itself where nothing is."""
    probed = subprocess.run([sys.executable, "-c", PROBE, "sweeps.status"], capture_output=True, text=True, check=True)
    assert not {name for name in HEAVY if f'"{name}"' in probed.stdout}

    words = [sys.executable, "-m", "sweeps.status", "watch", *ARGUMENTS, f"store={sweep.store.root}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "smoke: 0/13 recorded, no launch is running\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130

    commit(sweep, [0.5] * 13)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("smoke: 13/13 recorded, no launch is running\n")
    assert "1.5 ■■■■ 4/4 50.0 50.0 50.0" in [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.stderr == ""


def test_a_mistake_is_one_line_and_exit_status_2() -> None:
    words = [sys.executable, "-m", "sweeps.status", "watch", "sweep=smok"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == "error: unknown sweep 'smok': did you mean 'smoke'?\n"
    assert done.returncode == 2
