"""From axes to trials: the cells of a sweep, each with its seeds."""

from itertools import product

from em.cli.inputs import resolve_model
from em.errors import InputError
from em.trial.fields import typed_value, with_value
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps.config import Axis, Launch


def trials(launch: Launch) -> list[Trial]:
    """The unique trials of a sweep: seed by seed, so that every cell has its first seed before any has its second.

    Raises InputError where an axis names no field of a trial or gives it a value that is not allowed.
    """
    cells = [launch.trial]
    for axis in launch.sweep.axes:
        values = typed_values(launch.trial, axis)
        cells = [with_checked_value(cell, axis, value) for cell, value in product(cells, values)]
    seeds = range(launch.seed, launch.seed + launch.sweep.seeds)
    found = (cell.with_seed(seed) for seed in seeds for cell in cells)
    return list({trial.id: trial for trial in found}.values())


def typed_values(trial: Trial, axis: Axis) -> list[object]:
    try:
        return [typed_value(trial, axis.field, value) for value in axis.values]
    except InputError as error:
        raise InputError(f"sweep.axes[{axis.field}]: {error}") from None


def with_checked_value(cell: Trial, axis: Axis, value: object) -> Trial:
    """The cell with one more value; a model of another folder gets that folder's digest."""
    try:
        if axis.field == "model.path":
            cell = with_value(cell, "model.digest", "")
        cell = with_value(cell, axis.field, value)
        return with_value(cell, "model", resolve_model(cell.model))
    except InputError as error:
        raise InputError(f"sweep.axes[{axis.field}]: {error}") from None


def units(launch: Launch) -> list[Unit]:
    """Everything that the sweep wants measured, in the order of work."""
    return launch.units(trials(launch))
