"""A row: what was measured, and the bar that it has to keep.

A bar is a number, or so many times a reference that was read in the same run: then it says of the code alone, and holds
on a machine half as fast.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.references import Reading


@dataclass(frozen=True)
class Bar:
    limit: float
    upper: bool
    reading: Reading | None = None
    times: float = 1.0  # the reading


def at_most(limit: float) -> Bar:
    return Bar(limit, upper=True)


def at_least(limit: float) -> Bar:
    return Bar(limit, upper=False)


def at_most_times(times: float, reading: Reading) -> Bar:
    """An upper limit in the unit of the reading."""
    return Bar(times * reading.value, True, reading, times)


@dataclass(frozen=True)
class Row:
    name: str
    value: float
    unit: str  # "" of a count
    bar: Bar

    @property
    def ok(self) -> bool:
        return self.value <= self.bar.limit if self.bar.upper else self.value >= self.bar.limit

    def __str__(self) -> str:
        bar = f"{'<=' if self.bar.upper else '>='} {self.bar.limit:.4g}"
        verdict = "ok" if self.ok else "SHORT"
        origin = f"{self.bar.times:.4g} x {self.bar.reading}" if self.bar.reading else ""
        return f"{self.name:48}{self.value:10.4g} {self.unit:7}{bar:>10}  {verdict:6}{origin}".rstrip()


def report(rows: Iterable[Row]) -> int:
    """Print each row as it is measured, and all of them once more; the exit status, 1 if any falls short."""
    seen = []
    for row in rows:
        print(row, flush=True)
        seen.append(row)
    print("\n" + "\n".join(map(str, seen)))
    return int(not all(row.ok for row in seen))
