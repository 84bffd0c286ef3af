"""The plan of W&B runs: what each is called and holds, as plain data.  Nothing here knows wandb."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from analysis.seeds import Outcome
from em.errors import require
from em.store.record import Status, to_json
from sweeps.wandb.values import History, histories, statistics, values
from sweeps.wandb.view import Cell, View

COLUMNS = 2_000  # names of one run, of some 10,000 that W&B advises for a project
ROWS = 10_000  # of a table: W&B's limit
BATCH = 500  # trials that are unfolded at once
CURRENT, SUPERSEDED = "current", "superseded"  # tags

Rows = Mapping[str, list[Any]]  # "columns" and "rows" of what W&B shows as a table


TAG = 64  # characters, of W&B's tags


@dataclass(frozen=True, kw_only=True)
class Run:
    id: str
    project: str = ""  # empty: the first that has room for it
    generation: str = CURRENT  # what tells it from what was written of the same run before
    group: str
    job_type: str  # cell, trial, base, curve or monitor
    name: str
    version: int = 1  # of what was written of one cell or trial so far
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=list)
    summary: dict[str, object] = field(default_factory=dict)
    tables: dict[str, Rows] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)  # paths
    step_metric: str = ""  # what charts show the others against; empty: the step
    exit_code: int = 0


def key_in(run_id: str) -> str:
    """The key of the cell or trial that a run is of, without the version."""
    return run_id.partition("-")[0]


def planned(view: View, written: Collection[str]) -> Iterator[Run]:
    """A run for each cell, or trial, that is done with and not among the `written` run ids."""
    before = Counter(map(key_in, written))
    new = [(run_id, cell) for run_id, cell in view.done.items() if run_id not in written]
    size = max(1, BATCH // max((len(cell.trials) for _, cell in new), default=1))
    plan = trial_run if view.config.tracking.by_trial else cell_run
    for start in range(0, len(new), size):
        some = new[start : start + size]
        batch = Batch.of(view, [cell for _, cell in some])
        yield from (plan(view, run_id, cell, batch, before[cell.key] + 1) for run_id, cell in some)


@dataclass(frozen=True)
class Batch:
    """What was recorded of some cells, by their keys: joined for all of them at once, some times faster."""

    records: dict[str, pl.DataFrame]  # in the order in which they were started
    histories: dict[str, History]
    seeds: dict[str, pl.DataFrame]  # of cells, a row for each seed: its outcome, and the last value of everything

    @classmethod
    def of(cls, view: View, cells: Sequence[Cell]) -> "Batch":
        keys = [(trial.id, cell.key) for cell in cells for trial in cell.trials]
        members = pl.DataFrame(keys, schema=["trial_id", "key"], orient="row")
        records = view.records.join(members, on="trial_id", maintain_order="left").sort("started")
        scores = view.scores.join(members, on="trial_id", how="semi", maintain_order="left")
        recorded = values(records, scores, view.config.evaluations)
        long = recorded.join(members, on="trial_id", maintain_order="left")
        if view.config.tracking.by_trial:
            return cls(by_key(records, cells), histories(long), {})
        seeds = view.seeds.select("seed", "trial_id", "outcome").join(members, on="trial_id", maintain_order="left")
        last = recorded.group_by("trial_id", "name", maintain_order=True).last()
        if len(last):
            wide = last.pivot("name", index="trial_id", values="value")
            seeds = seeds.join(wide, on="trial_id", how="left", maintain_order="left")
        made = records.unique("trial_id", keep="last").select("trial_id", "node", "lane", "seconds")
        seeds = seeds.join(made, on="trial_id", how="left", maintain_order="left").sort("seed")
        return cls(by_key(records, cells), histories(statistics(long)), by_key(seeds, cells))


def by_key(frame: pl.DataFrame, cells: Sequence[Cell]) -> dict[str, pl.DataFrame]:
    """The rows of each cell; of some there may be none."""
    parts, empty = frame.partition_by("key", as_dict=True, include_key=False), frame.drop("key").clear()
    return {cell.key: parts.get((cell.key,), empty) for cell in cells}


def cell_run(view: View, run_id: str, cell: Cell, batch: Batch, version: int) -> Run:
    """The run of a cell: statistics over its seeds, and a table of them."""
    records, seeds, history = batch.records[cell.key], batch.seeds[cell.key], batch.histories.get(cell.key, [])
    columns = len({name for row in history for name in row})
    remedy = f"a W&B run shows at most {COLUMNS}: take fewer benchmarks or eval.temperatures, or tracking.runs=trial"
    require(columns <= COLUMNS, "columns of a cell", columns, remedy)
    outcomes = {outcome.value: int((seeds["outcome"] == outcome.value).sum()) for outcome in Outcome}
    environments = records["environment"].unique(maintain_order=True)
    of_seed = json.loads(to_json(cell.seeds[0]))
    about = {
        "code_version": "+".join(sorted(set(records["code_version"]))),
        "environment": json.loads(environments[-1]) if len(environments) else {},
        "environments": len(environments),
        "cell": cell.key,
        "version": version,
        "seeds": len(seeds),
    }
    rows = [[*cell.config.values(), *row] for row in seeds.head(ROWS).iter_rows()]
    return Run(
        id=run_id,
        group=view.config.sweep.name,
        job_type="cell",
        name=f"{cell.label} ({len(seeds)} seeds{f', version {version}' * (version > 1)})",
        version=version,
        tags=[CURRENT, *(name for name in ("diverged", "failed") if outcomes[name])],
        config={name: value for name, value in of_seed.items() if name != "seed"} | named(view, cell) | about,
        history=history,
        summary=outcomes | failure(view, cell) | taken(seeds),
        tables={"seeds": {"columns": [*cell.config, *seeds.columns], "rows": rows}},
        exit_code=int(outcomes["failed"] > 0),
    )


def taken(seeds: pl.DataFrame) -> dict[str, object]:
    """Lane seconds of a trial, the mean over seeds."""
    mean = seeds["seconds"].mean()
    return {} if mean is None else {"seconds": mean}


def trial_run(view: View, run_id: str, cell: Cell, batch: Batch, version: int) -> Run:
    """The run of one trial, or of a base model."""
    [trial], records = cell.seeds, batch.records[cell.key]
    made = records.select("attempt_id", "node", "lane", "started", "seconds", "code_version")
    status = records["status"].sort()[0] if len(records) else Status.failed.value  # of several: diverged before done
    about = {"trial_id": trial.id, "seed": trial.seed} | (made.row(-1, named=True) if len(made) else {})
    return Run(
        id=run_id,
        group="base models" if trial.is_base else cell.label,
        job_type="base" if trial.is_base else "trial",
        name=cell.label if trial.is_base else f"{cell.label} seed {trial.seed}",
        version=version,
        tags=[CURRENT, view.config.sweep.name[:TAG], *([status] if status != Status.done else [])],
        config=named(view, cell) | about,
        history=batch.histories.get(cell.key, []),
        summary={"status": status} | failure(view, cell),
        exit_code=int(status == Status.failed),
    )


def named(view: View, cell: Cell) -> dict[str, object]:
    """What runs are filtered by: the sweep, the model, the values of the axes."""
    return {"sweep_name": view.config.sweep.name, "model_label": cell.seeds[0].model.label} | cell.config


def failure(view: View, cell: Cell) -> dict[str, object]:
    """Why seeds of it failed or diverged, for a run's summary."""
    reasons = {view.errors[trial.id] for trial in cell.seeds if trial.id in view.errors}
    return {"failure": "; ".join(sorted(reasons))} if reasons else {}
