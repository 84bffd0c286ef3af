"""What the display says of a snapshot."""

from rich.console import Console

from sweeps.progress import Display, duration
from sweeps.snapshot import LaneState, Snapshot

DISPLAY = Display("temperature", before=9)


def snapshot(**changes: object) -> Snapshot:
    lanes = {
        "0": LaneState("node-a", "tiny-0 abc  step 3/10", done=6, engines=1),
        "1": LaneState("node-b", "loading tiny-0", engines=3),
    }
    fields = {
        "planned": 120,
        "done": 19,
        "diverged": 1,
        "failed": 0,
        "given_up": 0,
        "lost": 0,
        "running": 2,
        "lanes": lanes,
        "unit_seconds": [1.0, 3.0],
        "paused": False,
        "stopped": "",
    }
    return Snapshot(**(fields | changes))  # type: ignore[arg-type]


def test_a_line_counts_what_earlier_launches_recorded() -> None:
    line = DISPLAY.line(snapshot())
    assert line == "temperature: 29/129 recorded, 2 running, 1 diverged, 2.00 s a trial, 100 s left"


def test_a_line_says_what_goes_wrong() -> None:
    line = DISPLAY.line(snapshot(failed=4, given_up=1, lost=2, paused=True, stopped="Ctrl-C", unit_seconds=[]))
    assert line == (
        "temperature: 29/129 recorded, 2 running, paused, 1 diverged, 4 failed attempts, 1 given up, "
        "2 lost with their lane, stopping: Ctrl-C"
    )


def test_a_line_names_slow_nodes_and_gpus_that_fail() -> None:
    line = DISPLAY.line(snapshot(slow={"node-b": 9.6}, broken=["GPU 3 of node-a"], unit_seconds=[]))
    assert line == (
        "temperature: 29/129 recorded, 2 running, 1 diverged, node-b takes 10 times as long, "
        "GPU 3 of node-a fails and gets no more work"
    )


def test_the_panel_shows_every_lane() -> None:
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(DISPLAY.panel(snapshot(diverged=0)))
    text = capture.get()
    assert "120 planned  19 done  2 running  0 failed" in text
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "lane 0 node-a 6 done tiny-0 abc step 3/10" in rows
    assert "lane 1 node-b 0 done 3 engine starts loading tiny-0" in rows


def test_durations_are_in_units_that_fit() -> None:
    assert [duration(seconds) for seconds in (0.4, 119, 121, 7_199, 7_201)] == [
        "0 s",
        "119 s",
        "2 min",
        "120 min",
        "2.0 h",
    ]
