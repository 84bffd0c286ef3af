"""A few trials of a sweep, run before it is quoted."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from em.store import Store
from em.trial.unit import Unit
from sweeps.amounts import Amounts
from sweeps.config import Launch
from sweeps.costs import Costs, Kind, kind_of
from sweeps.plan import Plan, plan
from sweeps.source import Grid
from sweeps.stated import GPUS, Stated


def chosen(todo: Sequence[Unit], count: int, costs: Costs) -> list[Unit]:
    """The trials that tell most of what all take: of each kind as many as its share of the time asks for, the values
    of the axes spread evenly.  None that waits for another."""
    kinds: dict[Kind, list[Unit]] = defaultdict(list)
    hours: dict[Kind, float] = defaultdict(float)
    for unit in todo:
        if not unit.trial.is_base:
            hours[kind_of(unit.trial)] += costs.of(unit).total
            if unit.start is None and not unit.source:
                kinds[kind_of(unit.trial)].append(unit)
    first = {kind: [unit for unit in units if not unit.turn] or units for kind, units in kinds.items()}
    given = dict.fromkeys(first, 0)
    for _ in range(min(count, sum(map(len, first.values())))):
        room = [kind for kind in first if given[kind] < len(first[kind])]
        given[max(room, key=lambda kind: hours[kind] / (1 + given[kind]))] += 1
    return [
        first[kind][(2 * place + 1) * len(first[kind]) // (2 * number)]
        for kind, number in given.items()
        for place in range(number)
    ]


def run(config: Launch, arguments: list[str], planned: Plan, store: Store, console: Console) -> Plan:
    """Run `config.pilot` trials; the plan of what is left then."""
    from sweeps.launch import launch
    from sweeps.supervisor import SpentError

    costs = Costs([], Stated(GPUS[config.budget.gpu]), Amounts())
    units = chosen(planned.todo, config.pilot, costs)
    if not units:
        return planned
    store.set_aside(planned.damaged)
    pilots = replace(planned, wanted=units, todo=units)  # kept weights are needed by those that are left
    try:
        launch(config, arguments, Grid(config), pilots, store, console)
    except SpentError as error:
        console.print(f"stopped: {error}", highlight=False, soft_wrap=True)
    return plan(config, store)
