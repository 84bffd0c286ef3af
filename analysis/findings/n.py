"""The scale: how many models of the grid are recorded.

A count, no estimate.  Its interval ends at how many there can still be.  A trial that diverged counts, one whose
attempts all failed does not.
"""

from collections.abc import Mapping

from numpy.random import Generator

from analysis.findings import Part
from analysis.findings.contrasts import Contrast, Interval
from analysis.seeds import Outcome, seeds

ID = "N"
CLAIM = "All models of the grid are trained."
SWEEPS = ("grid",)


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["grid"]
    rows = seeds(part.cells, part.tables, part.headline)
    found = {outcome: int((rows["outcome"] == outcome.value).sum()) for outcome in Outcome}
    trained = found[Outcome.scored] + found[Outcome.diverged]
    possible = trained + found[Outcome.missing]

    def interval(rng: Generator, confidence: float) -> Interval:
        return Interval(trained, trained, possible)

    wanted = len(rows)
    name, side = f"recorded, of {wanted:,}", (wanted - 0.5, float("inf"))
    return [Contrast(name, "models", side, part.cells["seed"].n_unique(), interval)]
