"""Figure 1: the skewness of all logits of a model's answers.

That of each trial minus that of the model that it started from: of EM and of GRPO the base model, of GRPO after EM the
model after EM.  That is one model, measured once.  How far its skewness would lie from that of other answers is not
recorded, so it is taken as it is.
"""

from collections.abc import Mapping

import polars as pl

from analysis.figures.logits import distributions
from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, BELOW, Contrast, aligned, having, mean

ID = "F1"
CLAIM = "EM makes the logits more skewed, reinforcement learning less, also after EM."
SWEEPS = ("logits",)
ARMS = {
    "em": ("EM minus base model", ABOVE),
    "grpo": ("GRPO minus base model", BELOW),
    "grpo_after_em": ("GRPO after EM minus EM", BELOW),
}


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["logits"]
    own = part.cells.with_columns(
        step=pl.col("last_step").cast(pl.Int64), start_step=pl.col("start_step").cast(pl.Int64)
    )
    start = own.select(trial_id="start_id", step="start_step").unique()
    wanted = pl.concat([own.select("trial_id", "step"), start])
    found = distributions(part.tables, wanted, [item.id for item in part.headline.evaluations])
    found = found.filter(pl.col("metric") == "skewness").select("trial_id", "step", "score")
    before = found.rename({"trial_id": "start_id", "step": "start_step", "score": "before"})
    rows = own.join(found, on=["trial_id", "step"], how="left")
    rows = rows.join(before, on=["start_id", "start_step"], how="left")
    rows = rows.with_columns(score=pl.col("score") - pl.col("before"))
    arms = {phase: aligned(having(rows, "phase", phase))[0] for phase in ARMS}
    return [mean(name, arms[phase], side, "skewness") for phase, (name, side) in ARMS.items()]
