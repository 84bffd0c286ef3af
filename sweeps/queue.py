"""Who does what: units of work are leased to lanes, one each, and come back when a lane dies.

A plain class, without Ray: `launch` makes an actor of it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from em.config import Unit
from em.record import Status

ALIKE_FAILURES = 3  # so many failed attempts a lane, and not one success: the sweep is stopped


@dataclass
class LaneState:
    """What a lane is doing, for the display."""

    doing: str = "starting"
    running: bool = False  # whether it holds a unit
    done: int = 0


@dataclass
class Snapshot:
    planned: int
    done: int
    diverged: int
    failed: int  # attempts
    given_up: int  # units
    lanes: dict[str, LaneState]
    unit_seconds: list[float]  # of the last finished units, oldest first
    stopped: str  # why no more is leased; empty: it goes on

    @property
    def recorded(self) -> int:
        return self.done + self.diverged

    @property
    def running(self) -> int:
        return sum(lane.running for lane in self.lanes.values())


@dataclass
class Queue:
    """Leases `units` in their order; one lease a lane."""

    units: Sequence[Unit]
    max_attempts: int
    failed_before: Mapping[str, int] = field(default_factory=dict)  # by unit id

    def __post_init__(self) -> None:
        self.pending = deque(self.units)
        self.failures = {unit.id: self.failed_before.get(unit.id, 0) for unit in self.units}
        self.leases: dict[str, tuple[Unit, int]] = {}
        self.lanes: dict[str, LaneState] = {}
        self.counts = dict.fromkeys(Status, 0)
        self.given_up = 0
        self.unit_seconds: deque[float] = deque(maxlen=64)
        self.stopped = ""

    def join(self, lane: str) -> tuple[Unit, int] | None:
        """A lane's process has started: the lease that its predecessor died with, if any; to be finished first."""
        self.lanes.setdefault(lane, LaneState()).doing = "starting"
        return self.leases.get(lane)

    def lease(self, lane: str) -> tuple[Unit, int] | None:
        """The next unit and which attempt at it this is; None: there is nothing (more) for this lane."""
        if self.stopped or not self.pending:
            self.lanes[lane].doing = "finished"
            return None
        unit = self.pending.popleft()
        self.leases[lane] = unit, self.failures[unit.id] + 1
        self.lanes[lane].running = True
        return self.leases[lane]

    def finish(self, lane: str, status: Status, seconds: float, error: str = "") -> None:
        """The lane's unit has its record, or a failed attempt, which puts the unit at the end of the queue again."""
        unit, _ = self.leases.pop(lane)
        self.lanes[lane].running = False
        self.counts[status] += 1
        if status is not Status.failed:
            self.lanes[lane].done += 1
            self.unit_seconds.append(seconds)
            return
        self.failures[unit.id] += 1
        if self.failures[unit.id] < self.max_attempts:
            self.pending.append(unit)
        else:
            self.given_up += 1
        recorded = self.counts[Status.done] + self.counts[Status.diverged]
        if not recorded and self.counts[Status.failed] >= ALIKE_FAILURES * len(self.lanes):
            self.stop(f"the first {self.counts[Status.failed]} attempts all failed, the last with: {error}")

    def say(self, lane: str, doing: str) -> None:
        self.lanes[lane].doing = doing

    def stop(self, reason: str) -> None:
        """Lease nothing more; lanes finish what they hold."""
        self.stopped = self.stopped or reason

    def snapshot(self) -> Snapshot:
        return Snapshot(
            planned=len(self.units),
            done=self.counts[Status.done],
            diverged=self.counts[Status.diverged],
            failed=self.counts[Status.failed],
            given_up=self.given_up,
            lanes=dict(self.lanes),
            unit_seconds=list(self.unit_seconds),
            stopped=self.stopped,
        )
