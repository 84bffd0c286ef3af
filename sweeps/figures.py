"""The figure of a sweep, from what is recorded so far.

python -m sweeps.figures sweep=temperature
"""

from collections.abc import Iterable

import polars as pl
from rich.console import Console

from em.cli.command import run_command
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation
from sweeps import expand
from sweeps.config import LAUNCH, Launch, compose_launch


def draw(config: Launch, cells: Iterable[expand.Cell], store: Store, console: Console) -> None:
    """Draw the score after the last step, at the first evaluation temperature, against `sweep.figure_axis`."""
    from analysis.draw import draw_sweep

    wanted, shown = of_figure(config, cells)
    draw_sweep(store, config.sweep.name, config.sweep.figure_axis, wanted, max(config.eval.steps), shown, console)


def check(config: Launch, cells: Iterable[expand.Cell]) -> None:
    """Raise InputError where the sweep has more to it than a figure against one axis shows."""
    from analysis import load

    wanted, shown = of_figure(config, cells)
    load.check(config.sweep.name, config.sweep.figure_axis, wanted, shown)


def of_figure(config: Launch, cells: Iterable[expand.Cell]) -> tuple[pl.DataFrame, list[Evaluation]]:
    """The cells of the figure, and the evaluations that make its score."""
    axis = config.sweep.figure_axis
    if not axis:
        raise InputError(f"sweep.figure_axis='': sweep {config.sweep.name} has no figure; name one of its axes")
    shown = [item for item in config.evaluations if item.temperature == config.eval.temperatures[0]]
    return expand.frame(cells).select("trial_id", "base_id", "model", "seed", axis), shown


def main(arguments: list[str]) -> None:
    config = compose_launch(arguments)
    draw(config, expand.cells(config), Store(config.store), Console())


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
