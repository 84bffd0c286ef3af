"""The lanes of a launch, as its queue knows them."""

import math
from collections.abc import Callable, Iterator

from sweeps.snapshot import LaneState


class Roster(dict[str, LaneState]):
    """By name."""

    def __init__(self, expected: int, lease_seconds: float, clock: Callable[[], float]) -> None:
        """`expected`: for how many there is room; `lease_seconds` without a sign of life, and a lane is gone."""
        super().__init__()
        self.expected, self.lease_seconds, self.clock = expected, lease_seconds, clock
        self.starts = 0  # since a unit of work was finished
        self.joined = -math.inf  # when the last lane started for the first time

    def start(self, lane: str, node: str, device: str) -> str:
        """The lane has started, maybe again: what it said last before."""
        if lane not in self:
            self.joined, self[lane] = self.clock(), LaneState()
        state = self[lane]
        said, state.doing, state.node, state.device, state.seen = state.doing, "starting", node, device, self.clock()
        self.starts += 1
        return said

    @property
    def are_all(self) -> bool:
        """Whether these speak for the sweep: nodes start one after the other, and none may be missing for long."""
        return len(self) >= self.expected or self.clock() - self.joined > self.lease_seconds

    def alive(self, seconds: float = 0.0) -> Iterator[LaneState]:
        """Those that live or, if they are gone, have not been so for longer than that."""
        past = self.clock() - max(seconds, self.lease_seconds)
        return (state for state in self.values() if state.seen >= past)
