"""From axes to trials: the cells of a sweep, each with its seeds."""

import math
from dataclasses import dataclass
from enum import Enum
from itertools import product

import polars as pl

from analysis import load
from em.cli.inputs import resolve_trial
from em.errors import require
from em.trial.fields import typed_value, with_value
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps.config import Launch

TRIALS = 200_000  # of a sweep, at most: its plan takes seconds then


@dataclass(frozen=True)
class Cell:
    """One combination of the axes' values, and its trials, one a seed."""

    values: dict[str, object]  # by axis: the value of a field, the name of a group's choice
    trials: list[Trial]


def cells(launch: Launch) -> list[Cell]:
    """The cells of a sweep, kept on the launch: it is planned, drawn and shown from the same ones."""
    if "_cells" not in launch.__dict__:
        launch.__dict__["_cells"] = expanded(launch)
    return launch.__dict__["_cells"]


def expanded(launch: Launch) -> list[Cell]:
    """The cells of a sweep, each once: one variant after another, the values of the last axis next to each other.

    Raises InputError where an axis names no field of a trial or gives it a value that is not allowed.
    """
    seeds = launch.seeds
    asked = len(seeds) * math.prod(len(axis.values) for axis in launch.axes)
    require(asked <= TRIALS, "sweep", launch.sweep.name, f"is {asked:,} trials, plan at most {TRIALS:,} at once")
    made: dict[str, Cell] = {}
    for variant in launch.variants:
        fields = [axis.field for axis in launch.axes if axis.field not in variant.choices]
        typed = [
            [typed_value(variant.config, axis.field, value) for value in axis.values]
            for axis in launch.axes
            if axis.field in fields
        ]
        for values in product(*typed):
            point = dict(zip(fields, values, strict=True))
            config = variant.config
            for field, value in point.items():
                config = with_value(config, field, value)
            first = resolve_trial(config).trial.with_seed(seeds[0])
            shown = {axis.field: plain((variant.choices | point)[axis.field]) for axis in launch.axes}
            if first.id not in made:
                made[first.id] = Cell(shown, [first, *map(first.with_seed, seeds[1:])])
    return list(made.values())


def plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def trials(launch: Launch) -> list[Trial]:
    """The trials of a sweep, each once, seed by seed: every cell has its first seed before any has its second."""
    return [trial for of_seed in zip(*(cell.trials for cell in cells(launch)), strict=True) for trial in of_seed]


def units(launch: Launch) -> list[Unit]:
    """Everything that the sweep wants measured, in the order of work."""
    return launch.units(trials(launch))


def frame(launch: Launch) -> pl.DataFrame:
    """What the sweep wants, as `analysis.load.cells` has it: a row for each trial, in the order of work."""
    shown, seeds = cells(launch), len(launch.seeds)
    axes = {axis.field: [cell.values[axis.field] for cell in shown] * seeds for axis in launch.axes}
    return load.cells(trials(launch), axes)
