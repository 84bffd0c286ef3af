"""What is measured in full before a budget is decided (sweeps.budget): base models and some trials, and what their
answers say."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import budget
from analysis.answers import answers
from analysis.budget import Cost, Design, Variance
from analysis.seeds import are_of
from analysis.tables import among
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation, Numbers
from em.trial.unit import Measurement, Unit
from sweeps import expand
from sweeps.amounts import Amounts
from sweeps.config import Launch
from sweeps.costs import Costs, observations, size
from sweeps.grids import Cell
from sweeps.plan import compare
from sweeps.stated import GPUS, Stated

AVG = 8  # answers to a problem of avg@8, which other designs are compared with; greedy answers are single


@dataclass(frozen=True)
class Seen:
    """What the recorded answers say."""

    variance: Variance
    unbalanced: Variance  # the same, of problems that are drawn without strata
    cost: Cost
    strata: dict[str, str]  # by benchmark, from the mean accuracy of the base models
    cells: int  # of the sweep that train
    trials: int  # that were to be measured in full ...
    scored: int  # ... and those of them that have a score: others diverged, or were given up
    is_greedy: bool  # more than one answer to a problem would be the same

    @property
    def problems(self) -> int:
        """Of the largest benchmark."""
        return int(self.variance.total_B.max())

    @property
    def share(self) -> float:
        """Of trials that have a score."""
        return self.scored / self.trials

    @property
    def avg(self) -> int:
        """Answers to a problem of the usual evaluation."""
        return 1 if self.is_greedy else AVG

    @property
    def usual(self) -> str:
        """What that is called."""
        return "greedy answers" if self.is_greedy else f"avg@{AVG}"

    def with_score(self, seeds: int) -> int:
        """Of so many seeds, as many as are expected to have one."""
        return int(budget.with_score(np.array(seeds), self.share))

    def full(self, seeds: int, samples: int = 0) -> Design:
        """Every problem is asked so many times; 0: as usual."""
        samples = samples or self.avg
        answers = int(self.variance.total_B.sum()) * samples
        half = float(budget.half_width(self.variance.of_seed(self.problems, samples), np.array(self.with_score(seeds))))
        seconds = budget.seconds(self.cost, seeds, answers, self.share)
        return Design(seeds, self.problems, samples, answers, half, seconds)

    def plan(
        self, of: Variance, target: float, seeds: int, samples: Sequence[int] = (), problems: Sequence[int] = ()
    ) -> Design | None:
        """`analysis.budget.plan`, of as many answers to a problem as pay where nothing is said."""
        tried = (1,) if self.is_greedy else budget.SAMPLES
        return budget.plan(of, target, self.cost, seeds, samples or tried, problems, self.share)


@dataclass(frozen=True)
class Full:
    """The base models of a sweep, and some of its trials, measured on all problems with common random numbers."""

    sweep: Launch
    store: Store

    @cached_property
    def launch(self) -> Launch:
        asked = self.sweep.eval
        full = replace(
            asked,
            decided=False,
            numbers=Numbers.common,
            problems=0,
            strata={},
            samples=asked.pilot_samples,
            base_samples=asked.base_samples or asked.pilot_samples,
        )
        return replace(self.sweep, eval=full)

    @cached_property
    def evaluations(self) -> Sequence[Evaluation]:
        """Those that a trial is scored by."""
        return self.launch.headline().evaluations

    @cached_property
    def trained(self) -> list[Cell]:
        """Raises InputError where there are none."""
        cells = [cell for cell in expand.cells(self.sweep) if any(cell.steps)]
        if not cells:
            raise InputError(f"eval.decided=true: sweep {self.sweep.sweep.name} trains nothing; take eval=avg8")
        return cells

    def cells(self, records: pl.DataFrame) -> list[Cell]:
        """As many of each base model, spread evenly: of those that have enough seeds recorded in full, with all that
        they have, else of all, each with its first seeds."""
        asked = self.sweep.eval
        units = [self.unit(cell, place) for cell in self.trained for place in range(len(cell.trials))]
        left = {unit.trial.id for unit in self.left(units, records)}
        of_base = defaultdict[str, list[Cell]](list)
        for cell in self.trained:
            of_base[cell.trials[0].base.id].append(cell)
        chosen, number = list[Cell](), -(-asked.pilot_cells // len(of_base))
        for cells in of_base.values():
            own = [replace(cell, trials=[of for of in cell.trials if of.id not in left]) for cell in cells]
            whole = [cell for cell in own if len(cell.trials) >= asked.pilot_seeds]
            if len(whole) >= min(number, len(cells)):
                chosen += spread(whole, number)
            else:
                first = range(self.sweep.seed, self.sweep.seed + asked.pilot_seeds)
                fresh = [(cell, [cell.trials[0].with_seed(seed) for seed in first]) for cell in spread(cells, number)]
                chosen += [replace(cell, trials=trials) for cell, trials in fresh]
        return chosen

    def left(self, units: list[Unit], records: pl.DataFrame) -> list[Unit]:
        """What of these is not recorded yet, and not given up."""
        own = pl.element().struct.field("evaluation_id").is_in(self.evaluation_ids)
        some = records.with_columns(pl.col("evaluations").list.eval(pl.element().filter(own)))
        return compare(units, some, self.store.failed_attempts(), [], self.sweep.sweep.max_attempts).todo

    @cached_property
    def evaluation_ids(self) -> list[str]:
        """Of all that is measured in full, of base models too."""
        return [of.id for item in self.launch.evaluations for of in (item, item.of_base)]

    def unit(self, cell: Cell, place: int = 0) -> Unit:
        return Unit(cell.trials[place], self.measurements(tuple(cell.steps)))

    @cached_property
    def measurements(self) -> Callable[[tuple[int, ...]], tuple[Measurement, ...]]:
        """Of a trained model after these steps: thousands of units have the same, whose ids are made once."""
        return cache(lambda steps: self.launch.measurements([step for step in steps if step]))

    def measuring(self, cells: Sequence[Cell]) -> Launch:
        """The sweep of these cells alone."""
        own = replace(self.launch.sweep, seeds=max(len(cell.trials) for cell in cells))
        return replace(self.launch, sweep=own, settled=tuple(cells))

    def seen(self, records: pl.DataFrame, cells: Sequence[Cell]) -> Seen:
        """What the answers of these cells and their base models say.  Raises InputError where no cell has two seeds
        that are measured on all benchmarks, or where their scores hardly vary: other cells' may vary much."""
        bases = {cell.trials[0].base.id for cell in self.trained}
        wanted = {(trial.id, max(cell.steps)) for cell in cells for trial in cell.trials} | {
            (base, 0) for base in bases
        }
        found = self.correct(records, wanted)
        names = [item.benchmark.name for item in self.evaluations]
        complete = [[found[trial.id] for trial in cell.trials if found[trial.id].keys() >= {*names}] for cell in cells]
        trials, scored = sum(len(cell.trials) for cell in cells), sum(map(len, complete))
        correct = [[np.stack([of[name] for of in own]) for name in names] for own in complete if len(own) > 1]
        if not correct or any(found[base].keys() < {*names} for base in bases):
            reason = "no cell has two seeds that are scored on all benchmarks, or a base model is not"
            raise InputError(f"eval.decided=true: {reason}; `make failures` says why, eval=avg8 needs no pilot")
        base = {name: np.mean([found[of][name] for of in sorted(bases)], axis=0) for name in found[min(bases)]}
        of_names = [base[name] for name in names]
        variance = budget.variance(correct, of_names)
        if budget.is_below_resolution(correct, variance):
            said = f"scores of the {scored} trials that are measured in full vary by less than one answer"
            remedy = (
                f"other cells may vary more: eval.pilot_cells={2 * len(cells)} measures more, eval=avg8 decides nothing"
            )
            raise InputError(f"eval.decided=true: {said}; {remedy}")
        return Seen(
            variance=variance,
            unbalanced=budget.variance(correct, [np.zeros_like(accuracy_PK) for accuracy_PK in of_names]),
            cost=self.cost(records, cells),
            strata={name: budget.strata(accuracy_PK) for name, accuracy_PK in base.items()},
            cells=len(self.trained),
            trials=trials,
            scored=scored,
            is_greedy=self.evaluations[0].temperature == 0,
        )

    def correct(self, records: pl.DataFrame, wanted: set[tuple[str, int]]) -> dict[str, dict[str, NDArray]]:
        """By trial and benchmark, correct_PK after the wanted step, at the temperature that trials are scored at."""
        temperature = self.evaluations[0].temperature
        asked = [item for item in self.launch.evaluations if item.temperature == temperature]
        tables = among(self.store, records, {}, {trial for trial, _ in wanted})
        places = pl.DataFrame(list(wanted), {"trial_id": pl.String, "step": pl.Int64}, orient="row")
        own = tables.scores.cast({"trial_id": pl.String}).join(places, on=["trial_id", "step"]).filter(are_of(asked))
        read, found = answers(tables, own, ["correct"]), defaultdict[str, dict[str, NDArray]](dict)
        for row in own.iter_rows(named=True):
            verdicts = read[row["unit_id"], row["step"], row["evaluation_id"]]["correct"]
            correct_PK = np.array([verdict is True for verdict in verdicts], float).reshape(row["problems"], -1)
            found[row["trial_id"]][str(row["benchmark"])] = correct_PK
        return found

    def cost(self, records: pl.DataFrame, cells: Sequence[Cell]) -> Cost:
        """Of a trial of these cells; what else is measured of it is shared out among the answers that score it."""
        units, amounts = [self.unit(cell) for cell in cells], Amounts()
        costs = Costs(observations(self.store, records, units), Stated(GPUS[self.sweep.budget.gpu]), amounts)
        scored = sum(amounts.problems(item.benchmark) * item.samples for item in self.evaluations)
        made = []
        for unit in units:
            took = costs.of(unit)
            fixed, _ = costs.answers.get(size(unit.trial.model), (0.0, 0.0))
            made.append((took.total - took.evaluation + fixed, (took.evaluation - fixed) / scored))
        trial, answer = np.mean(made, axis=0)
        return Cost(float(trial), float(answer))


def spread(cells: Sequence[Cell], number: int) -> list[Cell]:
    """So many of them, evenly."""
    number = min(number, len(cells))
    return [cells[(2 * place + 1) * len(cells) // (2 * number)] for place in range(number)]
