"""Tiny trials of which 64 answers to each problem are recorded, on several base models (bench.budget, bench.levers)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis import budget
from bench.trials import QUIET
from em.evaluation.asked import asked
from em.store import Store
from em.trial.evaluation import Benchmark, Evaluation
from sweeps.config import compose_launch
from sweeps.full import Full

CHOSEN_ON, HELD_OUT = range(20, 23), range(60, 72)  # seeds of the base models' pretraining
SEEDS, ANSWERS = 24, 64  # that are recorded
AVG = 8  # answers to a problem of eval=avg8
DRAWS = 1000  # of problems, among which every seed of a sample has one


def words(bases: range | list[int], store: Path) -> list[str]:
    own = [f"model.pretrain.seed={','.join(map(str, bases))}", f"sweep.seeds={SEEDS}", f"eval.samples={ANSWERS}"]
    own += [f"eval.pilot_samples={ANSWERS}", f"eval.pilot_seeds={SEEDS}", f"eval.pilot_cells={len(bases)}"]
    return ["sweep=command_line", *own, "sweep.name=budget", "sweep.figures=[]", *QUIET, f"store={store}"]


@dataclass(frozen=True)
class Recorded:
    """What is recorded on one base model, all benchmarks as large: B benchmarks, P problems, K answers."""

    base: int
    correct_SBPK: NDArray
    base_BPK: NDArray

    @property
    def truth(self) -> float:
        return float(self.correct_SBPK.mean())

    @cached_property
    def strata(self) -> list[str]:
        return [budget.strata(accuracy_PK[:, :AVG]) for accuracy_PK in self.base_BPK]

    @cached_property
    def known(self) -> NDArray:
        """The base model's accuracy on each problem, by the answers of avg@8: BP."""
        return self.base_BPK[:, :, :AVG].mean(axis=2)

    def draws(self, problems: int, balanced: bool = True) -> NDArray:
        """Which problems seeds are asked, as (draws, benchmark, problem)."""
        made = []
        for place, strata in enumerate(self.strata):
            benchmark = Benchmark(name=str(place), suite="sum", grader="tiny")
            of = {"temperature": 1.0, "top_p": 1.0, "samples": 1, "seed": 0, "problems": problems}
            evaluation = Evaluation(benchmark=benchmark, strata=strata if balanced else "", **of)
            made.append([asked(evaluation, draw, len(strata)) for draw in range(DRAWS)])
        return np.array(made).swapaxes(0, 1)


def read(store: Store, bases: range | list[int], folder: Path) -> list[Recorded]:
    """Those base models that are recorded with all seeds."""
    records, found = store.records()[0], []
    for base in bases:
        full = Full(compose_launch(words([base], folder)), store)
        [cell] = full.trained
        wanted = {(trial.id, max(cell.steps)) for trial in cell.trials} | {(cell.trials[0].base.id, 0)}
        of = full.correct(records, wanted)
        names = [item.benchmark.name for item in full.evaluations]
        if all(of[trial].keys() >= {*names} for trial, _ in wanted):
            correct = np.array([[of[trial.id][name] for name in names] for trial in cell.trials])
            found.append(Recorded(base, correct, np.array([of[cell.trials[0].base.id][name] for name in names])))
    return found
