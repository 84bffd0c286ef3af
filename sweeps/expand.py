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
    for values in product(*launch.sweep.axes.values()):
        cell = launch.trial
        for path, value in zip(launch.sweep.axes, values, strict=True):
            try:
                cell = with_value(cell, path, value)
            except InputError as error:
                raise InputError(f"sweep.axes.{path}={value}: {error}") from None
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
