"""The tables of a sweep, from what is recorded so far: as Markdown, LaTeX and CSV.

python -m sweeps.tables sweep=models
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Printed

from analysis import style, table
from analysis.seeds import AVERAGE
from analysis.table import Table, typeset
from analysis.table import lines as table_lines
from analysis.table.spread import spread
from analysis.table.typeset import Typeset
from analysis.tables import Tables, among, whole
from em.cli.command import run_command, terminal
from em.cli.overrides import choices
from em.cli.words import quoted, read, text
from em.errors import InputError
from em.store import Store
from em.store.missing import missing_units
from sweeps import expand
from sweeps.config import LAUNCH, Launch
from sweeps.expand import Cell
from sweeps.source import opened


class Lacking(NamedTuple):
    """A cell that is not recorded as it is wanted."""

    name: str
    number: int  # of units of work
    command: str  # that makes them


def table_of(config: Launch) -> Table | None:
    """What the sweep says of its table; None where it has none."""
    chosen = config.sweep.table
    if chosen.paper is None:
        return None
    headline = config.headline(temperature=chosen.temperature)
    return Table(config.sweep.name, config.sweep.varied, headline, config.evaluations, chosen.paper)


def observed(of: Table, config: Launch, tables: Tables) -> pl.DataFrame:
    """What is recorded of each trial that the sweep's table wants: `analysis.table.observed`."""
    return table.observed(of, table.named(expand.frame(config), expand.trials(config), of.axes), tables)


def make(of: Table, config: Launch, tables: Tables, lacking: Sequence[Lacking], console: Console) -> list[Path]:
    """Write table and variance components of a sweep, and print the averages; the files.

    Raises InputError where nothing is recorded of it.
    """
    if expand.trial_ids([config]).isdisjoint(tables.records["trial_id"]):
        raise InputError(f"store={tables.store.address}: holds no record of sweep {of.name}; run it first")
    seeds = observed(of, config, tables)
    made, variances, notes = table.rows(of, seeds), spread(seeds), table.notes(of, seeds)
    missing = [f"{name}: {number} not recorded; `{remedy}`" for name, number, remedy in lacking]
    contents = files(f"{of.name}-table", table_lines.tables(of, seeds, made), notes, missing)
    contents[f"{of.name}-table.csv"] = made.write_csv()
    if len(variances):
        contents |= files(f"{of.name}-variance", [table_lines.of_spread(variances)])
        contents[f"{of.name}-variance.csv"] = variances.write_csv()
    console.print(printed(config.sweep.name, made))
    for note in notes:
        console.print(f"warning: {note}", style="yellow", highlight=False, soft_wrap=True)
    paths = [tables.store.save_figure(name, content.encode()) for name, content in contents.items()]
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return paths


def files(
    name: str, tables: Sequence[Typeset], notes: Sequence[str] = (), missing: Sequence[str] = ()
) -> dict[str, str]:
    """Markdown and LaTeX of tables, by name; what a reader should know and what is missing stand below them."""
    below = [*(f"warning: {note}" for note in notes), *missing]
    markdown = [typeset.markdown(item) for item in tables] + (
        ["".join(f"- {line}\n" for line in below)] if below else []
    )
    latex = [typeset.latex(item, name if place == 0 else f"{name}-paper") for place, item in enumerate(tables)]
    return {
        f"{name}.md": "\n".join(markdown),
        f"{name}.tex": "\n".join(latex) + "".join(f"% {line}\n" for line in below),
    }


def not_recorded(config: Launch, records: pl.DataFrame) -> list[Lacking]:
    """The cells that lack something, where a store has these records (`Store.records`)."""
    missing = {unit.trial.id for unit in missing_units(expand.units(config), records)}
    lacking = []
    for cell in expand.cells(config):
        wanted = {of.id for trial in cell.trials for of in (trial, trial.base, trial.origin[0])}
        if number := len(wanted & missing):
            name = ", ".join(style.written(axis, value) for axis, value in cell.values.items())
            lacking.append(Lacking(name or config.sweep.name, number, command(config, cell)))
    return lacking


def command(config: Launch, cell: Cell) -> str:
    """What runs this cell of the sweep alone."""
    own = [word for word in config.words if read(word).key_or_group not in cell.values]
    groups = choices()
    values = [f"{axis}={value if axis in groups else text(quoted(value))}" for axis, value in cell.values.items()]
    return shlex.join([".venv/bin/python", "-m", "sweeps", *own, *values])


def printed(name: str, rows: pl.DataFrame) -> Printed:
    """The averages as the terminal shows them."""
    made = Printed(title=f"{name}: accuracy, %", title_justify="left", box=SIMPLE_HEAD, padding=0)
    for heading in ("model", "trained by", "score", AVERAGE, "n"):
        made.add_column(heading, justify="left" if heading in ("model", "trained by", "score") else "right")
    average = rows.filter(pl.col("metric") == AVERAGE)
    lines = [line for row in average.rows(named=True) for line in table_lines.lines([row])]
    for line in typeset.thinned(Typeset("", (), lines, 3)):
        made.add_row(*line)
    return made


def make_all(config: Launch, store: Store, console: Console) -> None:
    """The tables of a sweep, or of all sweeps of a union that have one; then which were made, and what is missing.

    Raises InputError where none can be made.
    """
    parts = [(of, part) for part in config.sweeps if (of := table_of(part))]
    if not parts:
        raise InputError(f"sweep.table: sweep {config.sweep.name} has no table; sweep.table.paper=0 makes one")
    listing = Printed(title=f"{config.sweep.name}: tables", title_justify="left", box=SIMPLE_HEAD, padding=0)
    for heading in ("sweep", "table", "not recorded"):
        listing.add_column(heading, overflow="fold")
    records = whole(store)
    tables = among(store, records, store.failed_attempts(), expand.trial_ids([part for _, part in parts]))
    errors, commands = list[InputError](), list[str]()
    for of, part in parts:
        made, lacking = list[Path](), not_recorded(part, records)
        try:
            made = make(of, part, tables, lacking, console)
        except InputError as error:
            errors.append(error)
            console.print(f"not made: {part.sweep.name}: {error}", style="yellow", highlight=False, soft_wrap=True)
        names = [path.name for path in made if path.suffix == ".md"]
        cells = f"{len(lacking)} of {len(expand.cells(part))} cells" if lacking else "-"
        listing.add_row(part.sweep.name, " ".join(names) or "-", cells)
        commands += [f"{name} ({number}): {remedy}" for name, number, remedy in lacking]
    if len(errors) == len(parts):
        raise errors[0]
    console.print(listing)
    for command in commands:
        console.print(command, soft_wrap=True, highlight=False)


def main(arguments: list[str]) -> None:
    make_all(*opened(arguments), terminal())


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
