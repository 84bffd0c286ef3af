"""Score against an axis as a W&B run: its rows are the axis's values, so that a line chart shows the band of seeds."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from em.trial.identity import content_id
from sweeps.wandb.cells import STATISTICS, over_seeds, word
from sweeps.wandb.runs import Run
from sweeps.wandb.view import View, key_of


def is_numeric(values: Sequence[object]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def curve_name(path: str, statistic: str) -> str:
    """The column of a statistic of the score against an axis."""
    return f"score_by_{word(path)}/{statistic}"


def curve_runs(view: View) -> list[tuple[Run, str]]:
    """A run for each numeric axis, with its generation: every value's score over all seeds that have it, so far."""
    found = []
    for path in (axis.field for axis in view.config.axes):
        value_of = {trial.id: cell.axes[path] for cell in view.cells for trial in cell.trials}
        if not is_numeric(list(value_of.values())):
            continue
        scores = view.seeds.select("score", value=pl.col("trial_id").replace_strict(value_of, return_dtype=pl.Float64))
        history = rows(scores.drop_nulls(), path)
        run = Run(
            id=f"{key_of(view.config, 'curve', path)}-curve",
            project=view.config.project,
            group=view.config.sweep.name,
            job_type="curve",
            name=f"score against {path}",
            tags=["curve"],
            config={"sweep_name": view.config.sweep.name, "axis": path},
            history=history,
            step_metric=word(path),
        )
        if history:
            found.append((run, content_id(history)))
    return found


def rows(scores: pl.DataFrame, path: str) -> list[dict[str, Any]]:
    """From `value` and `score` to a row for each value, in order, with STATISTICS of the score."""
    table = scores.group_by("value").agg(**over_seeds("score")).sort("value")
    return [
        {"_step": step, word(path): row["value"]}
        | {curve_name(path, name): row[name] for name in STATISTICS if row[name] is not None}
        for step, row in enumerate(table.iter_rows(named=True))
    ]
