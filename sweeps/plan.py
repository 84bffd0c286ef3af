"""What a launch would do, wanted measurements minus recorded ones, and what that would cost.

    python -m sweeps.plan sweep=temperature
    python -m sweeps.plan sweep=temperature pilot=3     # runs three trials first, and quotes by what they took

Needs neither Ray nor torch nor vLLM, unless there are pilots.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from em.cli.command import run_command, terminal
from em.store import Store
from em.store.missing import missing_units
from em.trial.evaluation import Numbers
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import LAUNCH, Launch, compose_launch
from sweeps.grids import Cell
from sweeps.source import Grid, Growing, Source, settled, source_of


@dataclass(frozen=True)
class Plan:
    wanted: list[Unit]
    todo: list[Unit]  # in the order of work
    given_up: list[Unit]  # missing, but failed too often to be tried again
    attempts: Counter[str]  # failed attempts so far, by unit id
    damaged: list[str]  # units whose record cannot be read; a launch sets it aside

    @property
    def trials(self) -> list[Trial]:
        """The trained ones, in the order of work."""
        return [unit.trial for unit in self.wanted if not unit.trial.is_base]

    @property
    def unneeded(self) -> set[tuple[str, int]]:
        """Where trials started that are all recorded or given up by now: a trial's id, and its step."""
        starts, left = ({unit.start for unit in units if unit.start} for units in (self.wanted, self.todo))
        return starts - left

    @property
    def recorded(self) -> int:
        return len(self.wanted) - len(self.todo) - len(self.given_up)


def plan(launch: Launch, store: Store, source: Source | None = None) -> Plan:
    """What the launch's source wants, against what the store holds."""
    attempts = store.failed_attempts()  # first: what is given up here is given up for the source, which goes by it
    records, damaged = store.records()
    wanted = (source or source_of(launch, store)).wanted(records)
    return compare(wanted, records, attempts, damaged, launch.sweep.max_attempts)


def compare(
    wanted: list[Unit], records: pl.DataFrame, attempts: Counter[str], damaged: list[str], max_attempts: int
) -> Plan:
    """Round by round, in each one model after another, so that lanes keep theirs, and within a model breadth first."""
    missing = missing_units(wanted, records)
    models = {unit.trial.base.id: order for order, unit in reversed(list(enumerate(missing)))}
    missing.sort(key=lambda unit: (unit.round, models[unit.trial.base.id]))
    given_up = [unit for unit in missing if attempts[unit.id] >= max_attempts]
    lost = {unit.id for unit in given_up}
    starting = [unit for unit in missing if unit.start] if lost else []
    while more := [unit for unit in starting if unit.id not in lost and starts_from(given_up, unit)]:
        given_up += more
        lost |= {unit.id for unit in more}
    todo = [unit for unit in missing if unit.id not in lost]
    return Plan(wanted, todo, given_up, attempts, damaged)


def starts_from(units: Sequence[Unit], unit: Unit) -> bool:
    return unit.start is not None and any(other.leads_to(unit.start) for other in units)


def describe(launch: Launch, planned: Plan, store: Store) -> str:
    """The plan in words, a line a fact."""
    records, damaged = store.where("records"), store.where("damaged")
    lines = [
        shape(launch, len(planned.trials)),
        *(f"  {shape(part, len(trained(part)))}" for part in launch.parts),
    ]
    lines += [] if launch.parts else [measurements(launch)]
    lines += [
        f"recorded {planned.recorded} of {len(planned.wanted)} units of work in {records}, {len(planned.todo)} to do",
    ]
    replayed = [unit for unit in planned.todo if unit.source and not unit.trial.is_base]
    if replayed:
        lines.append(
            f"{len(replayed)} of these go on from a recorded trial: its tokens are trained on again, not sampled again"
        )
    lines += waits(planned)
    if planned.damaged:
        lines.append(f"{len(planned.damaged)} records are damaged; a launch sets them aside in {damaged}")
    if planned.given_up:
        lines.append(
            f"{len(planned.given_up)} given up after {launch.sweep.max_attempts} failed attempts (`make failures`); "
            f"sweep.max_attempts={launch.sweep.max_attempts + 1} tries them again"
        )
    return "\n".join(lines)


