"""Figure 5: EM after reinforcement learning, and reinforcement learning after EM.

Of each seed the score after the last step minus that of the model that it started from.  All seeds of an order start
from one model, so this is about what comes after that one; its score has its evaluation variance.
"""

from collections.abc import Mapping

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, BELOW, Contrast, gained, having, mean

ID = "F5"
CLAIM = "EM after reinforcement learning makes the model worse, reinforcement learning after EM makes it better."
SWEEPS = ("em-rl",)
ARMS = {
    "em_after_grpo": ("EM after GRPO: last step minus start", BELOW),
    "grpo_after_em": ("GRPO after EM: last step minus start", ABOVE),
}


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    rows, made = parts["em-rl"].observed([0, None]), list[Contrast]()
    for phase, (name, side) in ARMS.items():
        values_S, variance = gained(having(rows, "phase", phase))
        made.append(mean(name, values_S, side, variance=variance))
    return made
