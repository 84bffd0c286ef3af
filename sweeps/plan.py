"""What a launch would do: wanted measurements minus recorded ones.

    python -m sweeps.plan sweep=temperature

Needs neither Ray nor torch nor vLLM.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from em.cli.command import run_command
from em.store import Store
from em.store.missing import missing_units
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import LAUNCH, Launch, compose_launch


@dataclass(frozen=True)
class Plan:
    wanted: list[Unit]
    todo: list[Unit]  # in the order of work
    given_up: list[Unit]  # missing, but failed too often to be tried again
    attempts: Counter[str]  # failed attempts so far, by unit id
    damaged: list[Path]  # record files that cannot be read; a launch sets them aside
    cells: list[expand.Cell] = field(default_factory=list)

    @property
    def trials(self) -> list[Trial]:
        """The trained ones, in the order of work."""
        return [unit.trial for unit in self.wanted if not unit.trial.is_base]

    @property
    def recorded(self) -> int:
        return len(self.wanted) - len(self.todo) - len(self.given_up)


def plan(launch: Launch, store: Store) -> Plan:
    """What the launch wants, against what the store holds."""
    table, damaged = store.table()
    cells = expand.cells(launch)
    units = launch.units(expand.breadth_first(cells))
    compared = compare(units, table, store.failed_attempts(), damaged, launch.sweep.max_attempts)
    return replace(compared, cells=cells)


def compare(
    wanted: list[Unit], table: pl.DataFrame, attempts: Counter[str], damaged: list[Path], max_attempts: int
) -> Plan:
    """One model after another, so that lanes keep theirs; within a model the order of `expand`: breadth first."""
    missing = missing_units(wanted, table)
    models = {unit.trial.base.id: order for order, unit in reversed(list(enumerate(missing)))}
    missing.sort(key=lambda unit: models[unit.trial.base.id])
    todo = [unit for unit in missing if attempts[unit.id] < max_attempts]
    given_up = [unit for unit in missing if attempts[unit.id] >= max_attempts]
    return Plan(wanted, todo, given_up, attempts, damaged)


def describe(launch: Launch, found: Plan, store: Store) -> str:
    """The plan in words, a line a fact."""
    axes = [f"{len(axis.values)} {axis.field}" for axis in launch.axes]
    seeds = len(launch.seeds)
    shape = " x ".join([*axes, f"{seeds} seed{'s' * (seeds > 1)}"])
    measured = f"{len(launch.benchmarks)} benchmarks, {launch.eval.samples} samples a problem"
    steps = ", ".join(map(str, launch.eval.steps))
    temperatures = ", ".join(f"{temperature:g}" for temperature in launch.eval.temperatures)
    lines = [
        f"sweep {launch.sweep.name}: {len(found.trials)} trials ({shape})",
        f"measured after step {steps} at temperature {temperatures}: {measured}",
        f"recorded {found.recorded} of {len(found.wanted)} units of work in {store.records}, {len(found.todo)} to do",
    ]
    replayed = [unit for unit in found.todo if unit.source and not unit.trial.is_base]
    if replayed:
        lines.append(
            f"{len(replayed)} of these go on from a recorded trial: its tokens are trained on again, not sampled again"
        )
    if found.damaged:
        lines.append(f"{len(found.damaged)} records are damaged; a launch sets them aside in {store.damaged}")
    if found.given_up:
        lines.append(
            f"{len(found.given_up)} given up after {launch.sweep.max_attempts} failed attempts (`make failures`); "
            f"sweep.max_attempts={launch.sweep.max_attempts + 1} tries them again"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    launch = compose_launch(arguments)
    store = Store(launch.store)
    print(describe(launch, plan(launch, store), store))


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
