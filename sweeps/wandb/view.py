"""What a store holds of a sweep, as the exporter needs it: cells, records, what is still open, what failed and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analysis import load
from em.store import Store
from em.store.record import Record, Status
from em.store.schema import scan, schema_of
from em.trial.evaluation import Evaluation
from em.trial.identity import content_id
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps import expand, failures
from sweeps.config import Launch
from sweeps.plan import Plan, compare
from sweeps.protocol import last_line
from sweeps.wandb.cells import longest, word

KEY_CHARACTERS = 10  # hexadecimal, of what a W&B run is of: a cell or a trial
VERSION_CHARACTERS = 8


@dataclass(frozen=True)
class Cell:
    """All seeds of one combination of the axes' values."""

    key: str
    axes: dict[str, object]  # value by dotted path, or by group the choice's name
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


def cells(config: Launch, wanted: Iterable[expand.Cell]) -> list[Cell]:
    """The cells of a sweep, in the order of work; a cell's key is its content and the sweep's name."""
    return [Cell(key_of(config, "cell", cell.trials[0].with_seed(0).id), cell.values, cell.trials) for cell in wanted]


def key_of(config: Launch, kind: str, identity: str) -> str:
    """`kind` is what a run is of: a cell's identity is that of its seed 0."""
    return content_id([config.sweep.name, kind, identity])[:KEY_CHARACTERS]


@dataclass(frozen=True)
class View:
    config: Launch
    store: Store
    cells: list[Cell]
    plan: Plan
    records: pl.DataFrame  # those that are shown: one row each, without answers and rollouts, provenance unfolded
    scores: pl.DataFrame  # of the wanted steps and evaluations, as of `analysis.load.scores`

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
        return load.cells([trial for cell in self.cells for trial in cell.trials], {})

    @cached_property
    def ids(self) -> dict[str, str]:
        """The ids of the runs that show what is recorded now, by cell key or trial id, in the order of work."""
        if not self.config.tracking.by_trial:
            cells = [cell for cell in self.cells if self.is_finished(cell)]
            return {cell.key: f"{cell.key}-{self.version([*cell.trials, cell.base])}" for cell in cells}
        wanted = {unit.trial.id: unit.trial for unit in self.plan.wanted}
        done = [trial for trial in wanted.values() if trial.id not in self.open]
        return {trial.id: f"{key_of(self.config, 'trial', trial.id)}-{self.version([trial])}" for trial in done}

    def version(self, trials: Sequence[Trial]) -> str:
        """Short hash of what a run shows of these trials, of what is wanted of them, and of what was given up."""
        shown = sorted(self.shown[trial.id] for trial in trials if trial.id in self.shown)
        given_up = sorted(trial.id for trial in trials if trial.id in self.errors)
        wanted = sorted(item.id for item in self.evaluations)
        return content_id([shown, given_up, wanted, sorted(self.config.eval.steps)])[:VERSION_CHARACTERS]

    @cached_property
    def shown(self) -> dict[str, str]:
        """By trial, its attempts and scores as text: a later grading changes a score and no attempt."""
        texts = [
            frame.select("trial_id", text=pl.concat_str(*columns, separator=" "))
            for frame, columns in (
                (self.records, ("unit_id", "attempt_id")),
                (self.scores, ("step", "evaluation_id", "accuracy")),
            )
        ]
        return dict(pl.concat(texts).group_by("trial_id").agg(pl.col("text").sort().str.join("\n")).iter_rows())

    @cached_property
    def seeds(self) -> pl.DataFrame:
        """One row per trial, with score and outcome after the last step at the first temperature."""
        step, temperature = max(self.config.eval.steps), self.config.eval.temperatures[0]
        headlines = load.headlines(self.scores, self.evaluations)
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
    """`cells` and `units` are what the sweep wants, which takes a second to find where it is large.

    Others may have followed its trials further, or measured other things of them: that is not shown.
    """
    table, damaged = store.table()
    known = {unit.trial.id for unit in units}
    records = table.filter(pl.col("trial_id").is_in(known)).drop("attempt").unnest("provenance")
    records = until(records, max(config.eval.steps))
    steps, evaluations = [0, *config.eval.steps], [item.id for item in config.evaluations]
    scores = load.scores(records).filter(pl.col("step").is_in(steps), pl.col("evaluation_id").is_in(evaluations))
    shown = pl.col("unit_id").is_in([*scores["unit_id"], *longest(records)["unit_id"]])
    records = records.filter(shown | (pl.col("status") == Status.diverged))
    found = compare(units, table, store.failed_attempts(), damaged, config.sweep.max_attempts)
    return View(config, store, cells, found, records, scores)


def until(records: pl.DataFrame, last: int) -> pl.DataFrame:
    """The records as if no trial had been followed further than to the `last` step."""
    further = pl.col("steps").list.len() > last
    status = pl.when(further).then(pl.lit(Status.done.value)).otherwise("status")
    return records.with_columns(status=status, steps=pl.col("steps").list.head(last))
