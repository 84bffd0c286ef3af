"""Whether planned seeds reach the power that was asked for, how often always-valid intervals fail, what stopping saves.

`python -m bench.power` prints the first two for all kinds of scores, as tables.  EM_BENCHMARK_STORE names a store that
holds the sweep, or is to hold it.  R runs, C cells, S seeds.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from analysis import stats
from analysis.power import seeds_needed
from analysis.sequential import Verdict, race, widths
from bench.coverage import collapsed, lognormal, normal
from bench.processes import command_seconds
from bench.rows import Row, at_least, at_most
from bench.trials import QUIET, store_of
from em.store import Store
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.grids import Cell
from sweeps.seeding import Stopping
from sweeps.source import settled

POWER, CLOSE = 0.8, 0.05
PILOTS, PLANS = (4, 8), 2000  # seeds of a pilot; plans
EFFECT = 0.5  # true difference, in standard deviations of the differences
RUNS, LOOKS, ERROR = 20_000, 64, 0.05
CELLS, RACES = 8, 2000
SAVED = 0.3
BASES = range(72, 84)  # base models that no choice was made on
SWEEP = ["sweep=temperature", "benchmark=[tiny,validation]", "eval.samples=2"]

Shape = tuple[int, ...]
Scores = Callable[[Generator, Shape], NDArray]  # of mean 0


def unit_lognormal(rng: Generator, shape: Shape) -> NDArray:
    """Lognormal 0.5 with a standard deviation of 1."""
    return lognormal(0.5)(rng, shape) / (np.exp(0.25) * (np.exp(0.25) - 1)) ** 0.5


def shares(p: float, answers: int = 60) -> Scores:
    """Of so many answers, each right with probability p."""
    return lambda rng, shape: rng.binomial(answers, p, shape) / answers - p


def apart(first: Scores, second: Scores) -> Scores:
    """The differences of two cells whose seeds have nothing in common."""
    return lambda rng, shape: first(rng, shape) - second(rng, shape)


def alike(rng: Generator, shape: Shape) -> NDArray:
    """Of two cells whose seeds correlate by 0.8."""
    common = 2 * rng.normal(size=shape)
    return (common + rng.normal(size=shape)) - (common + rng.normal(size=shape))


KINDS: dict[str, Scores] = {
    "normal": apart(normal, normal),
    "unequal spreads, 1 and 4": apart(normal, lambda rng, shape: 4 * normal(rng, shape)),
    "pairs that correlate": alike,
    "lognormal 0.5": apart(unit_lognormal, unit_lognormal),
    "lognormal 0.5 and normal": apart(unit_lognormal, normal),
    "a tenth collapsed by 3": apart(collapsed(3), collapsed(3)),
    "a tenth collapsed by 5": apart(collapsed(5), collapsed(5)),
    "a tenth collapsed by 5, and normal": apart(collapsed(5), normal),
    "shares of 60, 0.5": apart(shares(0.5), shares(0.5)),
    "shares of 60, 0.98": apart(shares(0.98), shares(0.98)),
}
SKEWED: dict[str, Scores] = {  # where intervals of few seeds fail
    "lognormal 0.5 and constant": unit_lognormal,
    "a tenth collapsed by 5, and constant": collapsed(5),
    "lognormal 1 and normal": apart(lognormal(1.0), normal),
}
PLANNED = list(KINDS)[:8]  # of shares of 60 half a standard deviation is a fraction of an answer


def rows(folder: Path) -> Iterator[Row]:
    for pilot in PILOTS:
        for kind in PLANNED:
            rate = reached(kind, pilot)[0]
            for bar in (at_least(POWER - CLOSE), at_most(POWER + CLOSE)):
                yield Row(f"power after {pilot} seeds: {kind}", rate, "", bar)
    for kind, scores in KINDS.items():
        yield Row(f"error, 64 looks: {kind}", error_rate(scores, ERROR), "", at_most(ERROR))
    yield Row(f"best of {CELLS} equal cells dropped", dropped(), "", at_most(ERROR))
    yield Row("seeds saved", saved(folder), "", at_least(SAVED))


def reached(kind: str, pilot: int, effect: float = EFFECT, plans: int = PLANS) -> tuple[float, float, float]:
    """How often the interval of as many seeds as were planned, the pilot among them, leaves out 0; the median and the
    90% quantile of these seeds."""
    rng = default_rng([list(KINDS).index(kind), pilot])
    difference = effect * float(KINDS[kind](rng, (1_000_000,)).std())
    pilots_RS = KINDS[kind](rng, (plans, pilot)) + difference
    needed_R = np.array([seeds_needed(difference, pilot_S, POWER) for pilot_S in pilots_RS], int)
    scores_RS = KINDS[kind](rng, (plans, int(needed_R.max()))) + difference
    scores_RS[:, :pilot] = pilots_RS
    scores_RS[np.arange(scores_RS.shape[1]) >= needed_R[:, None]] = np.nan
    low_R, high_R = stats.interval(rng, scores_RS[:, None])
    found = float(np.mean((low_R > 0) | (high_R < 0)))
    return found, float(np.median(needed_R)), float(np.quantile(needed_R, 0.9))


def error_rate(scores: Scores, error: float, runs: int = RUNS, looks: int = LOOKS) -> float:
    """The share of runs in which the interval leaves out 0, the true mean, after any of the seeds."""
    above_R, below_R = left_out(scores, error, runs, looks)
    return float((above_R | below_R).mean())


def end_rate(scores: Scores, error: float, runs: int = RUNS, looks: int = LOOKS) -> float:
    """The share in which the worse of its two ends, each of which has that error, does so."""
    return max(float(of_R.mean()) for of_R in left_out(scores, 2 * error, runs, looks))


def left_out(scores: Scores, error: float, runs: int, looks: int) -> list[NDArray]:
    """Of each run whether the interval lies above 0 after any of the seeds, and whether below."""
    differences_RS = scores(default_rng(0), (runs, looks))
    count_S = np.arange(1, looks + 1)
    mean_RS = differences_RS.cumsum(axis=1) / count_S
    squares_RS = (differences_RS**2).cumsum(axis=1) - count_S * mean_RS**2
    deviation_RS = np.sqrt(np.maximum(squares_RS, 0) / np.maximum(count_S - 1, 1))
    with np.errstate(invalid="ignore"):
        half_RS = widths(count_S, error) * deviation_RS
        return [np.any(sign * mean_RS > half_RS, axis=1) for sign in (1, -1)]


def dropped(races: int = RACES) -> float:
    """How often a cell is found worse that is as good as all others: the one that the question is about is fixed."""
    rng, known_CS, looks = default_rng(0), np.ones((CELLS, LOOKS), bool), Stopping().looks(LOOKS)
    ran = (race(rng.normal(size=(CELLS, LOOKS)), known_CS, looks, ERROR, 0.0) for _ in range(races))
    return float(np.mean([one.verdicts[0] is Verdict.worse for one in ran]))


def saved(folder: Path) -> float:
    """The share of a recorded sweep's trials that `stopping=decided` would not have trained."""
    store, cache = store_of(folder)
    words = [*SWEEP, f"model.pretrain.seed={','.join(map(str, BASES))}", *QUIET, f"store={store}"]
    command_seconds(sys.executable, "-m", "sweeps", *words, "sweep.figures=[]", environment=os.environ | cache)
    stopped, whole = settled(compose_launch([*words, "stopping=decided"]), Store(store)), compose_launch(words)
    for base in BASES:
        own = [cell for cell in trained(stopped) if cell.values["model.pretrain.seed"] == base]
        said = (f"{cell.values['rollout.temperature']:g} {len(cell.trials)} {cell.verdict}" for cell in own)
        kept = sum(len(cell.trials) for cell in own) / (len(own) * len(whole.seeds))
        print(f"base {base}: {1 - kept:.1%} saved; temperature, seeds, verdict: {', '.join(said)}", flush=True)
    return 1 - sum(len(of.trials) for of in trained(stopped)) / sum(len(of.trials) for of in trained(whole))


def trained(launch: Launch) -> list[Cell]:
    return [cell for cell in expand.cells(launch) if any(cell.steps)]


def tables() -> Iterator[str]:
    """Both for all kinds of scores, as Markdown."""
    yield "| scores | after 4 seeds | after 8 |"
    yield "|---|---|---|"
    for kind in PLANNED:
        found = (reached(kind, pilot) for pilot in PILOTS)
        shown = (f"{100 * rate:.0f} ({median:.0f}, {high:.0f})" for rate, median, high in found)
        yield f"| {kind} | {' | '.join(shown)} |"
    yield ""
    yield "| differences of | 5% | one end, 5% / 7 |"
    yield "|---|---|---|"
    for kind, scores in (KINDS | SKEWED).items():
        rates = (100 * error_rate(scores, ERROR), 100 * end_rate(scores, ERROR / 7))
        yield f"| {kind} | {' | '.join(f'{rate:.2g}' for rate in rates)} |"


if __name__ == "__main__":
    for line in tables():
        print(line, flush=True)
