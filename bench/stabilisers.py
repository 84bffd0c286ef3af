"""What each stabiliser does to EM on three base models that no choice was made on, 16 seeds on each.

After 10, 20 and 50 steps, on test problems at temperature 1: mean, spread over seeds, and decline from the best of
these steps to the last.

EM_BENCHMARK_STORE names a folder of records to go on from; the base models are then those of the user's cache.
"""

from collections.abc import Iterator
from pathlib import Path

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
            mean = float(sum(of.mean() for of in strata) / len(strata))
            low, high = stats.interval(default_rng(0), *strata)
            print(f"{name}, step {step}, against none: {mean:+.1f} (95% interval over seeds {low:.1f} to {high:.1f})")
            yield Row(f"{name} against none, step {step}", mean, "points", at_least(NO_WORSE))


def per_seed(words: list[str], folder: Path) -> pl.DataFrame:
    """A row for each model and seed, a column for each step; in per cent."""
    name = words[0].partition("[")[2].rstrip("]") if words else "plain"
    trials = scores([*WORDS, *words, f"sweep.name={name}"], folder)
    return trials.with_columns(pl.col("score") * 100).pivot("step", index=["model", "seed"], values="score")


def table(name: str, trials: pl.DataFrame) -> str:
    """A line for each base model: mean and standard deviation after each step, and the decline."""
    lines = []
    for of_model in trials.partition_by("model"):
        columns = {step: of_model[f"{step}"].to_numpy() for step in STEPS}
        said = " | ".join(f"{stats.mean(c):.1f} ± {stats.deviation(c):.1f}" for c in columns.values())
        means = [stats.mean(column) for column in columns.values()]
        lines.append(f"| {name} | {of_model['model'][0]} | {said} | {max(means) - means[-1]:.1f} |")
    return "\n".join(lines)
