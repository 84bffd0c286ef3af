"""What each stabiliser does to EM on three base models that no choice was made on, 16 seeds on each.

After 10, 20 and 50 steps, on test problems at temperature 1: mean, spread over seeds, and decline from the best of
these steps to the last.  C cells, K strata, S seeds.

EM_BENCHMARK_STORE names a folder of records to go on from; the base models are then those of the user's cache.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.random import default_rng

from analysis import stats
from bench.rows import Row, at_least
from bench.trials import scores
from em.trial.stabiliser import STABILISERS

STEPS = [10, 20, 50]
AXIS = "model.pretrain.seed"
WORDS = [f"{AXIS}=40,41,42", "seed=range(0,16)", f"eval.steps={STEPS}".replace(" ", "")]
NO_WORSE = -10.0  # points that a stabiliser may cost


def rows(folder: Path) -> Iterator[Row]:
    plain = per_seed([], folder)
    print(table("none", plain), flush=True)
    for name in STABILISERS:
        trials = per_seed([f"stabiliser=[{name}]"], folder)
        print(table(name, trials), flush=True)
        both = trials.join(plain, on=["model", "seed"], suffix="_plain")
        for step in (STEPS[0], STEPS[-1]):
            strata = [(of[f"{step}"] - of[f"{step}_plain"]).to_numpy() for of in both.partition_by("model")]
            gains_CKS = np.stack(strata)[None]  # one cell, a stratum for each base model
            assert np.isfinite(gains_CKS).all(), "every trial must have a score"
            (mean,), ((low,), (high,)) = stats.mean(gains_CKS), stats.interval(default_rng(0), gains_CKS)
            print(f"{name}, step {step}, against none: {mean:+.1f} (95% interval over seeds {low:.1f} to {high:.1f})")
            yield Row(f"{name} against none, step {step}", float(mean), "points", at_least(NO_WORSE))


def per_seed(words: list[str], folder: Path) -> pl.DataFrame:
    """A row for each model and seed, a column for each step; in per cent."""
    name = words[0].partition("[")[2].rstrip("]") if words else "plain"
    trials = scores([*WORDS, *words, f"sweep.name={name}"], folder)
    return trials.with_columns(pl.col("score") * 100).pivot("step", index=["model", "seed"], values="score")


def table(name: str, trials: pl.DataFrame) -> str:
    """A line for each base model: mean and standard deviation after each step, and the decline."""
    lines = []
    for of_model in trials.partition_by("model"):
        scores_CS = of_model.select(f"{step}" for step in STEPS).to_numpy().T
        mean_C, spread_C = stats.mean(scores_CS[:, None]), stats.deviation(scores_CS)
        said = " | ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(mean_C, spread_C, strict=True))
        lines.append(f"| {name} | {of_model['model'][0]} | {said} | {max(mean_C) - mean_C[-1]:.1f} |")
    return "\n".join(lines)
