"""Data selection: the prompt that the rule selects against the nine next.

The published prompt where the grid has it, else the first of the ranking.  Of each seed, and each combination of
temperature and rate, its score minus the mean of the others'; then the mean over the combinations, which are fixed.  A
combination that lacks one of its prompts does not count for that seed.
"""

from collections.abc import Mapping

import polars as pl

from analysis.findings import Part
from analysis.findings.contrasts import ABOVE, Contrast, aligned, mean

ID = "S"
CLAIM = "The prompt that variance selects gains more than the nine next."
SWEEPS = ("grid",)
RANK, SOURCE = "prompts.rank", "prompts"
PUBLISHED = "paper"


def contrasts(parts: Mapping[str, Part]) -> list[Contrast]:
    part = parts["grid"]
    strata = [axis for axis in part.axes if axis not in (RANK, SOURCE)]
    if RANK not in part.axes:
        return []
    is_first = pl.col(RANK) == 0
    if SOURCE in part.axes:
        is_first = pl.col(SOURCE).cast(pl.String) == PUBLISHED
    first, others = pl.col("score").filter(is_first), pl.col("score").filter(~is_first)
    whole = (pl.col("score").null_count() == 0) & (pl.len() > 1)
    of_strata = part.observed().group_by("seed", *strata).agg(score=pl.when(whole).then(first.mean() - others.mean()))
    (of_S,) = aligned(of_strata.drop_nulls("score").group_by("seed").agg(pl.mean("score")))
    return [mean("selected prompt minus the mean of the others", of_S, ABOVE)]
