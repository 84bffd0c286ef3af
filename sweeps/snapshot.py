"""What is known of a launch at a moment: plain data that its queue makes, its board posts and displays draw."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class LaneState:
    """What is known of a lane."""

    node: str = ""
    doing: str = "starting"
    done: int = 0
    engines: int = 0  # workers, each with a model and an engine, that it has started
    model: str = ""  # id of the base model of its last unit
    start: tuple[str, int] | None = None  # weights that it can start from at once: a trial's id, and its step
    seen: float = 0.0  # time.monotonic() of its last sign of life
    device: str = ""  # its GPUs, as other lanes name them too; empty: none
    since: float = 0.0  # time.monotonic() when it was given what it holds


@dataclass
class Snapshot:
    planned: int
    done: int
    diverged: int
    failed: int  # attempts
    given_up: int  # units
    lost: int  # times that a unit came back because its lane was gone
    running: int  # lanes that hold work
    lanes: dict[str, LaneState]
    unit_seconds: list[float]  # of the last finished units, oldest first
    paused: bool
    stopped: str  # why no more is leased; empty: it goes on
    is_open: bool = False  # results may lead to more work
    slow: dict[str, float] = field(default_factory=dict)  # nodes, and how many times as long units take there
    broken: list[str] = field(default_factory=list)  # GPUs that get no more work
    unneeded: list[tuple[str, int]] = field(default_factory=list)  # trials and steps that nothing starts from any more

    @property
    def recorded(self) -> int:
        return self.done + self.diverged

    @property
    def left(self) -> int:
        return self.planned - self.recorded - self.given_up

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Snapshot":
        """The inverse of `plain`; raises TypeError for what another version of the code wrote."""
        lanes = {name: LaneState(**lane) for name, lane in plain["lanes"].items()}
        return cls(**{**plain, "lanes": lanes})
