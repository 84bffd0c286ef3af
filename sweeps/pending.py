"""Units of work that wait for a lane."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from em.trial.unit import Unit


class Pending:
    """Units that wait, in order, by base model: a lane that has one loaded goes on with it."""

    def __init__(self) -> None:
        self.by_model: dict[str, deque[Unit]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.by_model.values()))

    def put(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.by_model.setdefault(unit.trial.base.id, deque()).append(unit)

    def put_first(self, unit: Unit) -> None:
        self.by_model.setdefault(unit.trial.base.id, deque()).appendleft(unit)

    def take(self, model: str, lanes_at: Mapping[str, int]) -> Unit | None:
        """The next unit of that model, else of the one that has the most units waiting for each lane at it."""
        if not self.by_model:
            return None
        if model not in self.by_model:
            model = max(self.by_model, key=lambda other: len(self.by_model[other]) / (1 + lanes_at.get(other, 0)))
        unit = self.by_model[model].popleft()
        if not self.by_model[model]:
            del self.by_model[model]
        return unit

    def withdraw(self, wanted: Callable[[Unit], bool]) -> list[Unit]:
        """Take out the units that are `wanted`."""
        taken = [unit for units in self.by_model.values() for unit in units if wanted(unit)]
        kept = {model: deque(u for u in units if not wanted(u)) for model, units in self.by_model.items()}
        self.by_model = {model: units for model, units in kept.items() if units}
        return taken
