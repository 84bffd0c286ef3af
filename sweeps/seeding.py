"""How many seeds: what a comparison of two cells asks for, and when a cell needs no more."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from em.errors import require


class Rule(Enum):
    none = "none"  # every cell gets sweep.seeds
    decided = "decided"  # until it is decided against the best cell


@dataclass(kw_only=True)
class Stopping:
    """When cells stop getting seeds: rounds of them are looked at, and an always-valid interval decides."""

    rule: Rule = Rule.none
    margin: float = 0.01  # of accuracy, within which a cell is as good as the best
    error: float = 0.05  # probability that the best cell of a base model is ever dropped, at most
    first: int = 4  # seeds of the first round
    round: int = 1  # of each further one

    def __post_init__(self) -> None:
        require(self.margin >= 0, "stopping.margin", self.margin, "must be a difference of accuracy, 0 or greater")
        require_share("stopping.error", self.error)
        for name in ("first", "round"):
            require(getattr(self, name) > 0, f"stopping.{name}", getattr(self, name), "must be 1 or more seeds")

    def looks(self, seeds: int) -> list[int]:
        """After how many of the seeds cells are looked at."""
        return list(range(self.first, seeds + 1, self.round))


class Pairs(Enum):
    neighbours = "neighbours"  # on each axis, all else equal
    best = "best"  # every cell against the best of its base model


@dataclass(kw_only=True)
class Compare:
    """Which cells `sweeps.power` compares, and what is to be told apart."""

    difference: float = 0.02  # of accuracy
    power: float = 0.8  # probability that it is found where it is true
    error: float = 0.05  # probability that one is found where there is none
    pairs: Pairs = Pairs.neighbours
    cells: list[dict[str, Any]] = field(default_factory=list)  # two, each by its values: [{optimizer.lr: 1e-3}, ...]

    def __post_init__(self) -> None:
        require(self.difference > 0, "compare.difference", self.difference, "must be greater than 0")
        require_share("compare.error", self.error)
        above = self.error < self.power < 1
        require(above, "compare.power", self.power, f"must lie between compare.error={self.error:g} and 1")
        require(len(self.cells) in (0, 2), "compare.cells", self.cells, "name two cells, or none for compare.pairs")


def require_share(name: str, value: float) -> None:
    require(0 < value < 1, name, value, "must lie between 0 and 1")
