"""Figure 6: score after the last step against learning rate.

The rate that the config trains with where it is not varied, 2e-5 at the paper's size, against the largest, the smallest
and the best of all others: seed by seed, the last interval simultaneous over the others.  A rate at which all trials
diverge has no score to compare.
"""

from collections.abc import Mapping

import numpy as np

from analysis import style
from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, Contrast, by_seed, largest, mean

ID = "F6"
CLAIM = "The reference learning rate is the best: larger ones are over-confident, smaller ones slow."
SWEEPS = ("lr",)
AXIS = "optimizer.lr"


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["lr"]
    rows, rate = part.observed(), part.rate
    others = rows[AXIS].unique().sort().to_list()
    if rate not in others:
        return []
    others.remove(rate)
    scores_SX, best_S = by_seed(rows, AXIS, others), by_seed(rows, AXIS, [rate])[:, 0]
    reference = style.written(AXIS, rate)
    against = [
        mean(f"{reference} minus {style.written(AXIS, other)}", best_S - scores_S, ABOVE)
        for other, scores_S in zip(others, scores_SX.T, strict=True)
    ]
    smaller, larger = ([item for item in others if item < rate], [item for item in others if item > rate])
    ends = [against[0]] * bool(smaller) + [against[-1]] * bool(larger)
    return [*ends, largest(f"{reference} minus the best other", against, ABOVE, np.min)] if others else []
