"""The figures of a sweep, from what is recorded so far.

python -m sweeps.figures sweep=temperature
"""

from pathlib import Path

import polars as pl
from rich.console import Console

from analysis import figures
from analysis.figures import Figure
from em.cli.command import run_command, terminal
from em.errors import InputError, require
from em.store import Store
from sweeps import expand
from sweeps.config import LAUNCH, Launch, compose_launch

DEFAULTS = ("axis", "heatmap")  # kinds that are tried where a sweep names no figure


def draw_all(config: Launch, store: Store, console: Console) -> list[Path]:
    """Draw the figures of a sweep, or of all sweeps of a union; the files.

    Of several sweeps one that has nothing to show yet is said, and the others are drawn.  Raises InputError where
    none can be drawn.
    """
    paths, said = list[Path](), list[str]()
    for part in config.sweeps:
        try:
            paths += draw(part, expand.frame(part), store, console)
        except InputError as error:
            said.append(f"{part.sweep.name}: {error}")
    if said and not paths:
        raise InputError(said[0].partition(": ")[2])
    for line in said:
        console.print(line, style="yellow", highlight=False, soft_wrap=True)
    return paths


def check_all(config: Launch) -> None:
    """Raise InputError where a figure that a sweep names cannot show it."""
    for part in config.sweeps:
        check(part, expand.frame(part))


def draw(config: Launch, cells: pl.DataFrame, store: Store, console: Console) -> list[Path]:
    """Draw the sweep's figures; the files.  Raises InputError where one cannot be drawn."""
    shown = figures_of(config, cells)
    if not shown:
        return []
    from analysis.draw import draw_figures

    return [path for drawn in draw_figures(store, shown, cells, console) for path in drawn.paths]


def check(config: Launch, cells: pl.DataFrame) -> None:
    """Raise InputError where a figure that the sweep names cannot show it."""
    for figure in figures_of(config, cells):
        figures.check(figure, cells)


def figures_of(config: Launch, cells: pl.DataFrame) -> list[Figure]:
    """The figures that the sweep names; where it does not say, one against all its axes.

    That one is of the first kind that fits; there is none where no kind does.
    """
    sweep, axes = config.sweep, config.sweep.varied
    if sweep.figures is None:
        defaults = [Figure(sweep.name, kind, axes, config.headline()) for kind in DEFAULTS]
        return [figure for figure in defaults if fits(figure, cells)][:1]
    shown = [
        Figure(
            item.name or (f"{sweep.name}-{item.kind}" if place else sweep.name),
            item.kind,
            item.axes or [axis for axis in axes if axis not in item.pool],
            config.headline(item.step, item.temperature),
            config.evaluations,
            item.pool,
        )
        for place, item in enumerate(sweep.figures)
    ]
    names = [f"{figure.name}{suffix}" for figure in shown for suffix in ("", "-seeds")]  # of files
    require(len(names) == len(set(names)), "sweep.figures", names[::2], "give each a name of its own")
    return shown


def fits(figure: Figure, cells: pl.DataFrame) -> bool:
    try:
        figures.check(figure, cells)
    except InputError:
        return False
    return True


def main(arguments: list[str]) -> None:
    config = compose_launch(arguments)
    if not draw_all(config, Store(config.store), terminal()):
        name, remedy = config.sweep.name, "name one, or an axis that a figure can show"
        raise InputError(f"sweep.figures=[]: sweep {name} has no figure; {remedy}")


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
