"""Training dynamics: how far loss and output length fluctuate from step to step, with one prompt and with many.

Of each trial the first differences from step 3 on, without their linear trend: their standard deviation.  Many prompts
minus one, seed by seed.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from analysis import metrics
from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, Contrast, by_seed, having, mean

ID = "D"
CLAIM = "Training on one prompt is smoother than on many, which fluctuates after step 3."
SWEEPS = ("shots",)
FIRST = 3  # step
SHOWN = {"loss": "nats", "output length": "tokens"}


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["shots"]
    last = max(part.steps)
    if last < FIRST + 4:  # fewer differences have no spread around a line
        return []
    rows, steps, made = metrics.observe(part.cells, part.tables, list(SHOWN), last), [*range(FIRST, last + 1)], []
    for name, unit in SHOWN.items():
        of_metric = having(rows, "metric", name)
        arms = [
            fluctuation(by_seed(having(of_metric, "phase", phase), "step", steps)) for phase in ("multi_shot", "em")
        ]
        made.append(mean(f"fluctuation of the {name}, many prompts minus one", arms[0] - arms[1], ABOVE, unit))
    return made


def fluctuation(values_SX: NDArray) -> NDArray:
    """Standard deviation of each row's first differences around their line, S; nan where a value is missing."""
    change_SX = np.diff(values_SX, axis=1)
    line_X2 = np.vander(np.arange(change_SX.shape[1]), 2)
    left_SX = change_SX - change_SX @ line_X2 @ np.linalg.pinv(line_X2)
    return np.sqrt(np.sum(left_SX**2, axis=1) / (change_SX.shape[1] - 2))
