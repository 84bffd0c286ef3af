"""What a store holds of a sweep, as the exporter needs it: the only place here that reads records.

A run's id is `<key>-<version>`: the key is the content of a cell (or a trial), the version is what is shown of it.
The same records give the same ids on every machine, and a cell that gains seeds, or other grades, a new version of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from analysis.search import POINT
from analysis.seeds import are_of, seeds
from analysis.seeds import cells as wanted_cells
from analysis.tables import of_trials, scores_of
from em.store import Store
from em.store.record import EvaluationResult, Status
from em.store.schema import DamagedError
from em.trial.identity import content_id
from em.trial.trial import Trial
from em.trial.unit import Unit
from sweeps import expand, failures
from sweeps.config import Launch
from sweeps.grids import Cell as WantedCell
from sweeps.plan import Plan, compare
from sweeps.protocol import last_line
from sweeps.wandb.values import longest, word

KEY_CHARACTERS = 10  # hexadecimal, of what a W&B run is of: a cell or a trial
VERSION_CHARACTERS = 8
LABEL = 80  # characters; a run's name holds more beside it, and W&B takes 128


@dataclass(frozen=True)
class Cell:
    """What one run is of: all seeds of one combination of the axes' values, or one trial by itself."""

    key: str
    axes: dict[str, object]  # value by dotted path; none of a base model
    seeds: list[Trial]
    base: Trial | None = None  # that the seeds start from, and that the run shows too
    is_open: bool = False  # it may get more seeds, by what results say

    @property
    def trials(self) -> list[Trial]:
        return [*self.seeds, self.base] if self.base else self.seeds

    @property
    def label(self) -> str:
        """`temperature=0.5 lr=0.001`"""
        shown = ((path, f"{value:g}" if isinstance(value, float) else value) for path, value in self.axes.items())
        label = " ".join(f"{path.rpartition('.')[2]}={value}" for path, value in shown) or self.seeds[0].model.label
        fits = len(label) <= LABEL and label.isprintable()
        return label if fits else f"{''.join(filter(str.isprintable, label))[:LABEL]}... {self.key}"

    @property
    def config(self) -> dict[str, object]:
        return {word(path): value for path, value in self.axes.items()}


def cells(config: Launch) -> list[Cell]:
    """The cells of a sweep, in the order of work; the key is the content of seed 0 and the sweep's name."""
    return [
        Cell(key_of(config, "cell", first.with_seed(0).id), values, list(cell.trials), first.base, cell.is_open)
        for values, cell in valued(config)
        if (first := cell.trials[0])
    ]


def valued(config: Launch) -> Iterator[tuple[dict[str, object], WantedCell]]:
    """Each cell with its values on the axes and, of a search, which point it is."""
    for place, cell in enumerate(expand.cells(config)):
        yield cell.values | ({POINT: place} if config.search.is_on else {}), cell


def key_of(config: Launch, kind: str, identity: str) -> str:
    return content_id([config.sweep.name, kind, identity])[:KEY_CHARACTERS]


