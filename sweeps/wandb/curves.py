"""Score against an axis as a W&B run: its rows are the axis's values, so that a line chart shows the band of seeds."""

from collections.abc import Iterator, Sequence

import polars as pl

from em.trial.identity import content_id
from sweeps.wandb.runs import Run
from sweeps.wandb.values import STATISTICS, over_seeds, word
from sweeps.wandb.view import View, key_of


def is_numeric(values: Sequence[object]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def curve_name(path: str, statistic: str) -> str:
    """The column of a statistic of the score against an axis."""
    return f"score_by_{word(path)}/{statistic}"


def curve_runs(view: View) -> Iterator[Run]:
    """A run for each numeric axis that has scores: every value's score over all seeds that have it, so far.

    None of a search, whose points hardly share a value.
    """
    for path in [] if view.config.search.is_on else view.config.sweep.varied:
        value_of = {trial.id: cell.axes[path] for cell in view.cells for trial in cell.seeds}
        if not is_numeric(list(value_of.values())):
            continue
        value = pl.col("trial_id").replace_strict(value_of, return_dtype=pl.Float64).alias(word(path))
        scores = view.seeds.drop_nulls("score").group_by(value).agg(**over_seeds("score")).sort(word(path))
        scores = scores.rename({statistic: curve_name(path, statistic) for statistic in STATISTICS})
        rows = scores.with_row_index("_step").iter_rows(named=True)
        history = [{name: number for name, number in row.items() if number is not None} for row in rows]
        if not history:
            continue
        yield Run(
            id=f"{key_of(view.config, 'curve', path)}-curve",
            project=view.config.project,
            generation=content_id(history),
            group=view.config.sweep.name,
            job_type="curve",
            name=f"score against {path}",
            tags=["curve"],
            config={"sweep_name": view.config.sweep.name, "axis": path},
            history=history,
            step_metric=word(path),
        )
