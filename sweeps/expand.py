"""From what is varied to trials: the cells of a sweep, each with its seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import reduce, wraps
from itertools import chain
from typing import Any, TypeVar

import polars as pl

from analysis import seeds as wanted
from analysis.search import POINT
from em.cli.inputs import resolve_trial
from em.trial.fields import parts_of, typed_value, with_value
from em.trial.trial import Trial
from em.trial.unit import Unit, united
from sweeps.config import Launch, Variant
from sweeps.grids import Cell, Point

T = TypeVar("T")
Known = dict[tuple[int, str, str], Any]  # typed values, by variant, field and value as given


def kept(made: Callable[[Launch], T]) -> Callable[[Launch], T]:
    """Keeps on a launch what is made of it: a sweep is planned, drawn and shown from the same."""

    @wraps(made)
    def of(launch: Launch) -> T:
        name = f"_{made.__name__}"
        if name not in launch.__dict__:
            launch.__dict__[name] = made(launch)
        return launch.__dict__[name]

    return of


@kept
def cells(launch: Launch) -> list[Cell]:
    """The cells of a sweep, each once: one variant after another, the values of the last axis next to each other.

    Raises InputError where an axis names no field of a trial or gives it a value that is not allowed.
    """
    if launch.settled is not None:
        return list(launch.settled)
    by_variant: list[list[Cell]] = [[] for _ in launch.variants]
    made, known = set[str](), Known()
    for point in launch.sweep.points(len(launch.seeds)):
        place, cell = cell_of(launch, point, known)
        if cell.trials[0].id not in made:
            made.add(cell.trials[0].id)
            by_variant[place].append(cell)
    return list(chain.from_iterable(by_variant))


def cell_of(launch: Launch, point: Point, known: Known | None = None) -> tuple[int, Cell]:
    """The cell of a combination of values, and the place of its variant; `known` keeps the values that were typed.

    Raises InputError where an axis names no field of a trial or gives it a value that is not allowed.
    """
    known, seeds = Known() if known is None else known, launch.seeds
    groups = {name for variant in launch.variants for name in variant.choices}
    chosen = {name: str(value) for name, value in point.settings.items() if name in groups}
    place = next(place for place, variant in enumerate(launch.variants) if variant.choices == chosen)
    variant, typed = launch.variants[place], dict[str, Any]()
    config = variant.config
    for name, value in point.settings.items():
        if name in groups:
            continue
        at = (place, name, repr(value))
        if at not in known:
            known[at] = typed_value(variant.config, name, value)
        typed[name] = known[at]
        config = with_value(config, name, known[at])
    first = resolve_trial(config).trial.with_seed(seeds[0])
    is_trained = any(variant.config.eval.steps)
    first = first if is_trained else first.base
    shown = {name: plain(value_of(name, launch, variant, typed)) for name in launch.sweep.varied}
    trials = [first, *map(first.with_seed, seeds[1:])] if is_trained else [first]
    return place, Cell(shown, trials, variant.config.eval.steps)


def value_of(name: str, launch: Launch, variant: Variant, typed: Mapping[str, Any]) -> Any:
    """What a cell has on an axis: where its grid does not vary it, what the config has."""
    if name in typed:
        return typed[name]
    if name in variant.choices or name in launch.chosen:
        return variant.choices.get(name, launch.chosen.get(name))
    return reduce(lambda owner, part: parts_of(owner)[part], name.split("."), variant.config)


def plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def by_turn(launch: Launch) -> list[tuple[Cell, Trial]]:
    """The trials of a sweep and their cells, seed by seed: every cell has its first seed before any has its second."""
    shown = cells(launch)
    turns = range(max((len(cell.trials) for cell in shown), default=0))
    return [(cell, cell.trials[turn]) for turn in turns for cell in shown if turn < len(cell.trials)]


def trials(launch: Launch) -> list[Trial]:
    """The trials of a sweep, each once, in the order of work; models as they are among them."""
    return [trial for _, trial in by_turn(launch)]


def seeds_each(shown: Sequence[Cell]) -> str:
    """`16 seeds`, or `4 to 16 seeds` where some cells were stopped."""
    least, most = (pick(len(cell.trials) for cell in shown) for pick in (min, max))
    return f"{least if least == most else f'{least} to {most}'} seed{'s' * (most > 1)}"


def units(launch: Launch) -> list[Unit]:
    """Everything that the sweep wants measured, in the order of work: seed 0 of every cell, of all sweeps of a union,
    before seed 1 of any."""
    if launch.parts:
        wanted = [unit for part in launch.parts for unit in units(part)]
        return united(sorted(wanted, key=lambda unit: (unit.turn, not (unit.trial.is_base or unit.ends))))
    steps = {trial.id: cell.steps for cell in cells(launch) for trial in cell.trials}
    turns = {trial.id: turn for cell in cells(launch) for turn, trial in enumerate(cell.trials)}
    made = launch.units(trials(launch), steps)
    return [replace(unit, turn=turn) if (turn := turns.get(unit.trial.id, 0)) else unit for unit in made]


@kept
def frame(launch: Launch) -> pl.DataFrame:
    """What the sweep wants, as `analysis.seeds.cells` has it: a row for each trial, in the order of work."""
    shown = by_turn(launch)
    axes: dict[str, list[object]] = {name: [cell.values[name] for cell, _ in shown] for name in launch.sweep.varied}
    if launch.search.is_on:
        places = {id(cell): place for place, cell in enumerate(cells(launch))}
        axes[POINT] = [places[id(cell)] for cell, _ in shown]
    return wanted.cells([trial for _, trial in shown], axes, [max(cell.steps) for cell, _ in shown])


def trial_ids(launches: Sequence[Launch]) -> set[str]:
    """Of all trials that these sweeps show: their own, the base models, those that others start from."""
    columns = [frame(launch)[name].unique() for launch in launches for name in ("trial_id", "base_id", "start_id")]
    return set(chain.from_iterable(columns))
