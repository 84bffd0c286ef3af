"""The plan of W&B runs: what each is called and holds, as plain data.  Nothing here knows wandb.

A run's id is `<key>-<version>`: the key is the content of a cell (or a trial), the version is what is shown of it.
The same records give the same ids on every machine, and a cell that gains seeds, or other grades, a new version of it.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from analysis.load import Outcome
from em.errors import require
from em.store.record import Status, to_json
from em.trial.trial import Trial
from sweeps.config import Launch
from sweeps.wandb.cells import History, columns, histories, history_of_cell, statistics, values
from sweeps.wandb.view import Cell, View

COLUMNS = 2_000  # names of one run, of some 10,000 that W&B advises for a project
ROWS = 10_000  # of a table: W&B's limit
BATCH = 500  # trials that are unfolded at once
CURRENT, SUPERSEDED = "current", "superseded"  # tags


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    id: str
    project: str = ""  # empty: the first that has room for it
    group: str
    job_type: str  # cell, trial, base, curve or monitor
    name: str
    version: int = 1  # of what was written of one cell or trial so far
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)  # paths
    step_metric: str = ""  # what charts show the others against; empty: the step
    exit_code: int = 0

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Run":
        """The inverse of `vars`, tables too."""
        return cls(**{**plain, "tables": {name: Table(**table) for name, table in plain["tables"].items()}})


def versions_of(exported: Iterable[str]) -> Counter[str]:
    """How many versions there are of each key."""
    return Counter(map(key_in, exported))


def key_in(run_id: str) -> str:
    return run_id.partition("-")[0]


def cell_runs(view: View, exported: Collection[str]) -> Iterator[Run]:
    """A run for each finished cell that is not among the `exported` run ids."""
    before = versions_of(exported)
    new = [cell for cell in view.cells if cell.key in view.ids and view.ids[cell.key] not in exported]
    size = max(1, BATCH // len(view.config.seeds))
    for start in range(0, len(new), size):
        some = new[start : start + size]
        found = Found.of(view, some)
        for cell in some:
            yield cell_run(view, cell, found, before[cell.key] + 1)


@dataclass(frozen=True)
class Found:
    """What was recorded of some cells: computed for all of them at once, some times faster than one by one."""

    statistics: pl.DataFrame  # of each cell, step and name
    seeds: pl.DataFrame  # a row for each seed: what became of it, and the last value of everything
    records: pl.DataFrame

    @classmethod
    def of(cls, view: View, cells: Sequence[Cell]) -> "Found":
        members = pl.DataFrame(
            [(cell.key, trial.id) for cell in cells for trial in [*cell.trials, cell.base]],
            schema=["cell", "trial_id"],
            orient="row",
        )
        own = pl.col("trial_id").is_in(members["trial_id"].unique().to_list())
        records = view.records.filter(own)
        found = values(records, view.scores.filter(own), view.evaluations)
        made = records.sort("started").unique("trial_id", keep="last").select("trial_id", "node", "lane", "seconds")
        last = found.group_by("trial_id", "name", maintain_order=True).last()
        seeds = view.seeds.select("seed", "trial_id", "outcome").join(members, on="trial_id", maintain_order="left")
        if len(last):
            wide = last.pivot("name", index="trial_id", values="value")
            seeds = seeds.join(wide, on="trial_id", how="left", maintain_order="left")
        return cls(
            statistics=statistics(found.join(members, on="trial_id", maintain_order="left")),
            seeds=seeds.join(made, on="trial_id", how="left", maintain_order="left").sort("seed"),
            records=records,
        )


def cell_run(view: View, cell: Cell, found: Found, version: int) -> Run:
    history = history_of_cell(found.statistics.filter(pl.col("cell") == cell.key))
    require_few_columns(history)
    seeds = found.seeds.filter(pl.col("cell") == cell.key).drop("cell")
    outcomes = {outcome.value: int((seeds["outcome"] == outcome.value).sum()) for outcome in Outcome}
    reasons = {view.errors[trial] for trial in seeds["trial_id"] if trial in view.errors}
    ids = [trial.id for trial in [*cell.trials, cell.base]]
    rows = seeds.head(ROWS).iter_rows()
    return Run(
        id=view.ids[cell.key],
        group=view.config.sweep.name,
        job_type="cell",
        name=f"{cell.label} ({len(seeds)} seeds{f', version {version}' * (version > 1)})",
        version=version,
        tags=[CURRENT, *(name for name in ("diverged", "failed") if outcomes[name])],
        config=facts(view.config, cell.trials[0], found.records.filter(pl.col("trial_id").is_in(ids)))
        | cell.config
        | {"cell": cell.key, "version": version, "seeds": len(seeds)},
        history=history,
        summary=outcomes | ({"failure": "; ".join(sorted(reasons))} if reasons else {}),
        tables={
            "seeds": Table(columns=[*cell.config, *seeds.columns], rows=[[*cell.config.values(), *row] for row in rows])
        },
        exit_code=int(outcomes["failed"] > 0),
    )


def require_few_columns(history: History) -> None:
    found = len(columns([history]))
    remedy = f"a W&B run shows at most {COLUMNS}: take fewer benchmarks or eval.temperatures, or tracking.runs=trial"
    require(found <= COLUMNS, "columns of a cell", found, remedy)


def facts(config: Launch, trial: Trial, records: pl.DataFrame) -> dict[str, Any]:
    """The whole config of a cell, and with what its records were made."""
    whole = json.loads(to_json(trial))
    environments = records.sort("started")["environment"].unique(maintain_order=True)
    del whole["seed"]
    return whole | {
        "sweep_name": config.sweep.name,
        "model_label": trial.model.label,
        "code_version": "+".join(sorted(set(records["code_version"]))),
        "environment": json.loads(environments[-1]) if len(environments) else {},
        "environments": len(environments),
    }


def trial_runs(view: View, exported: Collection[str]) -> Iterator[Run]:
    """A run for each trial that is done with, base models first, and is not among the `exported` run ids."""
    before = versions_of(exported)
    cell_of = {trial.id: cell for cell in view.cells for trial in cell.trials}
    wanted = list({unit.trial.id: unit.trial for unit in view.plan.wanted}.values())
    new = [trial for trial in wanted if trial.id in view.ids and view.ids[trial.id] not in exported]
    for start in range(0, len(new), BATCH):
        some = new[start : start + BATCH]
        shown = pl.col("trial_id").is_in([trial.id for trial in some])
        records = view.records.filter(shown)
        own = {trial.id: records.clear() for trial in some}
        own |= {of[0]: frame for of, frame in records.partition_by("trial_id", as_dict=True).items()}
        found = dict(histories(values(records, view.scores.filter(shown), view.evaluations)))
        for trial in some:
            run = trial_run(view, trial, cell_of.get(trial.id), own[trial.id], found.get(trial.id, []))
            yield replace(run, version=before[key_in(run.id)] + 1)


def trial_run(view: View, trial: Trial, cell: Cell | None, records: pl.DataFrame, history: History) -> Run:
    """The run of one trial, or of a base model where there is no cell."""
    made = records.sort("started").select("attempt_id", "node", "lane", "started", "seconds", "code_version")
    status = records["status"].sort()[0] if len(records) else Status.failed.value  # of several: diverged before done
    reason = view.errors.get(trial.id)
    return Run(
        id=view.ids[trial.id],
        group=cell.label if cell else "base models",
        job_type="trial" if cell else "base",
        name=f"{cell.label} seed {trial.seed}" if cell else trial.model.label,
        tags=[CURRENT, view.config.sweep.name, *([status] if status != Status.done else [])],
        config={"sweep_name": view.config.sweep.name, "trial_id": trial.id, "seed": trial.seed}
        | {"model_label": trial.model.label}
        | (cell.config if cell else {})
        | (made.row(-1, named=True) if len(made) else {}),
        history=history,
        summary={"status": status} | ({"failure": reason} if reason else {}),
        exit_code=int(status == Status.failed),
    )


def planned(view: View, exported: Collection[str]) -> Iterator[Run]:
    """What is to be written, beside what has been."""
    return trial_runs(view, exported) if view.config.tracking.by_trial else cell_runs(view, exported)
