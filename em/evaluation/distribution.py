"""Moments and a histogram of all logits of sampled responses (paper, figure 1), which merge in any order.

C values of a piece of a tensor, K sets of values, S slots: below the bins, the bins, above them.
"""

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor

PIECE_BYTES = {"cpu": 256 << 10, "cuda": 32 << 20}  # in float64, of each of eight temporaries: a CPU's fit its cache


@dataclass(frozen=True)
class Moments:
    """A set of values by its sums M_k = sum_i (x_i - mean)^k; what an empty or constant set does not define is nan."""

    count: int = 0  # finite values
    left_out: int = 0  # infinite values (logits of masked tokens) and NaN, of which nothing else here knows
    mean: float = math.nan
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan

    @staticmethod
    def of(values: Tensor) -> "Moments":
        """Of a tensor of any shape, layout and floating dtype; waits for the device once."""
        return _union(torch.stack([values.new_zeros(8, dtype=torch.float64), *(row for row, _ in _scan(values))]).cpu())

    def __add__(self, other: "Moments") -> "Moments":
        return _union(torch.tensor([astuple(self), astuple(other)], dtype=torch.float64))

    @property
    def sigma(self) -> float:
        """The standard deviation of the population, sqrt(M2 / n); 0 of equal values, however their mean was rounded."""
        return 0.0 if self.minimum == self.maximum else math.sqrt(self.m2 / (self.count or math.nan))

    @property
    def skewness(self) -> float:
        """M3 / n over sigma^3."""
        return self.m3 / (self.count * math.prod([self.sigma] * 3) or math.nan)

    @property
    def kurtosis(self) -> float:
        """M4 / n over sigma^4, not the excess: a normal distribution has 3."""
        return self.m4 / (self.count * math.prod([self.sigma] * 4) or math.nan)


class Distribution:
    """Moments, and counts in bins [low + i width, low + (i + 1) width), the last one closed: numpy.histogram's."""

    def __init__(self, low: float = -64.0, width: float = 0.25, bins: int = 512) -> None:
        if width <= 0 or math.frexp(width)[0] != 0.5 or low % width or bins < 1:  # else rounding could move values
            raise ValueError(f"{bins} bins of {width} from {low}: edges must be multiples of a width that is 2^k")
        self.edges = self.low, self.width, self.bins = low, width, bins
        self.moments, self.counts_S = Moments(), torch.zeros(bins + 2, dtype=torch.int64)

    def update(self, values: Tensor) -> None:
        """Adds a tensor of any shape, layout and floating dtype; waits for the device once."""
        counts_S, rows = torch.zeros_like(self.counts_S, dtype=torch.float64, device=values.device), []
        for row, filled_C in _scan(values):
            counts_S += self._count(filled_C)
            rows.append(row)
        numbers = torch.cat([counts_S, *rows]).cpu()
        moments = _union(numbers[len(counts_S) :].view(-1, 8))
        zero_S = self._count(torch.zeros(1, dtype=torch.float64))  # what is left out was counted as zeros
        self.counts_S += (numbers[: len(counts_S)] - moments.left_out * zero_S).long()
        self.moments += moments

    def merge(self, other: "Distribution") -> None:
        """Adds the values of another distribution; raises ValueError if its bins are not the same."""
        if self.edges != other.edges:
            raise ValueError(f"bins (low, width, number) differ: {self.edges} and {other.edges}")
        self.counts_S += other.counts_S
        self.moments += other.moments

    def plain(self) -> dict[str, Any]:
        """All results; `width` is that of a bin, `below` and `above` count what is outside of them."""
        below, *histogram, above = self.counts_S.tolist()
        names = ("count", "left_out", "mean", "sigma", "skewness", "kurtosis", "minimum", "maximum")
        bins = {"low": self.low, "width": self.width, "below": below, "above": above, "histogram": histogram}
        return {name: getattr(self.moments, name) for name in names} | bins

    def _count(self, values_C: Tensor) -> Tensor:
        """How many values each slot has [S], float64."""
        first, last, slots = self.low / self.width, self.low / self.width + self.bins, self.bins + 2
        scaled_C = values_C * (1 / self.width)
        bin_C = scaled_C.floor().sub_(scaled_C.eq_(last))  # the upper edge of the last bin is in it
        slot_C = bin_C.clamp_(first - 1, last).sub_(first - 1)
        if slot_C.device.type == "cpu":  # takes a sixth of histc's time there, but would wait for a GPU
            return torch.bincount(slot_C.int(), minlength=slots).double()
        return torch.histc(slot_C, slots, 0, slots)


def _scan(values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each piece, in float64: the fields of its Moments [8], and its values, 0 for those that are not finite [C]."""
    if values.dim() > 1 and not values.is_contiguous():
        for part in values:
            yield from _scan(part)
    elif values.numel():
        for piece_C in values.detach().reshape(-1).split(PIECE_BYTES[values.device.type] // 8):
            gap_C = (piece_C * 0).ne_(0).double()  # 1 where a value is not finite; masks of bool took 4 times as long
            filled_C = piece_C.double().nan_to_num(0, 0, 0)
            left_out, count = gap_C.sum(), len(piece_C) - gap_C.sum()
            mean = filled_C.sum() / count
            values_C = filled_C.addcmul(gap_C, mean)  # a value at the mean adds to no sum and is no extreme
            extremes = torch.aminmax(values_C)
            d_C = values_C.sub_(mean)
            square_C = d_C * d_C
            sums = square_C.sum(), torch.dot(square_C, d_C), torch.dot(square_C, square_C)
            yield torch.stack([count, left_out, mean, *sums, *extremes]), filled_C


def _union(sets_K8: Tensor) -> Moments:
    """Of sets by the fields of their Moments: Chan et al. (1979) and Pebay (2008, SAND2008-6212), all K at once."""
    left_out = int(sets_K8[:, 1].sum())
    some_K8 = sets_K8[sets_K8[:, 0] > 0]
    if not len(some_K8):
        return Moments(left_out=left_out)
    n, _, mean, m2, m3, m4, low, high = some_K8.T
    middle = mean[0] + (n * (mean - mean[0])).sum() / n.sum()
    d = mean - middle
    sums_3K = m2 + n * d**2, m3 + 3 * d * m2 + n * d**3, m4 + 4 * d * m3 + 6 * d**2 * m2 + n * d**4
    fields = middle, *(sum_K.sum() for sum_K in sums_3K), low.min(), high.max()
    return Moments(int(n.sum()), left_out, *torch.stack(fields).tolist())
