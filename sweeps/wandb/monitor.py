"""The monitor run of a sweep: how much is done, what failed, how busy lanes are, the score of each cell so far.

Its rows are kept in a journal beside the runs before W&B sees them, and the run is written anew from the journal each
time: an exporter that is killed leaves no gap, and the next one goes on with the row after.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from analysis.load import Outcome
from em.store.schema import DamagedError
from sweeps.board import Notice
from sweeps.status import snapshot_of
from sweeps.wandb.cells import over_seeds, word
from sweeps.wandb.folder import Folder, generation_of
from sweeps.wandb.runs import Run, Table
from sweeps.wandb.view import View

CELLS = 100  # whose scores are columns; of more there is only the table
RESPONSES = 20  # cells of which some answers are shown
THINNING = 0.01  # of the time that a launch takes, between two rows: some hundred rows of it, however long it is


class Journal:
    """The rows of a monitor run, one JSON line each; the first line says what the run's id is."""

    def __init__(self, folder: Folder, sweep: str) -> None:
        self.path = folder.root / f"{folder.project}-{sweep}.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("}")]  # a killed process may leave a part
        if not whole:
            whole = [{"id": f"{uuid.uuid4().hex[:10]}-monitor", "started": time.time()}]
            self.path.write_text(json.dumps(whole[0]) + "\n")
        elif len(whole) < len(lines):
            mended = self.path.with_suffix(".tmp")
            mended.write_text("".join(json.dumps(line) + "\n" for line in whole))
            mended.replace(self.path)
        self.id: str = whole[0]["id"]
        self.started: float = whole[0]["started"]
        self.rows: list[dict[str, Any]] = whole[1:]

    def add(self, facts: dict[str, Any], seconds: float) -> None:
        """Add a row, unless it says what the last did or comes sooner after it than this."""
        now = time.time()
        last = self.rows[-1] if self.rows else {}
        if facts == {name: last.get(name) for name in last if name not in ("_step", "_timestamp", "hours")}:
            return
        if last and now - last["_timestamp"] < seconds:
            return
        row = {"_step": len(self.rows), "_timestamp": now, "hours": (now - self.started) / 3600, **facts}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)


def facts(view: View, cells: pl.DataFrame, live: Sequence[Notice]) -> dict[str, Any]:
    """A row's numbers: of the store, and of the lanes of the launches that are live."""
    wanted, recorded = len(view.plan.wanted), view.plan.recorded
    outcomes = view.seeds["outcome"]
    snapshots = [now for notice in live if (now := snapshot_of(notice)) is not None]
    lanes, busy = sum(len(now.lanes) for now in snapshots), sum(now.running for now in snapshots)
    seconds = [second for now in snapshots for second in now.unit_seconds]
    found: dict[str, Any] = {
        "wanted": wanted,
        "done": recorded,
        "done_share": recorded / wanted,
        "diverged": int((outcomes == Outcome.diverged.value).sum()),
        "failed_attempts": sum(view.plan.attempts[unit.id] for unit in view.plan.wanted),
        "given_up": len(view.plan.given_up),
        "lanes": lanes,
        "lanes_busy": busy,
    }
    if lanes:
        found["utilisation"] = busy / lanes
    if seconds:
        found["unit_seconds"] = sum(seconds) / len(seconds)
    if len(cells) <= CELLS:
        scores = cells.select("cell", "mean").drop_nulls().iter_rows()
        found |= {f"score/{word(label)}": mean for label, mean in scores}
    return found


def scores_of_cells(view: View) -> pl.DataFrame:
    """One row per cell, with the score of its seeds so far, after the last step at the first temperature."""
    cell_of = pl.DataFrame(
        [{"trial_id": trial.id, "cell": cell.label, **cell.config} for cell in view.cells for trial in cell.trials]
    )
    counts = {item.value: (pl.col("outcome") == item.value).sum() for item in Outcome}
    found = cell_of.join(view.seeds.select("trial_id", "score", "outcome"), on="trial_id", maintain_order="left")
    return found.group_by(cell_of.columns[1:], maintain_order=True).agg(seeds=pl.len(), **counts, **over_seeds("score"))


def responses(view: View) -> Table:
    """Some answers of the first recorded seed of the first cells, after its last step, as far as texts were kept."""
    rows = []
    unit_of = dict(view.records.sort("unit_id").select("trial_id", "unit_id").iter_rows())
    firsts = ((cell, [unit_of[of.id] for of in cell.trials if of.id in unit_of]) for cell in view.cells[:RESPONSES])
    shown = [(cell, units[0]) for cell, units in firsts if units]
    latest = view.store.latest_grades([unit for _, unit in shown])
    for cell, unit in shown:
        try:
            record = view.store.graded(unit, latest)
        except (DamagedError, OSError):  # since it was indexed
            continue
        results = [of for of in record["evaluations"] or [] if of["step"] in view.config.eval.steps]
        last = max((result["step"] for result in results), default=0)
        for result in results:
            answers = list(zip(result["texts"], result["extracted"], result["correct"], strict=True))
            kept = [answer for answer in answers if answer[0] is not None]
            if kept and result["step"] == last:
                rows.append([cell.label, record["trial_id"], result["benchmark"], result["temperature"], *kept[0]])
    return Table(columns=["cell", "trial_id", "benchmark", "temperature", "text", "extracted", "correct"], rows=rows)


def monitor_run(
    view: View, folder: Folder, live: Sequence[Notice], stopped: str, seconds: float, figure: Path | None
) -> list[tuple[Run, str]]:
    """The monitor run as it is to be written, and its generation; nothing where it is written so already.

    Adds a row to the journal where something has changed; while a launch is live at least `seconds` after the last one.
    Answers, which lie in large files, are shown once none is.
    """
    config, cells = view.config, scores_of_cells(view)
    journal = Journal(folder, config.sweep.name)
    started = [datetime.fromisoformat(notice.said["started"]).timestamp() for notice in live]
    pause = max(seconds, THINNING * (time.time() - min(started))) if started else 0.0
    journal.add(facts(view, cells, live), pause)
    picture = hashlib.sha256(figure.read_bytes()).hexdigest()[:8] if figure else ""
    generation = f"{len(journal.rows)}-{picture}{'-live' * bool(live)}{'-stopped' * bool(stopped)}"
    known = folder.runs(config.project).get(journal.id)
    if known and generation_of(known) == generation:
        return []
    tables = {"cells": Table(columns=cells.columns, rows=[list(row) for row in cells.iter_rows()])}
    run = Run(
        id=journal.id,
        project=config.project,
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
    return [(run, generation)]
