"""What a search finds for its trials: on two noisy functions, and on the tiny model beside a grid.

The functions are named, and their noise is seeded.  A trial is one seed of a point; what is compared is the function's
own value where each search ends, at the best of the points that have all their seeds.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from numpy.random import default_rng
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution

from analysis import load, stats
from analysis.gain import over_models
from analysis.seeds import seeds
from bench.processes import command_seconds
from bench.rows import Row, at_least, at_most
from bench.trials import QUIET, scores, store_of
from sweeps import expand
from sweeps.search.config import SearchConfig
from sweeps.search.study import Asked, Results, Study
from sweeps.source import opened

REPEATS = 100
SEEDS = 8  # of a point
TRIALS = 240
MANY = 10_000  # points, or trials: no limit
WINS = 0.6  # share of the repeats
SAVED = 0.3  # share of the trials
BASES = range(60, 72)  # base models that no choice was made on
FEW, FRESH = 2, (100, 108)  # seeds of a cell and of a point; those with which what was chosen is trained again
MEASURED = ["benchmark=[tiny,validation]", "eval.samples=2"]
GRID = [
    "optimizer.lr=2.5e-4,5e-4,1e-3,2.5e-3,5e-3",
    "rollout.temperature=0.5,1.0,1.5,2.0",
    "rollout.samples=16,32,64",
]
SPACE = ["sweep=search", "search.points=20", "search.ahead=4", "search.prune=0", "search.warm=false"]
HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


@dataclass(frozen=True)
class Noisy:
    """A function of [0, 1]^D whose trials are normal around it, the larger the better."""

    name: str
    dimensions: int
    noise: float  # standard deviation of a trial
    value: Callable[[NDArray], float]

    @property
    def space(self) -> dict[str, BaseDistribution]:
        return {f"x{place}": FloatDistribution(0.0, 1.0) for place in range(self.dimensions)}

    def at(self, values: Mapping[str, float]) -> float:
        return self.value(np.array([values[name] for name in self.space]))


def hartmann(x_D: NDArray) -> float:
    """Hartmann's function of six variables, as a share of its largest value."""
    weights = np.array([1.0, 1.2, 3.0, 3.2])
    return float(weights @ np.exp(-(HARTMANN_A * (x_D - HARTMANN_P) ** 2).sum(axis=1))) / 3.32237


def ridge(x_D: NDArray) -> float:
    """What accuracy looks like against learning rate, temperature and samples: a rise to a ridge on which two of them
    trade, then a fall twice as steep, and a third that hardly matters."""
    rate, temperature, samples = x_D
    off = rate + 0.5 * temperature - 0.85
    return float(0.8 - (1.5 if off < 0 else 3.0) * off**2 - 0.4 * (temperature - 0.6) ** 2 - 0.02 * (1 - samples))


NOISY = (Noisy("hartmann6", 6, 0.1, hartmann), Noisy("ridge3", 3, 0.03, ridge))


@dataclass(frozen=True)
class Found:
    value: float  # of the function, where the search ends
    trials: int
    points: int


def search(noisy: Noisy, repeat: int, config: SearchConfig, trials: int) -> Found:
    """One search, trial after trial, until so many are spent or it wants no more."""
    scores: dict[str, NDArray] = {}
    spent, is_over = 0, dict[str, int]()

    def results(asked: Asked) -> Results:
        key = repr(asked.values)
        if key not in scores:
            rng = default_rng([repeat, len(scores)])
            scores[key], is_over[key] = noisy.at(asked.values) + noisy.noise * rng.standard_normal(SEEDS), 0
        over_S = np.arange(SEEDS) < is_over[key]
        return Results(np.where(over_S, scores[key], np.nan), np.ones(SEEDS), over_S)

    study = Study(config, noisy.space, lambda _, asked: asked)
    while True:
        points = study.look(results)
        left = [point for point in points if not point.is_over]
        if not left or spent >= trials:
            best = study.best(points)
            assert best is not None, "no point has all its seeds"
            return Found(noisy.at(best.values), spent, len(points))
        key = repr(left[0].values)
        done = min(left[0].wanted - is_over[key], trials - spent)
        is_over[key] += done
        spent += done


def compared(task: tuple[Noisy, int]) -> tuple[Found, Found]:
    """The search as it is by default, and random search, at equal trials."""
    noisy, repeat = task
    usual = SearchConfig(sampler="TPESampler", seed=repeat, ahead=4, points=MANY)
    chance = SearchConfig(sampler="RandomSampler", seed=REPEATS + repeat, ahead=4, points=MANY, prune=0)
    return search(noisy, repeat, usual, TRIALS), search(noisy, REPEATS + repeat, chance, TRIALS)