@dataclass(frozen=True)
class View:
    config: Launch
    store: Store
    cells: list[Cell]
    plan: Plan
    records: pl.DataFrame  # those that are shown: one row each, without answers and rollouts, provenance unfolded
    scores: pl.DataFrame  # of the wanted steps and evaluations, as of `analysis.tables.SCORES`

    @cached_property
    def done(self) -> dict[str, Cell]:
        """By the id of the run that shows it now, every cell, or trial, that no work is left to do for."""
        cells = self.cells
        if self.config.tracking.by_trial:
            axes = {trial.id: cell.axes for cell in cells for trial in cell.seeds}
            trials = {unit.trial.id: unit.trial for unit in self.plan.wanted}
            cells = [Cell(key_of(self.config, "trial", id), axes.get(id, {}), [trial]) for id, trial in trials.items()]
        todo = {unit.trial.id for unit in self.plan.todo}
        whole = [cell for cell in cells if not cell.is_open]
        done = [cell for cell in whole if todo.isdisjoint(trial.id for trial in cell.trials)]
        return {f"{cell.key}-{self.version(cell.trials)}": cell for cell in done}

    def version(self, trials: Sequence[Trial]) -> str:
        """Short hash of what a run shows of these trials, of what is wanted of them, and of what was given up."""
        shown = sorted(self.shown[trial.id] for trial in trials if trial.id in self.shown)
        given_up = sorted(trial.id for trial in trials if trial.id in self.errors)
        return content_id([shown, given_up, *self.wanted])[:VERSION_CHARACTERS]

    @cached_property
    def wanted(self) -> tuple[list[str], list[int]]:
        """The evaluations, by id, and the steps: the same for every run."""
        return sorted(item.id for item in self.config.evaluations), sorted(self.config.eval.steps)

    @cached_property
    def shown(self) -> dict[str, str]:
        """By trial, its attempts and scores as text: a later grading changes a score and no attempt."""
        attempts = self.records.select("trial_id", text=pl.concat_str("unit_id", "attempt_id", separator=" "))
        measured = pl.concat_str("step", "evaluation_id", "accuracy", separator=" ")
        texts = pl.concat([attempts, self.scores.select("trial_id", text=measured)])
        return dict(texts.group_by("trial_id").agg(pl.col("text").sort().str.join("\n")).iter_rows())

    @cached_property
    def seeds(self) -> pl.DataFrame:
        """One row per trial, with score and outcome after the last step at the first temperature."""
        steps = {trial.id: max(cell.steps) for cell in expand.cells(self.config) for trial in cell.trials}
        trials = [trial for cell in self.cells for trial in cell.seeds]
        wanted = wanted_cells(trials, {}, [steps[trial.id] for trial in trials])
        return seeds(wanted, self, self.config.headline()).cast({pl.Categorical: pl.String})

    @property
    def diverged(self) -> set[str]:
        return set(self.records.filter(pl.col("status") == Status.diverged)["trial_id"])

    @property
    def failed(self) -> set[str]:
        return set(self.errors)

    @cached_property
    def errors(self) -> dict[str, str]:
        """Why a trial failed or diverged, its last line; of trials that were given up or diverged."""
        units = self.records.filter(pl.col("status") == Status.diverged)["unit_id"]
        diverged = self.store.leaves(units, ["trial_id", "error"])
        errors = {record["trial_id"]: record["error"] for record in diverged}
        if self.plan.given_up:
            given_up = pl.col("trial_id").is_in({unit.trial.id for unit in self.plan.given_up})
            attempts = failures.attempts(self.store).sort("started").filter(given_up)
            errors |= dict(attempts.select("trial_id", "error").iter_rows())
        return {trial: last_line(error or "no reason was recorded") for trial, error in errors.items()}

    def answers(self, units: Sequence[str]) -> Iterator[tuple[str, list[EvaluationResult]]]:
        """Unit and results after the wanted steps, with the latest grades; without records damaged since the look."""
        latest = self.store.latest_grades(units)
        for unit in units:
            try:
                results = self.store.graded(unit, latest).evaluations
            except (DamagedError, OSError):
                continue
            yield unit, [result for result in results if result.step in self.config.eval.steps]


def look(config: Launch, store: Store, cells: list[Cell], units: list[Unit]) -> View:
    """`cells` and `units` are what the sweep wants, which takes a second to find where it is large.

    Others may have followed its trials further, or measured other things of them: that is not shown.
    """
    stored, damaged = store.records()
    records = until(of_trials(stored, {unit.trial.id for unit in units}), max(config.eval.steps))
    steps = [0, *config.eval.steps]
    scores = (
        scores_of(records)
        .cast({pl.Categorical: pl.String})
        .filter(pl.col("step").is_in(steps), are_of(config.evaluations))
    )
    shown = pl.col("unit_id").is_in([*scores["unit_id"], *longest(records)["unit_id"]])
    records = records.filter(shown | (pl.col("status") == Status.diverged))
    plan = compare(units, stored, store.failed_attempts(), damaged, config.sweep.max_attempts)
    return View(config, store, cells, plan, records, scores)


def until(records: pl.DataFrame, last: int) -> pl.DataFrame:
    """The records as if no trial had been followed further than to the `last` step."""
    further = pl.col("steps").list.len() > last
    status = pl.when(further).then(pl.lit(Status.done.value)).otherwise("status")
    return records.with_columns(status=status, steps=pl.col("steps").list.head(last))
