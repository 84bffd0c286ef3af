"""A search as a source of work: its study, rebuilt from the records and from the points that were asked before.

decisions/search-<id>/point-<k>.json     point k, kept once it is asked
decisions/search-<id>/warm.json          what was recorded of the space when the search began
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np
import optuna
import polars as pl

from analysis.search import OBJECTIVES
from analysis.seeds import VALIDATION, Outcome, seeds
from analysis.seeds import cells as frame_of
from analysis.tables import among, trial_of
from em.cli.overrides import choices
from em.store import Store
from em.trial.identity import content_id
from sweeps import expand
from sweeps.config import Launch
from sweeps.grids import Cell
from sweeps.grids import Point as Combination
from sweeps.search import mirror
from sweeps.search.space import holds, lowest, space_of, written
from sweeps.search.study import Asked, Point, Results, Study
from sweeps.source import Growing

CHARACTERS = 12  # hexadecimal, of a study's name
SCORED = {Outcome.scored.value, Outcome.diverged.value}
Found = dict[str, tuple[float, float, bool]]  # by trial: score, lane seconds, and whether that is all there will be
NOTHING = (np.nan, np.nan, False)


class Search(Growing):
    def __init__(self, launch: Launch, store: Store) -> None:
        """Raises InputError where the sweep cannot be searched, or its sampler does not take what it is told."""
        self.launch, self.store, self.space = launch, store, space_of(launch)
        self.headline, self.typed = launch.sought, expand.Known()
        identity = self.identity()
        self.name, self.folder = f"{launch.sweep.name}-{identity}", f"search-{identity}"
        kept = store.decisions.kept(self.folder)
        asked = [Asked(**kept[name]) for name in sorted(kept, key=number_of) if number_of(name) >= 0]
        self.begun: list[dict[str, Any]] | None = kept.get("warm")  # values, and the seeds that were recorded
        self.study = Study(launch.search, self.space, self.keep, asked)
        self.published: list[bool] = []  # of each point, whether it was over when the copy was written

    def identity(self) -> str:
        """Of what the study is: the same search goes on with more points, or more seeds."""
        search, sweep = self.launch.search, self.launch.sweep
        own = {name: value for name, value in asdict(search).items() if name not in ("points", "storage")}
        first = {name: lowest(kind) for name, kind in self.space.items()}
        trials = [self.cell({**first, **point.settings}).trials[0].with_seed(0).id for point in sweep.only(choices())]
        measured = [self.headline.step, *(item.id for item in self.headline.evaluations)]
        return content_id([own, [asdict(axis) for axis in sweep.axes], trials, measured])[:CHARACTERS]

    def keep(self, number: int, asked: Asked) -> Asked:
        return Asked(**self.store.decisions.keep(self.folder, f"point-{number}", asdict(asked)))

    def settled(self, records: pl.DataFrame) -> Launch:
        """The points that are asked by now as cells, each with the seeds that are wanted of it; before them what was
        recorded of the space when the search began."""
        if self.begun is None:
            warm = self.recorded(records) if self.launch.search.warm else []
            self.begun = self.store.decisions.keep(self.folder, "warm", warm)
        points = self.look(records)
        found = [(point, self.cell(point.values)) for point in points]
        shown = [replace(cell, trials=[*self.wanted_of(point, cell)]) for point, cell in found]
        return replace(self.launch, settled=tuple(unique(shown)))

    def look(self, records: pl.DataFrame) -> list[Point]:
        """All points, those that were recorded before the search first."""
        study = self.study
        study.warm = study.warm or self.warm(records)
        left = [asked for number, asked in enumerate(study.asked) if number not in study.over]
        found = self.found(records, [self.cell(asked.values) for asked in left])

        def results(asked: Asked) -> Results:
            cell = self.cell(asked.values)
            known = found if cell.trials[0].id in found else self.found(records, [cell])
            return results_of([known[trial.id] for trial in cell.trials])

        return [*study.warm, *study.look(results)]

    def warm(self, records: pl.DataFrame) -> list[Point]:
        """What was recorded before, and nothing else; a point without all its seeds is one of which some are left
        out."""
        begun = [(of["values"], of["seeds"], self.cell(of["values"])) for of in self.begun or []]
        found, points = self.found(records, [cell for *_, cell in begun]), list[Point]()
        for values, own, cell in begun:
            known = [found[trial.id] if trial.seed in own else NOTHING for trial in cell.trials]
            is_part = len(own) < len(cell.trials)
            points.append(Point(Asked(values), len(known), results_of(known), True, is_part, is_warm=True))
        return points

    def wanted_of(self, point: Point, cell: Cell) -> list[Any]:
        if point.is_warm:
            return [trial for trial, of in zip(cell.trials, point.results.scores_S, strict=True) if np.isfinite(of)]
        return cell.trials[: point.wanted]

    def cell(self, values: Mapping[str, Any]) -> Cell:
        return expand.cell_of(self.launch, Combination(values, values), self.typed)[1]

    def found(self, records: pl.DataFrame, cells: Sequence[Cell]) -> Found:
        """What is recorded of the trials of these cells.  A diverged one has no model to speak of: its score is 0."""
        trials = [trial for cell in cells for trial in cell.trials]
        if not trials:
            return {}
        attempts = self.store.failed_attempts()
        limit = self.launch.sweep.max_attempts
        given_up = {trial_of(unit) for unit, number in attempts.items() if number >= limit}
        tables = among(self.store, records, attempts, {trial.id for trial in trials})
        steps = [max(cell.steps) for cell in cells for _ in cell.trials]
        rows = seeds(frame_of(trials, {}, steps), tables, self.headline)
        took = tables.records.group_by("trial_id").agg(pl.sum("seconds"))
        rows = rows.with_columns(pl.col("trial_id").cast(pl.String)).join(took, on="trial_id", how="left")
        found = Found()
        for trial, score, outcome, took in rows.select("trial_id", "score", "outcome", "seconds").iter_rows():
            over = outcome in SCORED or trial in given_up
            value = 0.0 if outcome == Outcome.diverged.value else np.nan if score is None else score
            found[trial] = (value, np.nan if took is None else took, over)
        return found

    def recorded(self, records: pl.DataFrame) -> list[dict[str, Any]]:
        """The points of the space of which trials are recorded: their values, and the seeds that have a score."""
        groups = {axis.field: axis.values for axis in self.launch.sweep.axes if axis.field in choices()}
        fields = [name for name in self.space if name not in groups]
        if records.is_empty():
            return []
        trials = among(self.store, records, {}, set(records["trial_id"])).trials.filter(pl.col("method") != "")
        if trials.is_empty() or not set(fields) <= set(trials.columns):
            return []
        combinations = [dict(zip(groups, values, strict=True)) for values in product(*groups.values())]
        points = trials.select(fields).unique(maintain_order=True).to_dicts()
        within = [of | more for of in points for more in combinations if holds(self.space, of | more)]
        cells = [(values, self.cell(values)) for values in within]
        ids = set(trials["trial_id"].cast(pl.String))
        cells = [(values, cell) for values, cell in cells if not ids.isdisjoint(trial.id for trial in cell.trials)]
        found = self.found(records, [cell for _, cell in cells])
        own = [(values, [of.seed for of in cell.trials if np.isfinite(found[of.id][0])]) for values, cell in cells]
        return [{"values": values, "seeds": recorded} for values, recorded in own if recorded]

    def at_most(self, records: pl.DataFrame) -> Launch:
        """All seeds of all points; points at random stand for those that are not asked yet."""
        settled = self.settled(records).settled or ()
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        left = self.launch.search.points - len(self.study.asked)
        more = [self.cell(written(self.space, study.ask(self.space).params)) for _ in range(left)]
        whole = [self.cell(point.values) for point in self.study.by_number if not point.is_over]
        return replace(self.launch, settled=tuple(unique([*settled, *whole, *more])))

    def said(self, records: pl.DataFrame) -> list[str]:
        points, search = self.look(records), self.launch.search
        over, left_out = [of for of in points if of.is_over], sum(of.is_pruned and not of.is_warm for of in points)
        warm = f", {len(self.study.warm)} more were recorded before" if self.study.warm else ""
        counts = f"{len(self.study.by_number)} of {search.points} points asked{warm}"
        left = f"; {left_out} of them were left before they had all their seeds" if left_out else ""
        lines = [f"search {self.name}: {counts}{left}"]
        best = self.study.front(over) if len(search.objectives) > 1 else [of for of in [self.study.best(over)] if of]
        if not best:
            return [*lines, "  no point has all its seeds and meets the constraints yet"]
        names = "no other point beats in all objectives" if len(search.objectives) > 1 else "best"
        return [*lines, *(f"  {names}: {' '.join(map(word, of.values.items()))}: {self.scored(of)}" for of in best)]

    def scored(self, point: Point) -> str:
        names = dict.fromkeys([*self.launch.search.objectives, *self.launch.search.bounds])
        values = (f"{OBJECTIVES[name].label} {OBJECTIVES[name].written(point.objective(name))}" for name in names)
        problems = "validation" if self.headline.evaluations[0].benchmark.split == VALIDATION else "test"
        return f"{', '.join(values)} on {problems} problems ({len(point.scores)} seeds)"

    def publish(self) -> list[str]:
        are_over = [point.is_over for point in (*self.study.warm, *self.study.by_number)]
        if are_over != self.published:
            mirror.write(self.study, self.name, self.store)
            self.published = are_over
        where = mirror.place(self.store, self.name, self.launch.search.storage)
        return [f"  `optuna-dashboard {where}` shows study {self.name}"]


def word(item: tuple[str, Any]) -> str:
    """As a command line takes it: `optimizer.lr=0.00047`."""
    name, value = item
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def number_of(name: str) -> int:
    kind, _, number = name.partition("-")
    return int(number) if kind == "point" else -1


def results_of(found: Sequence[tuple[float, float, bool]]) -> Results:
    scores, seconds, over = zip(*found, strict=True)
    return Results(np.array(scores, float), np.array(seconds, float), np.array(over, bool))


def unique(cells: Sequence[Cell]) -> list[Cell]:
    """A point that was asked twice once, with the most seeds."""
    longest: dict[str, Cell] = {}
    for cell in cells:
        key = cell.trials[0].with_seed(0).id
        if len(cell.trials) > len(longest[key].trials if key in longest else []):
            longest[key] = cell
    return list(longest.values())
