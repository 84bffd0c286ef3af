"""The plan of W&B runs: what each is called and holds, as plain data.  Nothing here knows wandb.

A run's id is `<key>-<version>`: the key is the content of a cell (or a trial), the version is what was recorded of it.
The same records give the same ids on every machine, and a cell that gains seeds a new version of it.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from analysis.load import Outcome
from em.config import Trial
from em.errors import require
from em.identity import content_id
from em.record import Status, to_json
from sweeps.config import Launch
from sweeps.wandb.cells import History, columns, histories, history_of_cell, statistics, values
from sweeps.wandb.view import Cell, View, key_of

VERSION_CHARACTERS = 8
COLUMNS = 2_000  # names of one run, of some 10,000 that W&B advises for a project
ROWS = 10_000  # of a table: W&B's limit
ROOM = 0.9  # of a project, that is filled: new versions need some
BATCH = 500  # trials that are unfolded at once
CURRENT, SUPERSEDED = "current", "superseded"  # tags


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    id: str
    project: str
    group: str
    job_type: str  # cell, trial, base or monitor
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


def project_of(config: Launch, position: int) -> str:
    """The project of the run at a position in the order of work: where there are too many, they go on in `<name>-2`."""
    part = position // max(1, int(ROOM * config.tracking.runs_per_project))
    return config.project + (f"-{part + 1}" if part else "")


def version_of(view: View, trials: Sequence[Trial]) -> str:
    """Short hash of the attempts that a run shows, of what is wanted of them, and of what was given up."""
    attempts = sorted(attempt for trial in trials for attempt in view.attempts.get(trial.id, []))
    given_up = sorted(trial.id for trial in trials if trial.id in view.errors)
    wanted = sorted(item.id for item in view.evaluations)
    return content_id([attempts, given_up, wanted, sorted(view.config.eval.steps)])[:VERSION_CHARACTERS]


def versions_of(exported: Iterable[str]) -> Counter[str]:
    """How many versions there are of each key."""
    return Counter(run_id.partition("-")[0] for run_id in exported)


def cell_runs(view: View, exported: Collection[str]) -> Iterator[Run]:
    """A run for each finished cell that is not among the `exported` run ids."""
    before, new = versions_of(exported), []
    for position, cell in enumerate(view.cells):
        if view.is_finished(cell):
            run_id = f"{cell.key}-{version_of(view, [*cell.trials, cell.base])}"
            if run_id not in exported:
                new.append((cell, run_id, project_of(view.config, position)))
    size = max(1, BATCH // view.config.sweep.seeds)
    for start in range(0, len(new), size):
        some = new[start : start + size]
        found = Found.of(view, [cell for cell, _, _ in some])
        for cell, run_id, project in some:
            version = before[cell.key] + 1
            yield replace(cell_run(view, cell, found, version), id=run_id, project=project)


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
        records = view.records.filter(pl.col("trial_id").is_in(members["trial_id"].unique().to_list()))
        found = values(records, view.evaluations)
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
    """The run of a cell; its id and project are to be filled in."""
    history = history_of_cell(found.statistics.filter(pl.col("cell") == cell.key))
    require_few_columns(history)
    seeds = found.seeds.filter(pl.col("cell") == cell.key).drop("cell")
    outcomes = {outcome.value: int((seeds["outcome"] == outcome.value).sum()) for outcome in Outcome}
    reasons = {view.errors[trial] for trial in seeds["trial_id"] if trial in view.errors}
    ids = [trial.id for trial in [*cell.trials, cell.base]]
    rows = seeds.head(ROWS).iter_rows()
    return Run(
        id="",
        project="",
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
    project = {trial.id: project_of(view.config, position) for position, trial in enumerate(wanted)}
    done = [trial for trial in wanted if trial.id not in view.open]
    for start in range(0, len(done), BATCH):
        some = done[start : start + BATCH]
        keys = {trial.id: key_of(view.config, trial.id) for trial in some}
        ids = {trial.id: f"{keys[trial.id]}-{version_of(view, [trial])}" for trial in some}
        if new := [trial for trial in some if ids[trial.id] not in exported]:
            records = view.records.filter(pl.col("trial_id").is_in([trial.id for trial in new]))
            own = {trial.id: records.clear() for trial in new}
            own |= {of[0]: frame for of, frame in records.partition_by("trial_id", as_dict=True).items()}
            found = dict(histories(values(records, view.evaluations)))
            for trial in new:
                run = trial_run(view, trial, cell_of.get(trial.id), own[trial.id], found.get(trial.id, []))
                version = before[keys[trial.id]] + 1
                yield replace(run, id=ids[trial.id], project=project[trial.id], version=version)


def trial_run(view: View, trial: Trial, cell: Cell | None, records: pl.DataFrame, history: History) -> Run:
    """The run of one trial, or of a base model where there is no cell; its id and project are to be filled in."""
    made = records.sort("started").select("attempt_id", "node", "lane", "started", "seconds", "code_version")
    status = records["status"].sort()[0] if len(records) else Status.failed.value  # of several: diverged before done
    reason = view.errors.get(trial.id)
    return Run(
        id="",
        project="",
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
