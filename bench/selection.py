"""Whether EM gains more on prompts of high variance: the pool's eight highest, eight random ones, its eight lowest.

On twelve base models that no choice was made on, on test problems; the pool is the default one, 48 sums.
EM_BENCHMARK_STORE names a folder of records to go on from; the base models are then those of the user's cache.
"""

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np

from analysis import gain
from bench.processes import command_seconds
from bench.rows import Row, at_least
from bench.trials import QUIET, scores, store_of

BASES, PROMPTS, SEEDS = range(40, 52), 8, 1


def rows(folder: Path) -> Iterator[Row]:
    means = []
    for base in BASES:
        ranked = ranking(base, folder)
        groups = {
            "highest": ranked[:PROMPTS],
            "random": Random(base).sample(ranked, PROMPTS),
            "lowest": ranked[-PROMPTS:],
        }
        texts = ",".join(f"[{text}]" for text in sorted({text for group in groups.values() for text in group}))
        words = [f"model.pretrain.seed={base}", f"prompts.texts={texts}", f"seed=range(0,{SEEDS})", "sweep.name=picked"]
        trials = scores(words, folder)
        by_text = {tuple(text): score for text, score in trials.group_by("prompts.texts").agg("score").iter_rows()}
        mean = {name: 100 * np.mean([by_text[(text,)] for text in group]) for name, group in groups.items()}
        said = ", ".join(f"{name} {score:.1f}" for name, score in mean.items())
        print(f"tiny-{base}: base {100 * trials['base_score'][0]:.1f}, EM on {said}", flush=True)
        means.append(mean)
    for other in ("random", "lowest"):
        gains = gain.over_models(np.array([mean["highest"] - mean[other] for mean in means]))
        print(f"highest against {other}: {gains}")
        yield Row(f"EM on the highest variance against {other}", gains.mean, "points", at_least(0))
        yield Row(f"... low end over {gains.models} base models", gains.low, "points", at_least(0))


def ranking(base: int, folder: Path) -> list[str]:
    """The pool's prompts, as `python -m sweeps.select` ranks them; those of equal variance by entropy."""
    store, cache = store_of(folder)
    name = f"bench_{base}"
    words = [f"model.pretrain.seed={base}", f"select.name={name}", "select.top=0", f"store={store}", *QUIET]
    command_seconds(sys.executable, "-m", "sweeps.select", *words, environment=os.environ | cache)
    with (store / "selections" / f"{name}.csv").open(newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]
