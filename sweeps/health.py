"""Which nodes are slow, which GPUs fail again and again, whether everything fails: by what became of units of work."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

SLOW = 4.0  # times as long as on other nodes: two kinds of GPU in one cluster differ by less
KNOWN = 3  # finished units of a model, from which on they say something of a node
LAST = 8  # of them that count
BROKEN = 3  # failures of a GPU in a row, after which it gets no more work
ALIKE = 3  # failures in a row, for each lane, after which the sweep is stopped if they all have one cause ...
ANYHOW = 10  # ... and if they have several


@dataclass(frozen=True)
class Running:
    """A unit of work that a lane is at."""

    model: str
    node: str
    seconds: float  # so far


@dataclass
class Health:
    seconds: dict[str, dict[str, deque[float]]] = field(default_factory=lambda: defaultdict(dict))  # by model and node
    failures: Counter[str] = field(default_factory=Counter)  # by device, since something succeeded there
    failed_at: set[tuple[str, str]] = field(default_factory=set)  # device and unit of these, and of all before
    said: str = ""  # by the last of them
    row: list[str] = field(default_factory=list)  # causes since the last success, of trials tried for the first time

    def took(self, model: str, node: str, seconds: float) -> None:
        self.seconds[model].setdefault(node, deque(maxlen=LAST)).append(seconds)

    def worked(self, device: str) -> None:
        del self.failures[device]

    def failed(self, device: str, unit_id: str, error: str) -> None:
        self.failures[device] += 1
        self.failed_at.add((device, unit_id))
        self.said = error

    def is_broken(self, device: str) -> bool:
        return self.failures[device] >= BROKEN

    def is_for_another(self, device: str, unit_id: str, devices: Iterable[str]) -> bool:
        """Whether the unit failed on this device, and one of the others has not been tried yet."""

        def may_do(other: str) -> bool:
            return (other, unit_id) not in self.failed_at and not self.is_broken(other)

        return (device, unit_id) in self.failed_at and any(map(may_do, devices))

    def everything_fails(self, lanes: int) -> str:
        """In words; empty where that cannot be said."""
        alike = len(set(self.row)) == 1 and len(self.row) >= ALIKE * lanes
        many = alike or len(self.row) >= ANYHOW * lanes
        return f"the last {len(self.row)} trials all failed{' alike' * alike}" if many else ""

    def broken(self) -> list[str]:
        return sorted(filter(self.is_broken, self.failures))

    def slow(self, running: Iterable[Running]) -> dict[str, float]:
        """How many times as long as on other nodes units take on a node, where that is at least SLOW.

        Compared are units of one base model.  One that is not finished counts where it has taken longer than all of the
        others'.
        """
        waiting = defaultdict[tuple[str, str], float](float)
        for unit in running:
            waiting[unit.model, unit.node] = max(waiting[unit.model, unit.node], unit.seconds)
        found = dict[str, float]()
        for model, by_node in self.seconds.items():
            known = {node: taken for node, taken in by_node.items() if len(taken) >= KNOWN}
            for node in {*by_node, *(node for of, node in waiting if of == model)}:
                others = [taken for other, taken in known.items() if other != node]
                if not others:
                    continue
                usual, longest = median(map(median, others)), max(map(max, others))
                taken = [median(known[node])] if node in known else []
                taken += [waited] if (waited := waiting[model, node]) > longest else []
                times = max(taken, default=0.0) / usual if usual else 0.0
                if times >= SLOW:
                    found[node] = max(found.get(node, 0.0), times)
        return found