def pruned(task: tuple[Noisy, int]) -> tuple[Found, Found]:
    """As many points, with and without their hopeless ones left."""
    noisy, repeat = task
    usual = SearchConfig(sampler="TPESampler", seed=repeat, ahead=4, points=TRIALS // SEEDS)
    whole = replace(usual, prune=0)
    return search(noisy, repeat, usual, MANY), search(noisy, repeat, whole, MANY)


def rows(folder: Path) -> Iterator[Row]:
    yield from on_functions()
    yield from on_tiny(folder)


def on_functions() -> Iterator[Row]:
    tasks = [(noisy, repeat) for noisy in NOISY for repeat in range(REPEATS)]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for noisy, pairs in by_function(tasks, pool.map(compared, tasks, chunksize=5)):
            wins = np.mean([(a.value > b.value) + 0.5 * (a.value == b.value) for a, b in pairs])
            print(f"{noisy.name}: search {mean(pairs, 0)}, random search {mean(pairs, 1)}, {TRIALS} trials each")
            yield Row(f"{noisy.name}: repeats that beat random search", float(wins), "", at_least(WINS))
        for noisy, pairs in by_function(tasks, pool.map(pruned, tasks, chunksize=5)):
            saved = 1 - np.mean([a.trials for a, _ in pairs]) / np.mean([b.trials for _, b in pairs])
            gains = over_models(np.array([a.value - b.value for a, b in pairs]))
            interval = f"{gains.mean:+.4f} (95% interval over {REPEATS} repeats {gains.low:+.4f} to {gains.high:+.4f})"
            print(f"{noisy.name}: pruned against not, at the end of {TRIALS // SEEDS} points: {interval}")
            yield Row(f"{noisy.name}: trials that pruning saves", float(saved), "", at_least(SAVED))
            yield Row(f"{noisy.name}: high end of pruned - not", gains.high, "", at_least(0.0))


def on_tiny(folder: Path) -> Iterator[Row]:
    """Each base model by itself: both choose on validation problems, and what they chose is trained again, with other
    seeds, and measured on test problems."""
    ours, grids, lost = list[float](), list[float](), 0
    for base in BASES:
        model = f"model.pretrain.seed={base}"
        grid = best_of([*GRID, model, f"seed=range(0,{FEW})", f"sweep.name=grid-{base}"], folder)
        found = best_of([*SPACE, model, f"sweep.seeds={FEW}", f"sweep.name=search-{base}"], folder)
        again = [f"{model}", f"seed=range({FRESH[0]},{FRESH[1]})", f"sweep.name=again-{base}"]
        own, other = (100 * fresh_mean([*again, *words], folder) for words, _ in (found, grid))
        share = found[1] / grid[1]
        print(f"base {base}: search {own:.1f} in {found[1]} trials, {' '.join(found[0])}", flush=True)
        print(f"         grid {other:.1f} in {grid[1]} trials, {' '.join(grid[0])}", flush=True)
        ours, grids, lost = [*ours, own], [*grids, other], max(lost, share)
    gains = over_models(np.array(ours) - np.array(grids))
    print(f"search - grid on test problems: {gains}")
    yield Row("tiny: search's trials, of the grid's", lost, "", at_most(1 / 3))
    yield Row("tiny: high end of search - grid", gains.high, "points", at_least(0.0))
    yield Row("tiny: mean of search - grid", gains.mean, "points", at_least(-1.0))


def best_of(words: list[str], folder: Path) -> tuple[list[str], int]:
    """What a sweep finds best on validation problems, as words, and in how many trials; runs what is not recorded."""
    store, cache = store_of(folder)
    words = [*MEASURED, *words, *QUIET, f"store={store}"]
    command_seconds(sys.executable, "-m", "sweeps", *words, "sweep.figures=[]", environment=os.environ | cache)
    config, store = opened(words)
    cells = expand.frame(config)
    scored = seeds(cells, load(store, expand.trial_ids([config])), config.sought).drop_nulls("score")
    means = scored.group_by(config.sweep.varied).agg(pl.mean("score"), pl.len())
    best = means.filter(pl.col("len") == FEW).sort("score", *config.sweep.varied, descending=True).row(0, named=True)
    return [f"{name}={best[name]}" for name in config.sweep.varied], cells.filter(pl.col("method") != "").height


def fresh_mean(words: list[str], folder: Path) -> float:
    return float(scores([*MEASURED, *words], folder)["score"].mean())  # type: ignore[arg-type]


def by_function(
    tasks: Sequence[tuple[Noisy, int]], results: Sequence[tuple[Found, Found]]
) -> Iterator[tuple[Noisy, list[tuple[Found, Found]]]]:
    for noisy in NOISY:
        yield noisy, [result for (own, _), result in zip(tasks, results, strict=True) if own is noisy]


def mean(pairs: list[tuple[Found, Found]], place: int) -> str:
    values = np.array([pair[place].value for pair in pairs])
    low, high = stats.student_interval(values)
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"
