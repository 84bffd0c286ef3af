"""What GRPO gains on twelve base models that no choice was made on, 16 seeds on each, on test problems.

EM_BENCHMARK_STORE names a folder of records to go on from; the base models are then those of the user's cache.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from analysis import gain, stats
from bench.rows import Row, at_least, at_most
from bench.trials import scores, store_of
from em.store import Store

AXIS = "model.pretrain.seed"
WORDS = ["phase=grpo", f"{AXIS}=range(40,52)", "seed=range(0,16)", "sweep.name=grpo"]


def rows(folder: Path) -> Iterator[Row]:
    trials = scores(WORDS, folder)
    models = trials.group_by("model", AXIS).agg(
        pl.mean("score"), pl.first("base_score"), low=pl.col("score").map_batches(lowest, returns_scalar=True)
    )
    for model in models.sort(AXIS).iter_rows(named=True):
        base, mean, low = (100 * model[name] for name in ("base_score", "score", "low"))
        print(f"{model['model']}: {base:.1f} -> {mean:.1f} ({mean - base:+.1f}), low end over seeds {low - base:+.1f}")
    gains = gain.over_models(100 * (models["score"] - models["base_score"]).to_numpy())
    print(f"accuracy: {gains}")
    yield Row("GRPO: gain, low end over base models", gains.low, "points", at_least(0))
    worst = float((100 * (models["low"] - models["base_score"])).min())  # type: ignore[arg-type]
    yield Row("GRPO: gain, low end over seeds, worst base", worst, "points", at_least(0))
    yield Row("GRPO: base models that lose", float(gains.losing), "", at_most(0))
    first, last = rewards(Store(store_of(folder)[0]), trials)
    yield Row("GRPO: reward, step 20 minus step 1", 100 * (last - first), "points", at_least(0))


def lowest(scores_S: pl.Series) -> float:
    return stats.student_interval(scores_S.to_numpy())[0]


def rewards(store: Store, trials: pl.DataFrame) -> tuple[float, float]:
    """Mean reward of the samples of the first and of the last step, over all trials."""
    metrics = (
        store.records()[0]
        .filter(pl.col("trial_id").is_in(trials["trial_id"].to_list()))
        .select("metrics")
        .explode("metrics")
        .unnest("metrics")
        .filter(pl.col("name") == "reward")
    )
    by_step = dict(metrics.group_by("step").agg(pl.mean("value")).iter_rows())
    return by_step[min(by_step)], by_step[max(by_step)]
