"""A search as a source of work: its study, rebuilt from the records and from the points that were asked before.

decisions/search-<id>/point-<k>.json     point k, kept once it is asked
decisions/search-<id>/warm.json          what was recorded of the space when the search began
decisions/shown/store.json               what tells the store's studies from others of the same database
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count, takewhile
from typing import Any

import numpy as np
import optuna
import polars as pl

from analysis.search import OBJECTIVES
from analysis.seeds import VALIDATION
from em.cli.inputs import resolve_trial
from em.cli.overrides import choices
from em.errors import InputError, first_line
from em.store import Store
from em.trial.fields import typed_value
from em.trial.identity import content_id
from em.trial.trial import Trial
from sweeps import expand
from sweeps.config import Launch
from sweeps.grids import Cell
from sweeps.grids import Point as Combination
from sweeps.outcomes import Fate, fates
from sweeps.search import mirror
from sweeps.search.config import SearchConfig
from sweeps.search.recorded import candidates
from sweeps.search.space import ends, holds, lowest, space_of, unvaried, written
from sweeps.search.study import Asked, Point, Results, Study
from sweeps.source import Growing

CHARACTERS = 12  # hexadecimal, of a study's name ...
STORE = 8  # ... and of its store's


class Search(Growing):
    def __init__(self, launch: Launch, store: Store) -> None:
        """Raises InputError where the sweep cannot be searched, or its sampler does not take what it is told."""
        self.launch, self.store, self.space = launch, store, space_of(launch)
        self.headline, self.typed = launch.sought, expand.Known()
        if url := launch.search.storage:
            mirror.check(url, store.decides)
        identity = self.identity()
        self.name, self.folder = f"{launch.sweep.name}-{identity}", f"search-{identity}"
        self.kept: dict[str, Any] | None = None  # decisions, as far as they stood when the study was made
        self.take_up()
        self.cells: dict[str, Cell | None] = {}  # by values, as far as they are composed; None: they are no trial ...
        self.refused: dict[str, str] = {}  # ... and why
        self.published: list[bool] = []  # of each point, whether it was over when the copy was written

    def identity(self) -> str:
        """Of what the study is: the same search goes on with more points, or more seeds.  An option that is as always
        is no part of it."""
        search, sweep, usual = self.launch.search, self.launch.sweep, asdict(SearchConfig())
        size = ("points", "storage")
        own = {name: value for name, value in asdict(search).items() if name not in size and value != usual[name]}
        trials = [self.shared(point.settings) for point in sweep.only(choices())]
        axes = [{name: of for name, of in asdict(axis).items() if of} for axis in sweep.axes if axis.field != "seed"]
        measured = [self.headline.step, *(item.id for item in self.headline.evaluations)]
        return content_id([own, axes, trials, measured])[:CHARACTERS]

    def shared(self, chosen: Mapping[str, Any]) -> Any:
        """What all points with these choices of groups are, on their first seed: the id of the lowest one, or where
        that is no trial the config without its axes.  Raises InputError for a value that its field cannot hold."""
        names = {name: str(value) for name, value in chosen.items()}
        config = next(variant.config for variant in self.launch.variants if variant.choices == names)
        for name in self.space.keys() - chosen.keys():
            for value in ends(self.space[name]):
                typed_value(config, name, value)
        try:
            return self.cell({name: lowest(kind) for name, kind in self.space.items()} | {**chosen}).trials[0].id
        except InputError:
            return [unvaried(resolve_trial(config), self.space), self.launch.seeds[0]]

    def take_up(self) -> None:
        """Make the study of what stands by now."""
        kept = self.store.decisions.kept(self.folder)
        if kept == self.kept:
            return
        points = takewhile(kept.__contains__, map(point_name, count()))  # one that is not there is asked again
        asked = [self.read(name, kept[name]) for name in points]
        self.kept, self.begun = kept, self.as_begun(kept.get("warm"))  # values, and the seeds that were recorded
        self.study = Study(self.launch.search, self.space, self.keep, asked)

    def as_begun(self, kept: Any) -> Any:
        """What was recorded when the search began, or None where that is not decided; raises InputError where it is
        damaged."""
        with suppress(TypeError, KeyError):
            if kept is None or all(holds(self.space, of["values"]) and [*of["seeds"]] for of in kept):
                return kept
        raise self.store.decisions.damaged(self.folder, "warm")

    def keep(self, number: int, asked: Asked) -> Asked:
        name = point_name(number)
        return self.read(name, self.store.decisions.keep(self.folder, name, asdict(asked)))

    def read(self, name: str, kept: Any) -> Asked:
        """A point as it was written down; raises InputError where that is none of the space."""
        with suppress(TypeError):
            asked = Asked(**kept)
            if holds(self.space, asked.values):
                return asked
        raise self.store.decisions.damaged(self.folder, name)

    def settled(self, records: pl.DataFrame) -> Launch:
        """The points that are asked by now as cells, each with the seeds that are wanted of it; before them what was
        recorded of the space when the search began.  Raises InputError where no point can be trained."""
        if not self.store.decisions.decides:
            self.take_up()  # the launch decides meanwhile, maybe by other records
        if self.begun is None:
            asked = [of.values for of in self.study.asked]  # where what was recorded first is lost
            warm = [of for of in self.recorded(records) if of["values"] not in asked] if self.launch.search.warm else []
            self.begun = self.store.decisions.keep(self.folder, "warm", warm)
        points = self.look(records)
        if points and all(repr(point.values) in self.refused for point in points):
            raise InputError(
                f"search: no point can be trained, such as this one: {self.refused[repr(points[0].values)]}"
            )
        both = [(point, cell) for point in points if (cell := self.composed(point.values))]
        shown = [replace(cell, trials=[*wanted_of(point, cell)]) for point, cell in both]
        return replace(self.launch, settled=tuple(unique([cell for cell in shown if cell.trials])))

    def look(self, records: pl.DataFrame) -> list[Point]:
        """All points, those that were recorded before the search first."""
        study = self.study
        study.warm = study.warm or self.warm(records)
        left = [asked for number, asked in enumerate(study.asked) if number not in study.over]
        found = self.fates(records, [cell for asked in left if (cell := self.composed(asked.values))])

        def results(asked: Asked) -> Results:
            cell = self.composed(asked.values)
            if cell is None:
                return results_of([])
            known = found if cell.trials[0].id in found else self.fates(records, [cell])
            return results_of([known[trial.id] for trial in cell.trials])

        return [*study.warm, *study.look(results)]

    def warm(self, records: pl.DataFrame) -> list[Point]:
        """What was recorded before, and nothing else; a point without all its seeds is one of which some are left
        out."""
        begun = [(of["values"], of["seeds"], self.cell(of["values"])) for of in self.begun or []]
        found, points = self.fates(records, [cell for *_, cell in begun]), list[Point]()
        for values, own, cell in begun:
            known = [found[trial.id] if trial.seed in own else Fate() for trial in cell.trials]
            is_part = not {trial.seed for trial in cell.trials} <= {*own}
            points.append(Point(Asked(values), len(known), results_of(known), True, is_part, is_warm=True))
        return points

    def cell(self, values: Mapping[str, Any]) -> Cell:
        return expand.cell_of(self.launch, Combination(values, values), self.typed)[1]

    def composed(self, values: Mapping[str, Any]) -> Cell | None:
        """The cell of these values; None, and the reason is noted, where they are no trial together."""
        key = repr(values)
        if key not in self.cells:
            try:
                self.cells[key] = self.cell(values)
            except InputError as error:
                self.cells[key], self.refused[key] = None, str(error)
        return self.cells[key]

    def fates(self, records: pl.DataFrame, cells: Sequence[Cell]) -> dict[str, Fate]:
        return fates(self.launch, self.store, records, cells, self.headline)[0] if cells else {}

    def recorded(self, records: pl.DataFrame) -> list[dict[str, Any]]:
        """The points of the space of which trials are recorded: their values, and the seeds that have a score."""
        points = candidates(self.space, records)
        cells = [(values, cell) for values in points if (cell := self.composed(values))]
        ids = set(records["trial_id"].cast(pl.String))
        cells = [(values, cell) for values, cell in cells if not ids.isdisjoint(trial.id for trial in cell.trials)]
        found = self.fates(records, [cell for _, cell in cells])
        own = [(values, [of.seed for of in cell.trials if np.isfinite(found[of.id].score)]) for values, cell in cells]
        return [{"values": values, "seeds": seeds} for values, seeds in own if seeds]

    def at_most(self, records: pl.DataFrame) -> Launch:
        """All seeds of all points; points at random stand for those that are not asked yet."""
        settled = self.settled(records).settled or ()
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        left = self.launch.search.points - len(self.study.asked)
        more = [written(self.space, study.ask(self.space).params) for _ in range(left)]
        whole = [point.values for point in self.study.by_number if not point.is_over]
        cells = [cell for values in (*whole, *more) if (cell := self.composed(values))]
        return replace(self.launch, settled=tuple(unique([*settled, *cells])))

    def said(self, records: pl.DataFrame) -> list[str]:
        points, search = self.look(records), self.launch.search
        over, left_out = [of for of in points if of.is_over], sum(of.is_pruned and not of.is_warm for of in points)
        warm = f", {len(self.study.warm)} more were recorded before" if self.study.warm else ""
        counts = f"{len(self.study.by_number)} of {search.points} points asked{warm}"
        left = f"; {left_out} of them were left before they had all their seeds" if left_out else ""
        lines = [f"search {self.name}: {counts}{left}"]
        if refused := [self.refused[repr(of.values)] for of in points if repr(of.values) in self.refused]:
            lines.append(f"  {len(refused)} points cannot be trained, such as this one: {refused[0]}")
        best = self.study.front(over) if len(search.objectives) > 1 else [of for of in [self.study.best(over)] if of]
        if lost := sum(map(self.study.is_lost, over)):
            lines.append(f"  points all of whose seeds diverged, which are never the best: {lost} of {len(over)}")
        if not best:
            left = lost < len(over) or not over
            return [*lines, *["  no point has all its seeds and meets the constraints yet"] * left]
        names = "no other point beats in all objectives" if len(search.objectives) > 1 else "best"
        once = {repr(of.values): of for of in best}.values()
        tested = self.tested(records, [self.cell(of.values) for of in once])
        both = zip(once, tested, strict=True)
        return [
            *lines,
            *(f"  {names}: {' '.join(map(word, of.values.items()))}: {self.scored(of)}{s}" for of, s in both),
        ]

    def scored(self, point: Point) -> str:
        goal = self.launch.search.goal
        names = dict.fromkeys([*goal.objectives, *goal.bounds])
        values = (f"{OBJECTIVES[name].label} {OBJECTIVES[name].written(point.objective(name))}" for name in names)
        problems = "validation" if self.headline.evaluations[0].benchmark.split == VALIDATION else "test"
        return f"{', '.join(values)} on {problems} problems ({len(point.scores)} seeds)"

    def tested(self, records: pl.DataFrame, cells: Sequence[Cell]) -> list[str]:
        """What the headline says of cells that were chosen by other problems, in words."""
        headline = self.launch.headline()
        if headline.evaluations == self.headline.evaluations:
            return [""] * len(cells)
        found, _ = fates(self.launch, self.store, records, cells, headline)
        scores = [np.array([found[trial.id].score for trial in cell.trials]) for cell in cells]
        known = (scores_S[np.isfinite(scores_S)] for scores_S in scores)
        return [
            f"; mean accuracy {scores_S.mean():.1%} on test problems" if scores_S.size else "" for scores_S in known
        ]

    def shown_as(self) -> str:
        """What the study is called where it is shown: a database may show those of several stores."""
        if not self.launch.search.storage:
            return self.name
        return f"{self.name}-{self.store.decisions.keep('shown', 'store', uuid.uuid4().hex[:STORE])}"

    def publish(self) -> list[str]:
        if not self.store.decides:
            return []
        try:
            name = self.shown_as()
        except OSError as error:
            raise InputError(f"store={self.store.address}: {first_line(error)}") from None
        are_over = [point.is_over for point in (*self.study.warm, *self.study.by_number)]
        if are_over != self.published:
            mirror.write(self.study, name, self.store)
            self.published = are_over
        where = mirror.place(self.store, name, self.launch.search.storage)
        return [f"  `optuna-dashboard {where}` shows study {name}"]


def word(item: tuple[str, Any]) -> str:
    """As a command line takes it: `optimizer.lr=0.00047`."""
    name, value = item
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def point_name(number: int) -> str:
    return f"point-{number}"


def results_of(found: Sequence[Fate]) -> Results:
    return Results(
        scores_S=np.array([of.score for of in found], float),
        seconds_S=np.array([of.seconds for of in found], float),
        is_over_S=np.array([of.is_over for of in found], bool),
        diverged=sum(of.has_diverged for of in found),
    )


def wanted_of(point: Point, cell: Cell) -> Sequence[Trial]:
    if not point.is_warm:
        return cell.trials[: point.wanted]
    return [trial for trial, score in zip(cell.trials, point.results.scores_S, strict=True) if np.isfinite(score)]


def unique(cells: Sequence[Cell]) -> list[Cell]:
    """A point that was asked twice once, with the most seeds."""
    longest: dict[str, Cell] = {}
    for cell in cells:
        key = cell.trials[0].with_seed(0).id
        if len(cell.trials) > len(longest[key].trials if key in longest else []):
            longest[key] = cell
    return list(longest.values())
