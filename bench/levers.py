"""What each choice of an evaluation alone is worth, on trials of which every answer is known (bench.budget).

The noise of a cell's mean is its distance from what these same seeds would score with all answers that there are.  What
is printed is its variance times the answers of a trial, as a share of what one answer to every problem has with random
numbers of each seed's own: a lever of 0.8 needs a fifth fewer answers for as little noise.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from bench.recorded import Recorded

SEEDS, RESAMPLES, TOGETHER = 16, 4000, 200


class Slopes(NamedTuple):
    """Of regressions on the base model, from the base models that choices are made on."""

    problem: float  # of a problem's accuracy on the base model's
    answer: float  # of an answer on the base model's with the same random numbers


class Sample(NamedTuple):
    """R samples of S seeds, each asked n problems of B benchmarks once."""

    correct_RSBN: NDArray
    known_RSBN: NDArray  # the base model's accuracy on the problem, by the eight answers that avg@8 has of it
    base_RSBN: NDArray  # the base model's answer with the same random numbers, less its accuracy by all answers
    stratum_RSBN: NDArray  # whether the base model is better on it than on most


def slopes(chosen_on: list[Recorded]) -> Slopes:
    problem, answer = [], []
    for of in chosen_on:
        known_BP, trained_BP = of.known, of.correct_SBPK.mean(axis=(0, 3))
        centred_BP = known_BP - known_BP.mean(axis=1, keepdims=True)
        problem.append((centred_BP * trained_BP).sum() / (centred_BP**2).sum())
        base_BPK = of.base_BPK - of.base_BPK.mean(axis=2, keepdims=True)
        answer.append((base_BPK * of.correct_SBPK.mean(axis=0)).sum() / (base_BPK**2).sum())
    return Slopes(float(np.mean(problem)), float(np.mean(answer)))


def sample(of: Recorded, rng: Generator, draws: NDArray, common: bool) -> tuple[Sample, NDArray]:
    """Samples, and what their seeds would score with all answers, RS."""
    seed_RS = rng.integers(len(of.correct_SBPK), size=(TOGETHER, SEEDS))
    problem = draws[rng.integers(len(draws), size=seed_RS.shape)]
    shape = (TOGETHER, 1 if common else SEEDS, *problem.shape[2:])
    answer = np.broadcast_to(rng.integers(of.correct_SBPK.shape[3], size=shape), problem.shape)
    place = np.arange(problem.shape[2])[:, None]
    known, above_BP = of.known[place, problem], of.known > np.median(of.known, axis=1, keepdims=True)
    correct = of.correct_SBPK[seed_RS[..., None, None], place, problem, answer]
    base = of.base_BPK[place, problem, answer] - of.base_BPK.mean(axis=2)[place, problem]
    truth_S = of.correct_SBPK.mean(axis=(1, 2, 3))
    return Sample(correct, known, base, above_BP[place, problem]), truth_S[seed_RS]


def plain(of: Recorded, drawn: Sample, by: Slopes) -> NDArray:
    """The mean of the answers, RS; the others below correct it by what is known of the base model."""
    return drawn.correct_RSBN.mean(axis=(2, 3))


def regression(of: Recorded, drawn: Sample, by: Slopes) -> NDArray:
    """By how much the base model finds the drawn problems harder than all."""
    easier_RSB = drawn.known_RSBN.mean(axis=3) - of.known.mean(axis=1)
    return (drawn.correct_RSBN.mean(axis=3) - by.problem * easier_RSB).mean(axis=2)


def poststratified(of: Recorded, drawn: Sample, by: Slopes) -> NDArray:
    """By the share of problems above the base model's median that there are, and that were drawn."""
    above_B = (of.known > np.median(of.known, axis=1, keepdims=True)).mean(axis=1)
    mean_RSB, parts = drawn.correct_RSBN.mean(axis=3), []
    for share_B, inside in ((above_B, drawn.stratum_RSBN), (1 - above_B, ~drawn.stratum_RSBN)):
        count_RSB = inside.sum(axis=3)
        own_RSB = (drawn.correct_RSBN * inside).sum(axis=3) / np.maximum(count_RSB, 1)
        parts.append(share_B * np.where(count_RSB > 0, own_RSB, mean_RSB))
    return (parts[0] + parts[1]).mean(axis=2)


def controlled(of: Recorded, drawn: Sample, by: Slopes) -> NDArray:
    """By the luck that the base model has with the same random numbers on the same problems."""
    return (drawn.correct_RSBN - by.answer * drawn.base_RSBN).mean(axis=(2, 3))


def measured(of: Recorded, by: Slopes) -> Iterator[tuple[str, float]]:
    """Of one base model, what each lever is worth."""
    total = of.known.shape[1]
    half = total // 2
    whole = np.broadcast_to(np.arange(total), (1, len(of.known), total))
    simple, balanced = of.draws(half, balanced=False), of.draws(half)
    levers = {
        "own numbers, all problems": (whole, False, plain),
        "common numbers": (whole, True, plain),
        "common numbers, corrected by base's answers": (whole, True, controlled),
        "own numbers, corrected by base's answers": (whole, False, controlled),
        "half of the problems, simple": (simple, False, plain),
        "half of the problems, balanced": (balanced, False, plain),
        "half, simple, post-stratified": (simple, False, poststratified),
        "half, simple, regression on base": (simple, False, regression),
        "half, balanced, regression on base": (balanced, False, regression),
    }
    unit = 0.0
    for name, (draws, common, estimate) in levers.items():
        rng, errors = default_rng(of.base), []
        for _ in range(RESAMPLES // TOGETHER):
            drawn, truth_RS = sample(of, rng, draws, common)
            errors.append((estimate(of, drawn, by) - truth_RS).mean(axis=1))
        worth = float(np.mean(np.concatenate(errors) ** 2)) * draws.shape[2]
        unit = unit or worth
        yield name, worth / unit


def table(chosen_on: list[Recorded], held_out: list[Recorded]) -> Iterator[str]:
    """A line for each lever, a column for each base model, and the mean."""
    by = slopes(chosen_on)
    yield f"slopes on the base model: of problems {by.problem:.2f}, of answers {by.answer:.2f}"
    found = [dict(measured(of, by)) for of in held_out]
    yield f"{'':46}{''.join(f'{of.base:6}' for of in held_out)}  mean"
    for name in found[0] if found else ():
        worth = [of[name] for of in found]
        yield f"{name:46}{''.join(f'{one:6.2f}' for one in worth)}{np.mean(worth):6.2f}"
