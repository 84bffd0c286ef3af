"""What a store holds of a sweep, as the exporter needs it: cells, records, what is still open, what failed and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analysis import load
from em.config import Evaluation, Trial, Unit
from em.identity import content_id
from em.record import Record, Status
from em.schema import scan, schema_of
from em.store import Store
from sweeps import failures
from sweeps.config import Launch
from sweeps.plan import Plan, compare
from sweeps.protocol import last_line
from sweeps.wandb.cells import word

KEY_CHARACTERS = 10  # hexadecimal, of what a W&B run is of: a cell or a trial


@dataclass(frozen=True)
class Cell:
    """All seeds of one combination of the axes' values."""

    key: str
    axes: dict[str, object]  # value by dotted path
    trials: list[Trial]

    @property
    def base(self) -> Trial:
        return self.trials[0].base

    @property
    def label(self) -> str:
        """`temperature=0.5 lr=0.001`"""
        shown = (f"{value:g}" if isinstance(value, float) else str(value) for value in self.axes.values())
        names = (path.rpartition(".")[2] for path in self.axes)
        return " ".join(map("=".join, zip(names, shown, strict=True))) or self.trials[0].model.label

    @property
    def config(self) -> dict[str, object]:
        return {word(path): value for path, value in self.axes.items()}


def cells(config: Launch, trials: Iterable[Trial]) -> list[Cell]:
    """The cells of a sweep, in the order of work; a cell's key is its content and the sweep's name."""
    axes = [axis.field for axis in config.sweep.axes]
    frame = load.cells(trials := list(trials), axes)
    found: dict[str, Cell] = {}
    for trial, (_, *values) in zip(trials, frame.select("trial_id", *axes).iter_rows(), strict=True):
        place = repr(values)  # a value may be a list
        if place not in found:
            key = key_of(config, trial.with_seed(0).id)
            found[place] = Cell(key, dict(zip(axes, values, strict=True)), [])
        found[place].trials.append(trial)
    return list(found.values())


def key_of(config: Launch, identity: str) -> str:
    return content_id([config.sweep.name, identity])[:KEY_CHARACTERS]


@dataclass(frozen=True)
class View:
    config: Launch
    store: Store
    cells: list[Cell]
    plan: Plan
    records: pl.DataFrame  # one row each, without answers and rollouts, provenance unfolded

    @cached_property
    def open(self) -> set[str]:
        """The trials that are still to be worked at."""
        return {unit.trial.id for unit in self.plan.todo}

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        return self.config.evaluations

    @cached_property
    def wanted(self) -> pl.DataFrame:
        """One row per trial: trial_id, base_id, model, seed."""
        return load.cells([trial for cell in self.cells for trial in cell.trials], [])

    @cached_property
    def attempts(self) -> dict[str, list[tuple[str, str]]]:
        """Unit and attempt of each record, by trial."""
        found: dict[str, list[tuple[str, str]]] = {}
        for trial, unit, attempt in self.records.select("trial_id", "unit_id", "attempt_id").iter_rows():
            found.setdefault(trial, []).append((unit, attempt))
        return found

    @cached_property
    def seeds(self) -> pl.DataFrame:
        """One row per trial, with score and outcome after the last step at the first temperature."""
        step, temperature = max(self.config.eval.steps), self.config.eval.temperatures[0]
        headlines = load.headlines(load.scores(self.records), self.evaluations)
        at = headlines.filter(pl.col("step") == step, pl.col("temperature") == temperature)
        return load.seeds(self.wanted, at, load.diverged(self.records), set(self.errors))

    @cached_property
    def errors(self) -> dict[str, str]:
        """Why a trial failed or diverged, its last line; of trials that were given up or diverged."""
        units = self.records.filter(pl.col("status") == Status.diverged)["unit_id"]
        paths = [self.store.record_path(unit) for unit in units]
        diverged = scan(paths, schema_of(Record)).select("trial_id", "error").collect()
        found = dict(diverged.iter_rows())
        if self.plan.given_up:
            attempts = failures.attempts(self.store).sort("started")
            given_up = {unit.trial.id for unit in self.plan.given_up}
            found |= dict(attempts.filter(pl.col("trial_id").is_in(given_up)).select("trial_id", "error").iter_rows())
        return {trial: last_line(error or "no reason was recorded") for trial, error in found.items()}

    def is_finished(self, cell: Cell) -> bool:
        """Whether no seed of it, nor the model that they start from, is still to be worked at."""
        return cell.base.id not in self.open and all(trial.id not in self.open for trial in cell.trials)


def look(config: Launch, store: Store, cells: list[Cell], units: list[Unit]) -> View:
    """`cells` and `units` are what the sweep wants, which takes a second to find where it is large."""
    table, damaged = store.table()
    known = {unit.trial.id for unit in units}
    records = table.filter(pl.col("trial_id").is_in(known)).drop("attempt").unnest("provenance")
    found = compare(units, table, store.failed_attempts(), damaged, config.sweep.max_attempts)
    return View(config, store, cells, found, records)
