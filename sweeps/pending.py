"""Units of work that wait: for a lane, or for the unit that makes the weights that they start from."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from em.trial.unit import Unit

Start = tuple[str, int]  # a trial's id and its step, whose weights others start from


class Pending:
    """Units that wait for a lane, in order, by round, base model, and the weights that they start from.

    Seed 0 of every cell is the first round, seeds 1 to 3 the second, 4 to 15 the third, and so on: what tells most
    comes first, and a lane that has a model, or the weights to start from, goes on with it within a round.
    """

    def __init__(self) -> None:
        self.rounds: dict[int, dict[str, dict[Start | None, deque[Unit]]]] = {}

    def __len__(self) -> int:
        return sum(
            len(units) for models in self.rounds.values() for model in models.values() for units in model.values()
        )

    def put(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.beside(unit).append(unit)

    def put_first(self, unit: Unit) -> None:
        self.beside(unit).appendleft(unit)

    def put_last(self, unit: Unit) -> None:
        """After all else."""
        self.beside(unit, max(self.rounds, default=unit.round)).append(unit)

    def beside(self, unit: Unit, round_: int | None = None) -> deque[Unit]:
        models = self.rounds.setdefault(unit.round if round_ is None else round_, {})
        return models.setdefault(unit.trial.base.id, {}).setdefault(unit.start, deque())

    def next_model(self, model: str, lanes_at: Mapping[str, int]) -> tuple[int, str]:
        """Round and model of what a lane at that model does next: of the first round, and of that model, else of the
        one that has the most units waiting for each lane at it.  A lane stays with its model for a later round where
        other lanes are at all that is left of the first: to load another one would take longer."""
        now = min(self.rounds)
        if model in self.rounds[now]:
            return now, model
        later = [round_ for round_ in sorted(self.rounds) if model in self.rounds[round_]]
        if later and all(lanes_at.get(other) for other in self.rounds[now]):
            return later[0], model
        waiting = {other: sum(map(len, starts.values())) for other, starts in self.rounds[now].items()}
        return now, max(waiting, key=lambda other: waiting[other] / (1 + lanes_at.get(other, 0)))

    def take(self, model: str, start: Start | None, lanes_at: Mapping[str, int]) -> Unit | None:
        """The next unit of a lane at that model, from that start where there is one."""
        if not self.rounds:
            return None
        now, model = self.next_model(model, lanes_at)
        models = self.rounds[now]
        by_start = models[model]
        start = start if start in by_start else next(iter(by_start))
        unit = by_start[start].popleft()
        if not by_start[start]:
            del by_start[start]
        if not by_start:
            del models[model]
        if not models:
            del self.rounds[now]
        return unit

    def withdraw(self, wanted: Callable[[Unit], bool]) -> list[Unit]:
        """Take out the units that are `wanted`."""
        models = [by_start for round_ in self.rounds.values() for by_start in round_.values()]
        units = [unit for by_start in models for waiting in by_start.values() for unit in waiting]
        taken = [unit for unit in units if wanted(unit)]
        if taken:
            self.rounds = {}
            self.put(unit for unit in units if not wanted(unit))
        return taken


class Elsewhere:
    """Units that another launch is at, or one that died, in the order in which that was found."""

    def __init__(self) -> None:
        self.found: deque[tuple[float, Unit]] = deque()

    def __len__(self) -> int:
        return len(self.found)

    def put(self, unit: Unit, now: float) -> None:
        self.found.append((now, unit))

    def take(self, before: float, model: str | None) -> Unit | None:
        """The first one, where that was found before then, and is of that model if it must be."""
        found, unit = self.found[0] if self.found else (math.inf, None)
        if unit is None or found > before or (model is not None and unit.trial.base.id != model):
            return None
        return self.found.popleft()[1]


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
