"""Calibration: whether a model is right as often as it is sure.

There are two confidences of an answer, both in [0, 1].  `tokens` is the mean probability of its tokens, which
`eval.statistics` records: at temperature 1, whatever the answer was sampled at.  `agreement` is the share of the other
samples to its problem that give the same answer, compared as text: "1/2" and "0.5" do not agree.

The expected calibration error of few answers comes out too high, since the accuracy of each bin is off by chance: it
compares models that answered equally many.  K answers, B bins of confidence; in
scores_CKS C cells, one stratum, S seeds.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from analysis import stats
from analysis.summary import LOST, matrix
from analysis.tables import WORD
from em.store.record import EvaluationResult

KINDS = ("tokens", "agreement")
KIND = pl.Enum(KINDS)
BINS = 10
MEASUREMENT = ["trial_id", "step", "temperature"]
SCORES = ("ece", "brier", "confidence", "accuracy")
ANSWERS = {
    "trial_id": WORD,
    "step": pl.Int64,
    "temperature": pl.Float64,
    **dict.fromkeys(KINDS, pl.Float64),
    "correct": pl.Boolean,
}


class Reliability(NamedTuple):
    """Answers by their confidence, in bins of equal width: above b / B, up to (b + 1) / B; the first holds 0 too."""

    count_B: NDArray
    confidence_B: NDArray  # mean; nan in an empty bin
    accuracy_B: NDArray


def reliability(confidence_K: NDArray, correct_K: NDArray, bins: int = BINS) -> Reliability:
    assert np.isfinite(confidence_K).all(), "confidences must be finite"
    bin_K = np.searchsorted(np.arange(1, bins) / bins, confidence_K)
    count_B = np.bincount(bin_K, minlength=bins)
    sums = (np.bincount(bin_K, weights=of_K, minlength=bins) for of_K in (confidence_K, correct_K))
    return Reliability(count_B, *(np.where(count_B > 0, sum_B / np.maximum(count_B, 1), np.nan) for sum_B in sums))


def ece(of: Reliability) -> float:
    """Expected calibration error (Guo et al., 2017, equation 5), in [0, 1]."""
    gap_B = np.nan_to_num(np.abs(of.accuracy_B - of.confidence_B))
    return float(of.count_B @ gap_B / of.count_B.sum())


def brier(confidence_K: NDArray, correct_K: NDArray) -> float:
    return float(np.mean((confidence_K - correct_K) ** 2))


def agreement(extracted_K: Sequence[str | None], samples: int) -> NDArray:
    """Of each answer the share of the other samples to its problem that give the same one; None agrees with none.

    Answers are in the order of a record: entry `problem * samples + sample`, of at least two samples.
    """
    shares_K = []
    for start in range(0, len(extracted_K), samples):
        of_problem = extracted_K[start : start + samples]
        counts = Counter(of_problem)
        shares_K += [0.0 if one is None else (counts[one] - 1) / (samples - 1) for one in of_problem]
    return np.array(shares_K)


def answers(trial_id: str, result: EvaluationResult) -> pl.DataFrame:
    """One row per answer of a measurement, with the columns of ANSWERS.

    A confidence is null where it is not recorded, or there is one sample; `correct` is null where nobody could say.
    """
    number = len(result.correct)
    agreed = agreement(result.extracted, result.samples) if result.samples > 1 else None
    columns = {
        "trial_id": [trial_id] * number,
        "step": [result.step] * number,
        "temperature": [result.temperature] * number,
        "tokens": result.probabilities if result.probabilities is not None else [None] * number,
        "agreement": agreed if agreed is not None else [None] * number,
        "correct": result.correct,
    }
    return pl.DataFrame(columns, ANSWERS)


def arrays(answers: pl.DataFrame, kind: str) -> tuple[NDArray, NDArray]:
    """confidence_K and correct_K; answers that could not be graded count as wrong."""
    return answers[kind].to_numpy(), answers["correct"].fill_null(value=False).to_numpy().astype(float)


def kinds(answers: pl.DataFrame) -> list[str]:
    """The confidences that all of these answers have."""
    return [kind for kind in KINDS if len(answers) and not answers[kind].null_count()]


def measurements(answers: pl.DataFrame) -> pl.DataFrame:
    """One row per (trial, step, evaluation temperature, kind of confidence), all benchmarks pooled.

    ece, brier score, mean confidence, accuracy, n (answers), and how many of these could not be graded.
    """
    rows = []
    for key, measured in answers.group_by(MEASUREMENT, maintain_order=True):
        for kind in kinds(measured):
            confidence_K, correct_K = arrays(measured, kind)
            error, squared = ece(reliability(confidence_K, correct_K)), brier(confidence_K, correct_K)
            means = float(confidence_K.mean()), float(correct_K.mean())
            rows.append((*key, kind, error, squared, *means, len(measured), measured["correct"].null_count()))
    keys = {name: ANSWERS[name] for name in MEASUREMENT} | {"kind": KIND}
    counts = dict.fromkeys(("n", "ungraded"), pl.Int64)
    return pl.DataFrame(rows, keys | dict.fromkeys(SCORES, pl.Float64) | counts, orient="row")


def diagram(answers: pl.DataFrame) -> pl.DataFrame:
    """One row per (kind, step, bin): low and high end, count, mean confidence, accuracy; trials pooled."""
    edges, rows = np.arange(BINS + 1) / BINS, []
    for kind in kinds(answers):
        for (step,), of_step in answers.sort("step").group_by("step", maintain_order=True):
            for low, high, *of_bin in zip(edges, edges[1:], *reliability(*arrays(of_step, kind)), strict=False):
                rows.append((kind, step, low, high, *of_bin))
    floats = ("confidence", "accuracy")
    schema = {"kind": KIND, "step": pl.Int64, "low": pl.Float64, "high": pl.Float64, "count": pl.Int64}
    return pl.DataFrame(rows, schema | dict.fromkeys(floats, pl.Float64), orient="row").fill_nan(None)


def summarise(seeds: pl.DataFrame, axes: Sequence[str], rng: Generator) -> pl.DataFrame:
    """One row per (cell, step, evaluation temperature, kind), in the order of the seeds: means over these.

    Each of SCORES with its 95% interval, within [0, 1] as they all are; the trials that have it, those that do not
    (diverged, failed, missing).
    """
    keys, columns = [*axes, "step", "temperature", "kind"], {}
    cells = seeds.group_by(keys, maintain_order=True).agg(
        trials=pl.count("ece"), **{outcome: (pl.col("outcome") == outcome).sum() for outcome in LOST}
    )
    for name in SCORES:
        scores_CKS = matrix(seeds.with_columns(score=name), keys)
        ends_2C = np.clip(stats.interval(rng, scores_CKS), 0, 1)
        columns |= {name: stats.mean(scores_CKS), f"{name}_low": ends_2C[0], f"{name}_high": ends_2C[1]}
    return cells.with_columns(pl.Series(name, of_C) for name, of_C in columns.items()).fill_nan(None)
