"""What the terminal shows of numbers and texts: sparklines, values, texts of models."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

BLOCKS = "▁▂▃▄▅▆▇█"
NOT_FINITE, MISSING = "x", "·"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """A block for each value or, where they are more than `width`, for each mean of neighbours: the lowest to the
    highest; all in the middle where they are equal.  `x`: not finite; `·`: not recorded."""
    number = min(width, len(values))
    cells = [values[place * len(values) // number : (place + 1) * len(values) // number] for place in range(number)]
    means = [None if None in cell else fmean(value for value in cell if value is not None) for cell in cells]
    heights = [mean for mean in means if mean is not None and math.isfinite(mean)]
    low, high = min(heights, default=0.0), max(heights, default=0.0)
    return "".join(block(mean, low, high) for mean in means)


def block(value: float | None, low: float, high: float) -> str:
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return NOT_FINITE
    share = (value - low) / (high - low) if high > low else 0.4
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]


def number(value: float | None) -> str:
    """Three digits, and all that stand before the point."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}"


def listed(steps: Iterable[int]) -> str:
    """`0, 2 to 5, 10`"""
    ordered = sorted(set(steps))
    starts = [step for step in ordered if step - 1 not in ordered]
    ends = [step for step in ordered if step + 1 not in ordered]
    runs = zip(starts, ends, strict=True)
    return ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in runs)


def written(value: Any, most: int = 5) -> str:
    """A value of a config; of a longer list the first, and how many there are."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, list):
        items = ", ".join(map(written, value[:most]))
        return f"[{items}, ...] ({len(value)})" if len(value) > most else f"[{items}]"
    return printable(f"{value:g}" if isinstance(value, float) else str(value)) or "''"


def printable(text: str) -> str:
    """In one line, and without what a terminal would obey: models write such."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shortened(text: str, length: int) -> str:
    """The beginning and, since it holds an answer, more of the end."""
    if len(text) <= length:
        return text
    start = (length - 3) // 3
    return f"{text[:start]}...{text[-(length - 3 - start) :]}"
