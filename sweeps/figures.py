"""The figure of a sweep, from what is recorded so far.

python -m sweeps.figures sweep=temperature
"""

from rich.console import Console

from em.compose import run_command
from em.errors import InputError
from em.store import Store
from sweeps import expand
from sweeps.config import Launch, compose_launch


def draw(config: Launch, store: Store, console: Console) -> None:
    """Draw the score after the last step, at the first evaluation temperature, against `sweep.figure_axis`."""
    from analysis.draw import draw_sweep
    from analysis.load import cells

    axis = config.sweep.figure_axis
    if not axis:
        raise InputError(f"sweep.figure_axis='': sweep {config.sweep.name} has no figure; name one of its axes")
    shown = [item for item in config.evaluations if item.temperature == config.eval.temperatures[0]]
    wanted = cells(expand.trials(config), [axis])
    draw_sweep(store, config.sweep.name, axis, wanted, max(config.eval.steps), shown, console)


def main(arguments: list[str]) -> None:
    config = compose_launch(arguments)
    draw(config, Store(config.store), Console())


if __name__ == "__main__":
    run_command(main, __doc__)
