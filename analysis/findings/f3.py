"""Figure 3: score against training temperature, every seed.

The slope of a least-squares line through each seed's scores; the mean of these is that through all.  The temperature
at which seeds spread most (standard deviation), in places of the axis from the one nearest to 0.5, resampled with the
seeds.  And the best seed's score over the worst one's, of the temperature where that is most: both without the noise of
evaluation, the interval simultaneous over temperatures; it is about these seeds.
"""

from collections.abc import Mapping

import numpy as np

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, Contrast, by_seed, largest, mean, ratio, resampled

ID = "F3"
CLAIM = "The mean rises with training temperature, seeds spread most near 0.5, and differ by up to a factor of two."
SWEEPS = ("temperature",)
AXIS = "rollout.temperature"
WIDEST = 0.5
FACTOR = (1.5, float("inf"))
NEAR = (-1.5, 1.5)  # one place to either side


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    rows = parts["temperature"].observed()
    temperatures_X = rows[AXIS].unique().sort().to_numpy()
    scores_SX = by_seed(rows, AXIS, temperatures_X.tolist())
    noise_SX = by_seed(rows, AXIS, temperatures_X.tolist(), "variance")
    place = int(np.abs(temperatures_X - WIDEST).argmin())
    factors = [
        ratio(f"best over worst seed at {temperature:g}", scores_S, noise_S, FACTOR)
        for temperature, scores_S, noise_S in zip(temperatures_X, scores_SX.T, noise_SX.T, strict=True)
    ]
    return [
        mean("slope of the score, per unit of temperature", slopes(scores_SX, temperatures_X), ABOVE),
        resampled(
            f"widest spread, from temperature {temperatures_X[place]:g}",
            scores_SX,
            lambda of_BSX: of_BSX.std(axis=1).argmax(axis=1) - place,
            NEAR,
            "places",
        ),
        largest("best over worst seed, where that is most", factors, FACTOR),
    ]


def slopes(scores_SX: np.ndarray, x_X: np.ndarray) -> np.ndarray:
    """Of the least-squares line through each row, S; nan where a score is missing."""
    centred_X = x_X - x_X.mean()
    return scores_SX @ centred_X / np.sum(centred_X**2)
