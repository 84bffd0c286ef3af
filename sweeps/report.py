"""The report of a sweep, or of all sweeps of a union: one folder with one page, from what is recorded so far.

    python -m sweeps.report sweep=paper            # into the store's report/<name of the sweep>

It opens in a browser from disk, without a server or a network.  A store that is still filling will do.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from analysis import table
from analysis.draw import Drawn, computed
from analysis.report import Page, Part, write
from analysis.seeds import Outcome, seeds
from analysis.table import lines
from analysis.table.spread import spread
from analysis.table.typeset import Typeset
from analysis.tables import Tables, among
from em.cli import overrides
from em.cli.command import run_command, terminal
from em.errors import InputError
from em.store import Store
from em.store.missing import missing_units
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import LAUNCH, Launch
from sweeps.figures import command, figures_of
from sweeps.findings import found_in, rested
from sweeps.progress import duration
from sweeps.source import opened
from sweeps.tables import observed, table_of


def build(config: Launch, store: Store) -> Path:
    """Write the report; the path of its page.  Raises InputError where nothing is recorded."""
    stored, damaged = store.records()
    units = expand.units(config)
    of_parts = [expand.units(part) for part in config.parts] or [units]
    left, *left_of_parts = (len(missing_units(wanted, stored)) for wanted in (units, *of_parts))
    tables = among(store, stored, store.failed_attempts(), {unit.trial.id for unit in units})
    del stored  # some hundred megabytes of a large store
    if tables.records.is_empty():
        raise InputError(f"store={store.address}: holds no record of sweep {config.sweep.name}; run it first")
    notes = [f"{len(damaged)} records are damaged: the next launch makes them again"] if damaged else []
    made = [tables_of(part, tables) for part in config.sweeps]
    page = Page(
        title=f"{config.sweep.name}: one-shot entropy minimisation",
        summary=summary(config, tables, 1 - left / len(units)),
        parts=[part_of(*of, tables) for of in zip(config.sweeps, of_parts, left_of_parts, strict=True)],
        findings=found_in(asked, tables) if (asked := rested(config)) else [],
        tables=[item for items, _ in made for item in items],
        notes=[*notes, *(note for _, said in made for note in said)],
    )
    folder = f"report/{config.sweep.name}"
    path = write(store.root / folder, page, tables)
    store.save_folder(folder)
    return path


def part_of(config: Launch, units: Sequence[Unit], missing: int, tables: Tables) -> Part:
    cells = expand.frame(config)
    gap, drawn = "", list[Drawn]()
    for figure in figures_of(config, cells):
        try:
            drawn.append(computed(figure, cells, tables))
        except InputError as error:
            gap = str(error)
    outcomes = seeds(cells, tables, config.headline())["outcome"]
    ids = {unit.trial.id for unit in units}
    records = tables.records.filter(tables.records["trial_id"].is_in(list(ids)))
    return Part(
        name=config.sweep.name,
        about=about(config.sweep.name),
        wanted=len(units),
        recorded=len(units) - missing,
        outcomes=dict.fromkeys((item.value for item in Outcome), 0) | Counter(outcomes),
        hours=float(records["seconds"].sum()) / 3600,
        command=command(config),
        drawn=drawn,
        gap=gap,
    )


def tables_of(config: Launch, tables: Tables) -> tuple[list[Typeset], list[str]]:
    """Of a sweep that has one, and what of the spread is noise; and what a reader should know of them."""
    of = table_of(config)
    if of is None:
        return [], []
    own = observed(of, config, tables)
    variances = spread(own)
    noise = [lines.of_spread(variances)] if len(variances) else []
    notes = [f"table of {of.name}: {note}" for note in table.notes(of, own)]
    return [*lines.tables(of, own, table.rows(of, own)), *noise], notes


def about(sweep: str) -> str:
    """What the sweep's file says of it, in its first lines."""
    path = overrides.CONF / "sweep" / f"{sweep}.yaml"
    lines = path.read_text().splitlines() if path.is_file() else []
    comments = takewhile(lambda line: line.startswith("#"), (line for line in lines if "@package" not in line))
    return " ".join(line.lstrip("# ") for line in comments)


def summary(config: Launch, tables: Tables, recorded: float) -> list[tuple[str, str]]:
    trials, seconds = tables.trials, float(tables.records["seconds"].sum())
    started = tables.records["started"]
    cost = [("cost", f"{config.budget.price * seconds / 3600:,.0f}")] if config.budget.price else []
    return [
        ("recorded", f"{recorded:.1%}"),
        ("trials", f"{len(trials):,}"),
        ("diverged", f"{len(tables.diverged):,}"),
        ("failed attempts", f"{sum(tables.failed_attempts.values()):,}"),
        ("lane time", duration(seconds)),
        *cost,
        ("when", between(str(started.min()), str(started.max()))),
        ("nodes", f"{trials['node'].n_unique()}"),
        ("code", ", ".join(sorted(map(str, trials["code_version"].unique())))),
    ]


def between(first: str, last: str) -> str:
    """Two times of ISO 8601: `2026-11-28 00:58 to 01:37 UTC`."""
    (day, time), (end_day, end_time) = (moment[:16].split("T") for moment in (first, last))
    return f"{day} {time} to {end_time if day == end_day else f'{end_day} {end_time}'} UTC"


def main(arguments: list[str]) -> None:
    path = build(*opened(arguments))
    terminal().print(f"open {path}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
