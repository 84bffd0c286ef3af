"""The figures of a sweep, from what is recorded so far.

python -m sweeps.figures sweep=temperature
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import figures
from analysis.figures import Figure
from analysis.search import POINT
from analysis.tables import load
from em.cli.command import run_command, terminal
from em.errors import InputError, require
from em.store import Store
from em.store.missing import missing_units
from sweeps import expand
from sweeps.config import LAUNCH, Launch
from sweeps.source import opened

DEFAULTS = ("axis", "heatmap")  # kinds that are tried where a sweep names no figure
OF_SEARCH = ("history", "slices", "pareto")  # kinds that show points


def draw_all(config: Launch, store: Store, console: Console) -> dict[str, list[Path]]:
    """Draw the figures of a sweep, or of all sweeps of a union; their files, by sweep.

    Of several sweeps one that has nothing to show yet is said, and the others are drawn.  Raises InputError where
    none can be drawn.
    """
    asked = [(part, shown) for part in config.sweeps if (shown := figures_of(part, expand.frame(part)))]
    if not asked:
        return {}
    from analysis.draw import draw_figures

    tables = load(store, expand.trial_ids([part for part, _ in asked]))
    paths, said = dict[str, list[Path]](), list[str]()
    for part, shown in asked:
        try:
            paths[part.sweep.name] = draw_figures(tables, shown, expand.frame(part), console)
        except InputError as error:
            said.append(f"{part.sweep.name}: {error}")
    if said and not any(paths.values()):
        raise InputError(said[0].partition(": ")[2])
    for line in said:
        console.print(f"not drawn: {line}", style="yellow", highlight=False, soft_wrap=True)
    return paths


def listing(config: Launch, drawn: Mapping[str, Sequence[Path]], store: Store) -> Table:
    """A sweep, or the sweeps of a union: their figures, what is missing, and the command that makes it."""
    table = Table(title=f"{config.sweep.name}: figures and tables", title_justify="left", box=SIMPLE_HEAD, padding=0)
    for heading in ("sweep", "recorded", "drawn", "missing"):
        table.add_column(heading, overflow="fold")
    records, _ = store.records()
    for part in config.sweeps:
        units = expand.units(part)
        missing = len(missing_units(units, records))
        pictures = [path.name for path in drawn.get(part.sweep.name, []) if path.suffix == ".png"]
        table.add_row(
            part.sweep.name,
            f"{len(units) - missing:,} of {len(units):,}",
            " ".join(pictures) or "-",
            f"{missing:,}: {command(part)}" if missing else "-",
        )
    return table


def command(part: Launch) -> str:
    """The words of a shell that record what a sweep lacks."""
    return shlex.join([".venv/bin/python", "-m", "sweeps", *part.words])


def check_all(config: Launch) -> None:
    """Raise InputError where a figure that a sweep names cannot show it."""
    for part in config.sweeps:
        check(part, expand.frame(part))


def check(config: Launch, cells: pl.DataFrame) -> None:
    """Raise InputError where a figure that the sweep names cannot show it."""
    for figure in figures_of(config, cells):
        figures.check(figure, cells)


def figures_of(config: Launch, cells: pl.DataFrame) -> list[Figure]:
    """The figures that the sweep names; where it does not say, one against all its axes.

    That one is of the first kind that fits; there is none where no kind does.
    """
    sweep, axes = config.sweep, config.sweep.varied
    if config.search.is_on and sweep.figures is None:
        kinds = OF_SEARCH if len(config.search.objectives) > 1 else OF_SEARCH[:2]
        return [of_search(config, f"{sweep.name}-{kind}", kind) for kind in kinds]
    if sweep.figures is None:
        defaults = [Figure(sweep.name, kind, axes, config.headline()) for kind in DEFAULTS]
        return [figure for figure in defaults if fits(figure, cells)][:1]
    called = [
        item.name or (f"{sweep.name}-{item.kind}" if place else sweep.name) for place, item in enumerate(sweep.figures)
    ]
    shown = [
        of_search(config, name, item.kind)
        if config.search.is_on and item.kind in OF_SEARCH
        else Figure(
            name,
            item.kind,
            item.axes or [axis for axis in axes if axis not in item.pool],
            config.headline(item.step, item.temperature),
            config.evaluations,
            config.eval.steps,
            item.pool,
        )
        for name, item in zip(called, sweep.figures, strict=True)
    ]
    names = [f"{figure.name}{suffix}" for figure in shown for suffix in ("", "-seeds")]  # of files
    require(len(names) == len(set(names)), "sweep.figures", names[::2], "give each a name of its own")
    return shown


def of_search(config: Launch, name: str, kind: str) -> Figure:
    """What a search goes by, at all its axes."""
    axes, search = [POINT, *config.sweep.varied], config.search
    return Figure(name, kind, axes, config.sought, goal=search.goal, seeds=len(config.seeds))


def fits(figure: Figure, cells: pl.DataFrame) -> bool:
    try:
        figures.check(figure, cells)
    except InputError:
        return False
    return True


def main(arguments: list[str]) -> None:
    (config, store), console = opened(arguments), terminal()
    drawn = draw_all(config, store, console)
    if config.parts:
        console.print(listing(config, drawn, store))
    elif not any(drawn.values()):
        name, remedy = config.sweep.name, "name one, or an axis that a figure can show"
        raise InputError(f"sweep.figures=[]: sweep {name} has no figure; {remedy}")


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
