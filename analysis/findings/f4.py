"""Figure 4: score against evaluation temperature, after EM and after GRPO.

Of each seed the score at the highest temperature measured minus that at the lowest, and the slope of a least-squares
line through all of them.
"""

from collections.abc import Mapping

import numpy as np

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, BELOW, Contrast, by_seed, having, mean
from analysis.findings.f3 import slopes

ID = "F4"
CLAIM = "After EM the score falls with evaluation temperature, after reinforcement learning it rises."
SWEEPS = ("eval-temperature",)
ARMS = {"em": ("EM", BELOW), "grpo": ("GRPO", ABOVE)}


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["eval-temperature"]
    temperatures = part.temperatures
    rows, made = part.observed(temperatures=temperatures), list[Contrast]()
    for phase, (name, side) in ARMS.items():
        scores_SX = by_seed(having(rows, "phase", phase), "temperature", temperatures)
        ends = f"{temperatures[-1]:g} minus at {temperatures[0]:g}"
        made.append(mean(f"{name}: at temperature {ends}", scores_SX[:, -1] - scores_SX[:, 0], side))
        made.append(mean(f"{name}: slope, per unit of temperature", slopes(scores_SX, np.array(temperatures)), side))
    return made