def shape(launch: Launch, trials: int) -> str:
    """How many trials a sweep is, and of what."""
    of = f"sweep {launch.sweep.name}: {trials:,} trial{'s' * (trials != 1)}"
    if launch.parts:
        shared = sum(len(trained(part)) for part in launch.parts) - trials
        return f"{of}, the union of {len(launch.parts)} sweeps, which have {shared:,} in common"
    cells = [cell for cell in expand.cells(launch) if any(cell.steps)]
    bases = len(expand.cells(launch)) - len(cells)
    as_they_are = f"{bases} base model{'s' * (bases != 1)}, measured as they are"
    if not cells:
        return f"sweep {launch.sweep.name}: {as_they_are}"
    axes, most = launch.sweep.varied, max(len(cell.trials) for cell in cells)
    if launch.search.is_on:
        so_far = f"{len(cells)} points of {', '.join(axes)} so far, each with at most {len(launch.seeds)} seeds"
        return f"{of} ({so_far}; {launch.search.sampler} chooses {launch.search.points})"
    values = {name: len({repr(cell.values[name]) for cell in cells}) for name in axes}
    of_seeds, more = expand.seeds_each(cells), f", and {as_they_are}" if bases else ""
    more += verdicts(cells)
    if math.prod(values.values()) * most == trials:
        return f"{of} ({' x '.join([*(f'{count} {name}' for name, count in values.items()), of_seeds])}){more}"
    return f"{of} ({len(cells)} cells of {', '.join(axes)} x {of_seeds}){more}"


def verdicts(cells: Sequence[Cell]) -> str:
    """`; of its cells 5 are worse, 2 undecided`, where seeds are stopped."""
    counts = Counter(cell.verdict for cell in cells if cell.verdict)
    return f"; cells: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}" if counts else ""


def trained(launch: Launch) -> list[Trial]:
    """The trials that a sweep trains, each once; the rest are models that it measures as they are."""
    return [trial for trial in expand.trials(launch) if not trial.is_base]


def overlaps(launch: Launch) -> list[str]:
    """Which sweeps of a union have trials in common: `temperature: 128 with grid, 16 with lr, steps`."""
    ids = {part.sweep.name: {trial.id for trial in trained(part)} for part in launch.parts}
    lines = []
    for name, own in ids.items():
        with_others: dict[int, list[str]] = {}
        for other, theirs in ids.items():
            if other != name and own & theirs:
                with_others.setdefault(len(own & theirs), []).append(other)
        shared = (f"{count:,} with {', '.join(names)}" for count, names in sorted(with_others.items(), reverse=True))
        lines += [f"  {name}: {', '.join(shared)}"] if with_others else []
    return ["in common:", *lines] if lines else []


def measurements(launch: Launch) -> str:
    steps = ", ".join(map(str, launch.eval.steps))
    temperatures = ", ".join(f"{temperature:g}" for temperature in launch.eval.temperatures)
    measured = f"{len(launch.benchmarks)} benchmarks, {launch.eval.samples} samples a problem"
    measured += f", {launch.eval.problems} problems of each" if launch.eval.problems else ""
    measured += ", random numbers of each seed's own" if launch.eval.numbers is Numbers.own else ""
    return f"measured after step {steps} at temperature {temperatures}: {measured}"


def waits(planned: Plan) -> list[str]:
    """Which units wait for which: a line for each of the weights that several start from."""
    lines, starts = [], Counter(unit.start for unit in planned.todo if unit.start)
    for start, count in starts.items():
        trial_id, step = start
        ahead = any(unit.leads_to(start) for unit in planned.todo)
        first = "is trained first" if ahead else "is recorded"
        lines.append(
            f"{count} of these start{'s' * (count == 1)} from trial {trial_id} after step {step}, which {first}"
        )
    return lines


def quoted(launch: Launch, planned: Plan, store: Store, source: Source) -> list[str]:
    """The quote of what is left, in words; of a sweep that grows it is of as much as that may still come to."""
    from sweeps import quote

    if not isinstance(source, Growing):
        return quote.said(quote.quote(launch, planned, store))
    records, _ = store.records()
    most, bound = source.at_most(records), "at most " if source.is_bounded(records) else "at least "
    return quote.said(quote.quote(most, plan(most, store, Grid(most)), store), bound)


def main(arguments: list[str]) -> None:
    launch = compose_launch(arguments)
    store, console = Store(launch.store), terminal()
    source = source_of(launch, store)
    planned, by_now = plan(launch, store, source), settled(launch, store, source)
    why = source.said(store.records()[0]) if isinstance(source, Growing) else []
    lines = [describe(by_now, planned, store), *overlaps(by_now), *why]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    if launch.pilot and planned.todo:
        from sweeps import pilot

        planned = pilot.run(launch, arguments, planned, store, console)
    console.print("\n".join(quoted(launch, planned, store, source)), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
