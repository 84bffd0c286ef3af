"""The monitor run of a sweep: how much is done, what failed, how busy lanes are, the score of each cell so far.

Its rows are kept in a journal beside the runs before W&B sees them, and the run is written anew from the journal each
time: an exporter that is killed leaves no gap, and the next one goes on with the row after.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from analysis.seeds import Outcome
from sweeps.board import Notice
from sweeps.status import snapshot_of
from sweeps.wandb.folder import Folder, generation_of
from sweeps.wandb.runs import Rows, Run
from sweeps.wandb.values import over_seeds, word
from sweeps.wandb.view import View

CELLS = 100  # whose scores are columns; of more there is only the table
RESPONSES = 20  # cells of which some answers are shown
THINNING = 0.01  # of the time that a launch takes, between two rows: some hundred rows of it, however long it is
ABOUT_ROW = {"_step", "_timestamp", "hours"}


class Journal:
    """The rows of a monitor run, one JSON line each; the first line says what the run's id is."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("}")]  # an appending process may have been killed
        self.path = path
        self.about, *self.rows = whole or [{"id": f"{uuid.uuid4().hex[:10]}-monitor", "started": time.time()}]

    def add(self, facts: Mapping[str, float], seconds: float) -> None:
        """Add a row, unless it says what the last did or comes sooner after it than this."""
        now, last = time.time(), self.rows[-1] if self.rows else {"_timestamp": 0.0}
        if facts == {name: last[name] for name in last.keys() - ABOUT_ROW} or now - last["_timestamp"] < seconds:
            return
        hours = (now - self.about["started"]) / 3600
        self.rows.append({"_step": len(self.rows), "_timestamp": now, "hours": hours, **facts})
        written = self.path.with_suffix(".tmp")
        written.write_text("".join(json.dumps(line) + "\n" for line in [self.about, *self.rows]))
        written.replace(self.path)


def facts(view: View, cells: pl.DataFrame, live: Sequence[Notice]) -> dict[str, float]:
    """A row's numbers: of the store, and of the lanes of the launches that are live."""
    wanted, recorded = len(view.plan.wanted), view.plan.recorded
    snapshots = [snapshot for notice in live if (snapshot := snapshot_of(notice)) is not None]
    lanes, busy = sum(len(now.lanes) for now in snapshots), sum(now.running for now in snapshots)
    seconds = [second for now in snapshots for second in now.unit_seconds]
    scores = cells.select("cell", "mean").drop_nulls().iter_rows() if len(cells) <= CELLS else []
    return {
        "wanted": wanted,
        "done": recorded,
        "done_share": recorded / wanted,
        "diverged": int((view.seeds["outcome"] == Outcome.diverged.value).sum()),
        "failed_attempts": sum(view.plan.attempts[unit.id] for unit in view.plan.wanted),
        "given_up": len(view.plan.given_up),
        "lanes": lanes,
        "lanes_busy": busy,
        **({"utilisation": busy / lanes} if lanes else {}),
        **({"unit_seconds": sum(seconds) / len(seconds)} if seconds else {}),
        **{f"score/{word(label)}": mean for label, mean in scores},
    }


def scores_of_cells(view: View) -> pl.DataFrame:
    """One row per cell, with the score of its seeds so far, after the last step at the first temperature."""
    cell_of = pl.DataFrame(
        [{"trial_id": trial.id, "cell": cell.label, **cell.config} for cell in view.cells for trial in cell.seeds]
    )
    counts = {item.value: (pl.col("outcome") == item.value).sum() for item in Outcome}
    seeds = cell_of.join(view.seeds.select("trial_id", "score", "outcome"), on="trial_id", maintain_order="left")
    return seeds.group_by(cell_of.columns[1:], maintain_order=True).agg(seeds=pl.len(), **counts, **over_seeds("score"))


def responses(view: View) -> Rows:
    """Some answers of the first recorded seed of the first cells, after its last step, as far as texts were kept."""
    rows, columns = [], ["cell", "trial_id", "benchmark", "temperature", "text", "extracted", "correct"]
    unit_of = dict(view.records.sort("unit_id").select("trial_id", "unit_id").iter_rows())
    recorded = [(cell, [trial.id for trial in cell.seeds if trial.id in unit_of]) for cell in view.cells[:RESPONSES]]
    firsts = {unit_of[trials[0]]: (cell.label, trials[0]) for cell, trials in recorded if trials}
    for unit, results in view.answers(list(firsts)):
        last = max((result.step for result in results), default=0)
        for result in results:
            answers = zip(result.texts, result.extracted, result.correct, strict=True)
            kept = next((answer for answer in answers if answer[0] is not None), None)
            if kept and result.step == last:
                rows.append([*firsts[unit], result.benchmark, result.temperature, *kept])
    return {"columns": columns, "rows": rows}


def monitor_run(
    view: View, folder: Folder, live: Sequence[Notice], stopped: str, seconds: float, figure: Path | None
) -> Run | None:
    """The monitor run as it is to be written; None where it is written so already.

    Adds a row to the journal where something has changed; while a launch is live at least `seconds` after the last one.
    Answers, which lie in large files, are shown once none is.
    """
    config, cells = view.config, scores_of_cells(view)
    journal = Journal(folder.root / f"{folder.project}-{config.sweep.name}.jsonl")
    started = [datetime.fromisoformat(notice.said["started"]).timestamp() for notice in live]
    journal.add(facts(view, cells, live), max(seconds, THINNING * (time.time() - min(started))) if live else 0.0)
    picture = hashlib.sha256(figure.read_bytes()).hexdigest()[:8] if figure else ""
    generation = f"{len(journal.rows)}-{picture}{'-live' * bool(live)}{'-stopped' * bool(stopped)}"
    written = folder.runs().get(journal.about["id"])
    if written and generation_of(written) == generation:
        return None
    tables: dict[str, Rows] = {"cells": {"columns": cells.columns, "rows": [list(row) for row in cells.iter_rows()]}}
    return Run(
        id=journal.about["id"],
        project=config.project,
        generation=generation,
        group=config.sweep.name,
        job_type="monitor",
        name=f"{config.sweep.name}: monitor",
        tags=["monitor"],
        config={"sweep_name": config.sweep.name, "cells": len(view.cells), "seeds": len(config.seeds)},
        history=journal.rows,
        summary={"stopped": stopped} if stopped else {},
        tables=tables if live else tables | {"responses": responses(view)},
        images={"figure": str(figure)} if figure else {},
        step_metric="hours",
        exit_code=int(bool(stopped or view.plan.given_up)),
    )
