"""From axes to trials: the cells of a sweep, each with its seeds."""

from itertools import product

from em.config import Trial, Unit, with_value
from em.errors import InputError
from sweeps.config import Launch


def trials(launch: Launch) -> list[Trial]:
    """The unique trials of a sweep: seed by seed, so that every cell has its first seed before any has its second.

    Raises InputError where an axis names no field of a trial or gives it a value that is not allowed.
    """
    cells = []
    axes = launch.sweep.axes
    for values in product(*(axis.values for axis in axes)):
        cell = launch.trial
        for axis, value in zip(axes, values, strict=True):
            try:
                cell = with_value(cell, axis.field, value)
            except InputError as error:
                raise InputError(f"sweep.axes[{axis.field}]: {error}") from None
        cells.append(cell)
    seeds = range(launch.seed, launch.seed + launch.sweep.seeds)
    found = (with_value(cell, "seed", seed) for seed in seeds for cell in cells)
    return list({trial.id: trial for trial in found}.values())


def units(launch: Launch) -> list[Unit]:
    """Everything that the sweep wants measured: each base model once, then every trial at every step."""
    wanted = trials(launch)
    bases = {trial.base.id: trial.base for trial in wanted}
    untrained, trained = launch.measurements([0]), launch.measurements(launch.eval.steps)
    return [Unit(base, untrained) for base in bases.values()] + [Unit(trial, trained) for trial in wanted]
