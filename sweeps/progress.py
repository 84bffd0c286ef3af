"""The display of a running sweep: planned, done, running, failed; what each lane does; seconds a trial, time left."""

from dataclasses import dataclass

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.snapshot import Snapshot


@dataclass(frozen=True)
class Display:
    """Draws snapshots of the queue of one launch."""

    sweep: str
    before: int  # recorded before this launch

    def line(self, now: Snapshot) -> str:
        """One line, for logs."""
        head = f"{self.sweep}: {self.before + now.recorded}/{self.before + now.planned} recorded"
        stopping = [f"stopping: {now.stopped}"] if now.stopped else []
        return ", ".join([head, f"{now.running} running", *trouble(now), *timing(now), *stopping])

    def panel(self, now: Snapshot, rows: int = 40) -> Group:
        """A bar, the counts, and a line for each lane."""
        head = Table.grid(padding=(0, 2))
        done, wanted = self.before + now.recorded, self.before + now.planned
        bar = ProgressBar(total=wanted, completed=done, width=40)
        head.add_row(Text(self.sweep, style="bold"), bar, f"{done}/{wanted}", *timing(now))
        counts = [f"{now.planned} planned", f"{now.recorded} done", f"{now.running} running"]
        note = [Text(f"stopping: {now.stopped}", style="yellow")] if now.stopped else []
        return Group(head, "  " + "  ".join(counts + (trouble(now) or ["0 failed"])), lanes(now, rows), *note)


def lanes(now: Snapshot, rows: int) -> Group:
    """A line for each of the first lanes, and how many more there are."""
    table = Table.grid(padding=(0, 2))
    for name, lane in sorted(now.lanes.items(), key=lambda item: int(item[0]))[:rows]:
        engines = f"{lane.engines} engine starts" if lane.engines > 1 else ""
        doing = Text(lane.doing.partition("\n")[0], no_wrap=True, overflow="ellipsis")
        table.add_row(f"  lane {name}", Text(lane.node), f"{lane.done} done", engines, doing)
    more = [Text(f"  and {len(now.lanes) - rows} more")] if len(now.lanes) > rows else []
    return Group(table, *more)


def trouble(now: Snapshot) -> list[str]:
    """What did not go well, nothing where all did."""
    counts = {
        "diverged": now.diverged,
        "failed attempts": now.failed,
        "given up": now.given_up,
        "lost with their lane": now.lost,
    }
    slow = [f"{node} takes {times:.0f} times as long" for node, times in sorted(now.slow.items())]
    broken = [f"{device} fails and gets no more work" for device in now.broken]
    paused = ["paused"] * now.paused
    return [*paused, *(f"{count} {name}" for name, count in counts.items() if count), *slow, *broken]


def timing(now: Snapshot) -> list[str]:
    """Seconds of a unit of work on its lane, mean of the last ones, and what the rest will take the lanes that run."""
    if not now.unit_seconds:
        return []
    mean = sum(now.unit_seconds) / len(now.unit_seconds)
    return [f"{mean:.2f} s a trial", f"{duration(now.left * mean / max(1, now.running))} left"]


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
