"""Table 2: EM on one prompt and on many, over several base models.

One prompt minus many: of each seed the mean over base models, which are fixed.  A base model after reinforcement
learning, simplerl-zoo or one after a phase of GRPO: its score after EM on one prompt minus before.  That the base model
bounds the gain is read as: gains of untrained base models differ, the two that are furthest apart by more than two
points; the interval is simultaneous over all pairs.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, BELOW, Contrast, aligned, gained, having, largest, magnitude, mean

ID = "T2"
CLAIM = "One prompt is better than many, the base model bounds the gain, and one trained by RL gets worse."
SWEEPS = ("models",)
ONE, MANY = ("em", "em_after_grpo"), ("multi_shot", "multi_shot_after_grpo")  # phases
TRAINED = ("simplerl-zoo",)  # models by reinforcement learning
MARGIN = 2.0  # points


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    rows = parts["models"].observed([0, None])
    one, many = (rows.filter(pl.col("phase").cast(pl.String).is_in(phases)) for phases in (ONE, MANY))
    differences_BS, gains, trained = list[NDArray](), dict[str, tuple[NDArray, float]](), list[Contrast]()
    for model, start_step in one.select("model", "start_step").unique(maintain_order=True).iter_rows():
        own, other = (having(having(arm, "model", model), "start_step", start_step) for arm in (one, many))
        own_S, other_S = aligned(*(arm.filter(pl.col("step") > 0) for arm in (own, other)))
        differences_BS.append(own_S - other_S)
        gain_S, variance = gained(own)
        if start_step or model in TRAINED:
            name = f"{model} after GRPO" if start_step else model
            trained.append(mean(f"{name}: after EM minus before", gain_S, BELOW, variance=variance))
        else:
            gains[model] = gain_S, variance
    pairs = [
        magnitude(mean(f"{a} minus {b}", gains[a][0] - gains[b][0], ABOVE, variance=gains[a][1] + gains[b][1]))
        for a, b in combinations(gains, 2)
    ]
    apart = [largest("largest minus smallest gain", pairs, (MARGIN, float("inf")))] if pairs else []
    return [mean("one prompt minus many", np.mean(differences_BS, axis=0), ABOVE), *trained, *apart]
