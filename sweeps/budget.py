"""Spends evaluation where it tells most (eval=budget): with how many problems, answers and seeds a sweep is measured.

    python -m sweeps.budget sweep=temperature      # what each choice alone would save, from what is recorded

A `Growing` source.  It wants the base models, and a few seeds of a few cells measured in full, unless as many are
recorded.  From their answers it decides once (`Store.decisions`) for the design of the least lane time that gives cells
an interval as narrow as wanted.  From then on the sweep is a grid.
"""

from dataclasses import replace
from functools import cached_property, partial
from math import ceil
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from analysis import budget
from analysis.budget import Design
from em.cli.command import run_command, terminal
from em.errors import InputError, require
from em.store import Store
from em.trial.evaluation import Numbers
from em.trial.identity import content_id
from sweeps import expand
from sweeps.config import LAUNCH, Launch, compose_launch
from sweeps.full import AVG, Full, Seen
from sweeps.grids import Cell
from sweeps.source import Growing

OF = "budget"  # whose decisions


class Budget(Growing):
    def __init__(self, launch: Launch, store: Store) -> None:
        seeds = [axis.field for axis in launch.sweep.axes if axis.field == "seed"]
        require(not seeds, "eval.decided", "true", "decides how many seeds there are: leave out the axis seed")
        self.launch, self.store, self.full = launch, store, Full(launch, store)
        self.made: tuple[dict[str, Any], Launch] | None = None  # of what was decided when it was asked last

    @cached_property
    def name(self) -> str:
        """Of the decision: another target, number of seeds, cells or benchmarks make another."""
        asked = self.launch.eval
        of = [asked.target, self.launch.sweep.seeds, asked.pilot_cells, asked.pilot_seeds]
        of += [cell.trials[0].id for cell in self.full.trained]
        of += [measurement.key for measurement in self.full.launch.measurements(asked.steps)]
        return f"{self.launch.sweep.name}-{content_id(of)}"

    def settled(self, records: pl.DataFrame) -> Launch:
        return self.following(*self.look(records))

    def following(self, decided: dict[str, Any] | None, cells: list[Cell]) -> Launch:
        """The sweep as a look has it."""
        if decided is None:
            return self.full.measuring(cells)
        if self.made is None or self.made[0] != decided:
            self.made = decided, designed(self.launch, decided)
        return self.made[1]

    def look(self, records: pl.DataFrame) -> tuple[dict[str, Any] | None, list[Cell]]:
        """What stands, or can be decided by these records, None until they hold what it is decided by; and the cells
        that it is decided by, none where it stands already."""
        if found := self.store.decisions.kept(OF).get(self.name):
            return found, []
        cells = self.full.cells(records)
        if self.full.left(expand.units(self.full.measuring(cells)), records):
            return None, cells
        return self.store.decisions.keep(OF, self.name, decide(self.launch, self.full.seen(records, cells))), cells

    def at_most(self, records: pl.DataFrame) -> Launch:
        """Until it is decided, what everything measured in full would be or, where that need not do for the target,
        what is measured first."""
        decided, cells = self.look(records)
        if decided is None and not self.launch.eval.target:
            return replace(self.launch, eval=replace(self.launch.eval, decided=False))
        return self.following(decided, cells)

    def is_bounded(self, records: pl.DataFrame) -> bool:
        return not self.launch.eval.target or self.look(records)[0] is not None

    def said(self, records: pl.DataFrame) -> list[str]:
        decided, cells = self.look(records)
        if decided is None:
            trials = sum(len(cell.trials) for cell in cells)
            return [f"evaluation is decided once {trials} trials of {len(cells)} cells are measured in full"]
        return words(decided)


def decide(launch: Launch, seen: Seen) -> dict[str, Any]:
    """The design of a sweep, and what it was decided by, as plain data.

    Raises InputError where no design has intervals as narrow as is wanted.
    """
    seeds = seeds_of(launch, seen)
    target = launch.eval.target or seen.full(seeds).half
    made = seen.plan(seen.variance, target, seeds)
    if made is None:
        remedy = f"no design of up to {budget.MOST:,} seeds has so narrow intervals; take a larger one"
        raise InputError(f"eval.target={target:g}: {remedy}")
    instead = {seen.usual: seen.full(seeds)}
    if not seen.is_greedy:
        instead[f"greedy and {seen.usual}"] = seen.full(seeds, 1 + AVG)
    return {
        "design": made._asdict(),
        "strata": seen.strata,
        "target": target,
        "why": why(seen, seeds),
        "cells": seen.cells,
        "pilot": seen.full(seen.trials, 1 if seen.is_greedy else launch.eval.pilot_samples)._asdict(),
        "instead": {name: of._asdict() for name, of in instead.items()},
    }


def seeds_of(launch: Launch, seen: Seen) -> int:
    """As many as the sweep asks for, or what two with a score take: fewer have no interval."""
    return max(len(launch.seeds), ceil(2 / seen.share))


