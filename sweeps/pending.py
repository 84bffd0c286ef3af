"""Units of work that wait: for a lane, or for the unit that makes the weights that they start from."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from em.trial.unit import Unit

Start = tuple[str, int]  # a trial's id and its step, whose weights others start from


class Pending:
    """Units that wait for a lane, in order, by base model and by the weights that they start from.

    A lane that has either goes on with it.
    """

    def __init__(self) -> None:
        self.by_model: dict[str, dict[Start | None, deque[Unit]]] = {}

    def __len__(self) -> int:
        return sum(map(self.count, self.by_model))

    def count(self, model: str) -> int:
        return sum(map(len, self.by_model[model].values()))

    def put(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.beside(unit).append(unit)

    def put_first(self, unit: Unit) -> None:
        self.beside(unit).appendleft(unit)

    def beside(self, unit: Unit) -> deque[Unit]:
        return self.by_model.setdefault(unit.trial.base.id, {}).setdefault(unit.start, deque())

    def take(self, model: str, start: Start | None, lanes_at: Mapping[str, int]) -> Unit | None:
        """The next unit of that model, and that start, else of the model that has the most units waiting for each lane
        at it."""
        if not self.by_model:
            return None
        if model not in self.by_model:
            model = max(self.by_model, key=lambda other: self.count(other) / (1 + lanes_at.get(other, 0)))
        by_start = self.by_model[model]
        start = start if start in by_start else next(iter(by_start))
        unit = by_start[start].popleft()
        if not by_start[start]:
            del by_start[start]
        if not by_start:
            del self.by_model[model]
        return unit

    def withdraw(self, wanted: Callable[[Unit], bool]) -> list[Unit]:
        """Take out the units that are `wanted`."""
        units = [unit for by_start in self.by_model.values() for waiting in by_start.values() for unit in waiting]
        taken = [unit for unit in units if wanted(unit)]
        if taken:
            self.by_model = {}
            self.put(unit for unit in units if not wanted(unit))
        return taken


class Ahead:
    """Units that are not finished, and those that cannot begin before one of them is: they start where it ends.

    Without this each lane would train the phase before for itself.
    """

    def __init__(self) -> None:
        self.unfinished: dict[str, dict[str, Unit]] = {}  # by trial, by unit
        self.waiting: dict[Start, list[Unit]] = {}
        self.needed: Counter[Start] = Counter()  # by how many unfinished units

    def add(self, units: Iterable[Unit]) -> list[Unit]:
        """Take these in; those that need not wait."""
        units = list(units)
        for unit in units:
            self.unfinished.setdefault(unit.trial.id, {})[unit.id] = unit
            if unit.start:
                self.needed[unit.start] += 1
        return self.ready(units)

    def ready(self, units: Iterable[Unit]) -> list[Unit]:
        ready = []
        for unit in units:
            if unit.start and any(other.leads_to(unit.start) for other in self.of(unit.start)):
                self.waiting.setdefault(unit.start, []).append(unit)
            else:
                ready.append(unit)
        return ready

    def of(self, start: Start) -> Iterable[Unit]:
        return self.unfinished.get(start[0], {}).values()

    def over(self, unit: Unit) -> list[Unit]:
        """The unit is finished, or out of this: those that need wait no more."""
        if self.unfinished.get(unit.trial.id, {}).pop(unit.id, None) and unit.start:
            self.needed[unit.start] -= 1
        waited = [start for start in self.waiting if unit.leads_to(start)]
        return self.ready([other for start in waited for other in self.waiting.pop(start)])

    def given_up(self, unit: Unit) -> int:
        """The unit will not be finished, nor will those that wait for it: how many these are."""
        waited = self.over(unit)
        return len(waited) + sum(map(self.given_up, waited))

    def withdraw(self, wanted: Callable[[Unit], bool]) -> list[Unit]:
        """Take out those of the waiting units that are `wanted`."""
        taken = [unit for units in self.waiting.values() for unit in units if wanted(unit)]
        self.waiting = {start: [u for u in units if not wanted(u)] for start, units in self.waiting.items()}
        return taken

    @property
    def unneeded(self) -> list[Start]:
        """Weights that no unfinished unit starts from any more."""
        return [start for start, count in self.needed.items() if not count]
