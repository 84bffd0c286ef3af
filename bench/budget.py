"""Whether an evaluation on a budget holds what it promises, and what each of its choices alone is worth.

The truth is known: of tiny trials 64 answers to each problem are recorded, and these seeds and answers are taken for
all that there are.  Samples of them, drawn with replacement, are measured as `eval=avg8` and as `eval=budget` would.
Everything is chosen on three base models and reported on twelve others (fewer where a store does not hold them yet).

EM_BENCHMARK_STORE names a folder that holds the sweep; without it the sweep is run, which takes an hour on two cores.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from analysis import budget, stats
from analysis.budget import Cost, Design
from bench import levers
from bench.processes import command_seconds
from bench.recorded import AVG, CHOSEN_ON, HELD_OUT, SEEDS, Recorded, read, words
from bench.rows import Row, at_least, at_most
from bench.trials import store_of
from em.store import Store
from sweeps.config import compose_launch
from sweeps.full import Full, Seen

MEASURED = 16  # seeds of a cell, as eval=avg8 has them
SHARE = 0.25  # of avg@8's answers, that a design may take
RESAMPLES, TOGETHER = 4000, 100
FEWEST, MOST = 0.93, 0.97  # intervals that may hold the truth
SOUND = 0.9  # of true accuracies, of which fewer would hold where a rare seed collapsed


def sampled(of: Recorded, rng: Generator, design: Design, common: bool, balanced: bool = True) -> NDArray:
    """Scores of so many samples of a cell, (RESAMPLES, seeds): each seed and each answer drawn anew, or the answers
    once for all seeds of a sample."""
    total, benchmarks = of.correct_SBPK.shape[2], of.correct_SBPK.shape[1]
    draws, scores = of.draws(min(design.problems, total), balanced), []
    place_B = np.arange(benchmarks)[:, None, None]
    for _ in range(RESAMPLES // TOGETHER):
        seed_RS = rng.integers(len(of.correct_SBPK), size=(TOGETHER, design.seeds))
        problem_RSBP = draws[rng.integers(len(draws), size=seed_RS.shape)]
        shape = (TOGETHER, 1 if common else design.seeds, *problem_RSBP.shape[2:], design.samples)
        answer_RSBPK = rng.integers(of.correct_SBPK.shape[3], size=shape, dtype=np.uint8)
        correct = of.correct_SBPK[seed_RS[..., None, None, None], place_B, problem_RSBP[..., None], answer_RSBPK]
        scores.append(correct.mean(axis=(2, 3, 4)))
    return np.concatenate(scores)


class Held(NamedTuple):
    """Of the intervals over seeds of many samples, in points."""

    half: float  # their mean
    share: float  # that hold the truth
    needed: float  # half of the narrowest around the mean, all of one width, of which 95% hold it
    widened: float  # their mean if each is widened by as much as 95% of them need


def held(of: Recorded, scores_RS: NDArray) -> Held:
    low_R, high_R = stats.interval(default_rng(0), scores_RS[:, None, :])
    errors_R, half_R = np.abs(scores_RS.mean(axis=1) - of.truth), (high_R - low_R) / 2
    share = float(((low_R <= of.truth) & (of.truth <= high_R)).mean())
    needed, times = np.quantile(errors_R, stats.CONFIDENCE), np.quantile(errors_R / half_R, stats.CONFIDENCE)
    half = 100 * float(half_R.mean())
    return Held(half, share, 100 * float(needed), half * float(times))


def narrowest(seen: Seen, reached: float, answers: float) -> Design:
    """The design of the smallest target, by hundredths of what avg@8 reaches, that takes no more answers.

    Answers are what counts here: training costs nothing, so what is saved goes into seeds, since other base models'
    may spread further.  Every problem is asked.
    """
    made, free = list[Design](), Cost(0.0, 1.0)
    for target in reached * np.arange(1.0, 0.0, -0.01):
        design = budget.plan(seen.variance, target, free, MEASURED, problems=[seen.problems])
        if design is None or design.seeds * design.answers > answers:
            break
        made.append(design)
    return made[-1]


class Compared(NamedTuple):
    """On one base model."""

    common: Held  # avg@8 with common random numbers, as eval=avg8 has it
    own: Held  # ... with own ones
    exact: Held  # the seeds' true accuracies
    made: Held  # the design on a budget


def rows(folder: Path) -> Iterator[Row]:
    place, cache = store_of(folder)
    if not os.environ.get("EM_BENCHMARK_STORE"):
        every = words([*CHOSEN_ON, *HELD_OUT], place)
        command_seconds(sys.executable, "-m", "sweeps", *every, environment=os.environ | cache)
    store = Store(place)
    full = Full(compose_launch(words(CHOSEN_ON, place)), store)
    records, _ = store.records()
    seen = full.seen(records, full.cells(records))
    everything = seen.full(MEASURED, AVG)
    reached = budget.common_half_width(seen.variance, MEASURED, AVG)
    design = narrowest(seen, reached, SHARE * everything.seeds * everything.answers)
    print(
        f"avg@{AVG} of {MEASURED} seeds reaches ±{100 * reached:.2f} points; with {SHARE:.0%} of its answers: {design}"
    )
    measured = read(store, HELD_OUT, place)
    print("\n".join(levers.table(read(store, CHOSEN_ON, place), measured)))
    print(f"{len(measured)} of {len(HELD_OUT)} base models are recorded; half widths in points, and how many hold")
    found = list[Compared]()
    for of in measured:
        rng = default_rng(of.base)
        designs = ((everything, True), (everything, False), (design, False))
        common, own, made = (held(of, sampled(of, rng, asked, shared)) for asked, shared in designs)
        exact = of.correct_SBPK.mean(axis=(1, 2, 3))[rng.integers(SEEDS, size=(RESAMPLES, design.seeds))]
        found.append(Compared(common, own, held(of, exact), made))
        print(
            f"{of.base}: avg@{AVG} ±{common.half:.2f} holds {common.share:.1%}, ±{common.needed:.2f} would hold 95% "
            f"(±{common.widened:.2f} where each is widened alike); own numbers ±{own.half:.2f} holds {own.share:.1%}; "
            f"without chance of answers {found[-1].exact.share:.1%}; budget ±{made.half:.2f} holds {made.share:.1%}"
        )
    yield from verdicts(found, design.seeds * design.answers / (everything.seeds * everything.answers))


def verdicts(found: list[Compared], answers: float) -> Iterator[Row]:
    """The claim; and once more without base models whose seeds' true accuracies have intervals that do not hold."""
    sound = [of for of in found if of.exact.share >= SOUND]
    yield Row("answers, of avg@8's", answers, "", at_most(SHARE))
    for name, some in (("", found), (", sound", sound)):
        needed, holds = [of.made.half / of.common.needed for of in some], [100 * of.made.share for of in some]
        yield Row(f"width, of what holds with avg@8{name}: mean", fmean(needed), "", at_most(1.0))
        yield Row(f"width, of what holds with avg@8{name}: widest", max(needed), "", at_most(1.0))
        yield Row(f"intervals that hold the truth{name}: fewest", min(holds), "%", at_least(100 * FEWEST))
        yield Row(f"intervals that hold the truth{name}: most", max(holds), "%", at_most(100 * MOST))
    widened = max(of.made.half / of.common.widened for of in found)
    yield Row("width, of avg@8's that is widened: widest", widened, "", at_most(1.0))
    own = fmean(of.made.half / of.own.half for of in found)
    yield Row("width, of avg@8 with own numbers: mean", own, "", at_most(1.0))