def why(seen: Seen, seeds: int) -> list[str]:
    """What the answers and timings say, a line a fact."""
    of, cost = seen.variance, seen.cost
    full, common = seen.full(seeds), budget.common_half_width(of, seen.with_score(seeds), seen.avg)
    part = {"models": of.models, f"answers of {seen.usual}": of.of_seed(seen.problems, seen.avg) - of.models}
    parts = ", ".join(f"{name} {100 * max(0.0, value) ** 0.5:.2f}" for name, value in part.items())
    intervals = f"{seen.usual} of {seeds} seeds: 95% intervals of ±{100 * full.half:.2f} points"
    if not seen.is_greedy:
        intervals += f" with random numbers of their own; with common ones, {of.common:.0%} of the answers' chance is "
        intervals += f"the same for all, and ±{100 * common:.2f} holds"
    lines = [
        f"standard deviation of a trial's score, in points: {parts}; seen in {seen.scored} trials",
        f"standard deviation of one answer given its problem {of.answers_B.mean() ** 0.5:.2f}, of the problems of a "
        f"benchmark {seen.unbalanced.problems_B.mean() ** 0.5:.2f}, in strata {of.problems_B.mean() ** 0.5:.2f}",
        f"a trial takes {cost.trial:.3g} s and {cost.answer:.3g} s an answer",
        intervals,
    ]
    if lost := seen.trials - seen.scored:
        have = f"of {seeds} seeds {seen.with_score(seeds)} are taken to have a score"
        lines.insert(1, f"{lost} of {seen.trials} trials diverged or were given up, so {have}")
    return lines


def designed(launch: Launch, decided: dict[str, Any]) -> Launch:
    """The sweep with the design that was decided for."""
    design = Design(**decided["design"])
    asked = replace(
        launch.eval,
        decided=False,
        numbers=Numbers.own,
        samples=design.samples,
        problems=design.problems,
        strata=decided["strata"],
        base_samples=launch.eval.base_samples or launch.eval.pilot_samples,
    )
    return replace(launch, eval=asked, sweep=replace(launch.sweep, seeds=design.seeds))


def words(decided: dict[str, Any]) -> list[str]:
    """The design, why, and what it saves, a line a fact."""
    design, pilot, cells = Design(**decided["design"]), Design(**decided["pilot"]), decided["cells"]
    each = f"{design.samples} answer{'s' * (design.samples > 1)}"
    lines = [
        f"evaluation: {each} to each of {design.problems} problems of a benchmark, {design.answers:,} a trial; "
        f"{design.seeds} seeds, with random numbers of their own",
        f"  95% interval of a cell's mean: ±{100 * design.half:.2f} points, wanted ±{100 * decided['target']:.2f}",
        *(f"  {line}" for line in decided["why"]),
    ]
    for name, of in decided["instead"].items():
        other = Design(**of)
        seconds = (cells * design.seconds + pilot.seconds) / (cells * other.seconds)
        answers = cells * design.seeds * design.answers + pilot.seeds * pilot.answers
        share = f"{seconds:.0%} of the lane time, {answers / (cells * other.seeds * other.answers):.0%} of the answers"
        lines.append(f"  against {name} of {other.seeds} seeds, what was measured in full included: {share}")
    return lines


def levers(seen: Seen, seeds: int, target: float) -> Table:
    """What each choice alone would need for intervals of that half width, with random numbers of each seed's own."""
    simple, balanced = (partial(seen.plan, of, target, seeds) for of in (seen.unbalanced, seen.variance))
    everything = [seen.problems]
    made = {seen.usual: seen.full(seeds), "more seeds, one answer a problem": balanced([1], everything)}
    if seen.is_greedy:
        made |= {"fewer problems": simple(), "fewer problems, balanced (eval=budget)": balanced()}
    else:
        made |= {
            "as many answers a problem as pay": balanced(problems=everything),
            f"fewer problems, {AVG} answers each": simple([AVG]),
            f"fewer problems, balanced, {AVG} answers each": balanced([AVG]),
            "fewer problems and answers": simple(),
            "fewer problems, balanced, and answers (eval=budget)": balanced(),
        }
    table = Table(
        title=f"for intervals of ±{100 * target:.2f} points", title_justify="left", box=SIMPLE_HEAD, padding=0
    )
    for column in ("", "seeds", "problems", "answers each", "answers of a cell", "lane time"):
        table.add_column(column, justify="left" if not column else "right")
    for name, design in made.items():
        cells = ["-"] * 5
        if design:
            numbers = (design.seeds, design.problems, design.samples, f"{design.seeds * design.answers:,}")
            cells = [*map(str, numbers), f"{design.seconds / seen.full(seeds).seconds:.0%}"]
        table.add_row(name, *cells)
    return table


def main(arguments: list[str]) -> None:
    launch, console = compose_launch(arguments), terminal()
    store = Store(launch.store)
    records, _ = store.records()
    for part in launch.sweeps:
        full = Full(part, store)
        cells = full.cells(records)
        missing = full.left(expand.units(full.measuring(cells)), records)
        if missing:
            raise InputError(
                f"store={store.address}: {len(missing)} measurements of {part.sweep.name} that this rests on are not "
                "recorded; run the sweep with eval=avg8, or with eval=budget, which begins with them"
            )
        seen = full.seen(records, cells)
        seeds = seeds_of(part, seen)
        console.print("\n".join([part.sweep.name, *why(seen, seeds)]), highlight=False, soft_wrap=True)
        console.print(levers(seen, seeds, part.eval.target or seen.full(seeds).half))


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
