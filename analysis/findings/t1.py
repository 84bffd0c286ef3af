"""Table 1: EM on one prompt against the base model, and against models that reinforcement learning has trained.

EM after its tenth step minus the base model, which was measured once; and minus each model after reinforcement
learning.  That is our own GRPO after its last step, seed by seed, and every published checkpoint of `baselines`, which
is one model without seeds: its score has its evaluation variance.  All on the same problems, so the claim is about
these.  EM is at least as good where the interval lies above 0, with no margin.
"""

import json
from collections.abc import Mapping

import polars as pl

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, Contrast, aligned, gained, having, mean, variance_of

ID = "T1"
CLAIM = "EM on one prompt makes the base model better, and at least as good as reinforcement learning does."
SWEEPS = ("em-rl", "baselines")
STEP = 10


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    if "em-rl" not in parts:
        return []
    rows = parts["em-rl"].observed([0, STEP, None])
    measured = having(rows, "phase", "em").filter(pl.col("step") <= STEP)
    em, grpo = having(measured, "step", STEP), having(rows, "phase", "grpo")
    gain_S, variance = gained(measured)
    em_S, grpo_S = aligned(em, grpo.filter(pl.col("step") == pl.col("last_step")))
    made = [mean("EM minus base model", gain_S, ABOVE, variance=variance), mean("EM minus GRPO", em_S - grpo_S, ABOVE)]
    if "baselines" in parts:
        (em_S,) = aligned(em)
        for row in published(parts["baselines"], rows["base_id"]):
            difference_S = em_S - row["base_score"].item()
            made.append(mean(f"EM minus {row['model'].item()}", difference_S, ABOVE, variance=variance_of(row)))
    return made


def published(part: Part, untrained: pl.Series) -> list[pl.DataFrame]:
    """The row of each checkpoint that has a score, without those that EM started from or that were pretrained here."""
    rows = part.observed([0]).unique("base_id", maintain_order=True).drop_nulls("base_score")
    rows = rows.filter(~pl.col("base_id").is_in(untrained.unique().to_list()))
    records = part.tables.records.filter(pl.col("trial_id").is_in(rows["base_id"].to_list()))
    paths = {trial: json.loads(text)["model"]["path"] for trial, text in records["trial_id", "trial"].iter_rows()}
    return [row for row in rows.iter_slices(1) if paths[row["base_id"].item()]]
