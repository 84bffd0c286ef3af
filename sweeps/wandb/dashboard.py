"""Workspace and report of a sweep, as code: what is drawn follows from the sweep's config alone.

A W&B chart shows 10 runs of its own accord, and its grouping samples 100; here both are set for each chart.
wandb_workspaces has no public way to write a view down, or to save one in the place of another: `_to_model` and
`_internal_*`, used at the end of this file, are the reason for its upper bound in pyproject.toml.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import wandb
import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from analysis.search import OBJECTIVES, POINT
from em.errors import InputError
from sweeps import expand
from sweeps.config import Launch
from sweeps.wandb import sync
from sweeps.wandb.curves import curve_name, is_numeric
from sweeps.wandb.folder import Folder
from sweeps.wandb.runs import SUPERSEDED
from sweeps.wandb.values import word

MAX_RUNS = 100  # W&B's limit of a chart's lines
WIDE, HALF, THIRD = 24, 12, 8  # of a row of 24
SEARCHED = "Which axes matter to the score, how it rose point by point, and what else it costs."
ONE_RUN = {"aggregate": False, "max_runs_to_show": 1}
MEAN_OF_GROUP = {"groupby": "Group", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}  # a group is a cell
AGAINST_STEP = {"x": "Step", "title_x": "optimiser step", "smoothing_type": "none"}
AGAINST_TIME = {"x": "hours", "title_x": "hours", "smoothing_type": "none", **ONE_RUN}
TRAINING = {"score": "score", "loss": "loss, nats", "entropy": "token entropy, nats", "grad_norm": "grad_norm"}
PROGRESS = {
    "done, of wanted": ["done", "wanted"],
    "failed attempts and trials given up": ["failed_attempts", "given_up", "diverged"],
    "lanes": ["lanes", "lanes_busy"],
    "utilisation of lanes": ["utilisation"],
}


class Section(NamedTuple):
    name: str
    text: str
    kinds: list[str]  # job types whose runs it shows
    panels: list[Any]


def column(config: Launch, name: str) -> str:
    """What charts show of a value: of cells the mean over seeds, of trials the value itself."""
    return name if config.tracking.by_trial else f"{name}/mean"


def panel(kind: Any, width: int, height: int, **fields: object) -> Any:
    return kind(**fields, layout=wr.Layout(w=width, h=height))


def sections(config: Launch) -> list[Section]:
    kind, by_trial, axes = config.tracking.runs.value, config.tracking.by_trial, config.sweep.varied
    at = f"{config.headline().after} at temperature {config.eval.temperatures[0]:g}"
    lines = {"max_runs_to_show": min(MAX_RUNS, len(expand.cells(config)))}
    each = MEAN_OF_GROUP | {"max_runs_to_show": MAX_RUNS} if by_trial else {"aggregate": False} | lines
    ends = [(wr.Config(word(name)), name) for name in axes]
    ends += [(wr.SummaryMetric(column(config, name)), name) for name in ("entropy", "mean_length", "score")]
    columns = [wr.ParallelCoordinatesPlotColumn(metric, display_name=name) for metric, name in ends]
    settings = panel(wr.ParallelCoordinatesPlot, WIDE, 10, columns=columns)
    *answers, all_cells = (
        panel(wr.WeavePanelSummaryTable, WIDE, 12, table_name=name)
        for name in (["responses", "cells"] if by_trial else ["seeds", "responses", "cells"])
    )
    training = [
        panel(wr.LinePlot, HALF, 8, title=title, y=[column(config, name)], **AGAINST_STEP, **each)
        for name, title in TRAINING.items()
    ]
    differences = panel(wr.RunComparer, WIDE, 10, diff_only="split")  # what sets those apart that failed
    failed = [
        panel(wr.BarPlot, THIRD, 8, title=f"seeds {outcome}", metrics=[outcome], orientation="h", **lines)
        for outcome in ("failed", "diverged", "missing")
    ]
    progress = [panel(wr.LinePlot, HALF, 8, title=title, y=names, **AGAINST_TIME) for title, names in PROGRESS.items()]
    progress.append(panel(wr.MediaBrowser, HALF, 10, media_keys=["figure"]))
    values = {name: [cell.values[name] for cell in expand.cells(config)] for name in axes}
    scores = [shown for name in axes for shown in against(config, name, values[name])]
    steps = "Score and metrics against the optimiser step; metrics of a step are of the weights before it."
    reasons = "Trials that were given up or diverged; a run that failed says why in `failure`."
    searched = [Section("Search", SEARCHED, [kind], of_search(config))] if config.search.is_on else []
    return [
        *searched,
        Section("Score", f"Mean accuracy of the benchmarks {at}.", [kind, "curve"], scores),
        Section("All axes", "Every line is a run; its ends are its setting and its score.", [kind], [settings]),
        Section("Training", steps, [kind, "base"], training),
        Section("Seeds", "Every seed of every cell, and a few answers.", [kind, "monitor"], answers),
        Section("Failures", reasons, [kind], [differences] if by_trial else failed),
        Section("Sweep", "What is done, how busy lanes are, and the figure.", ["monitor"], [*progress, all_cells]),
    ]


def of_search(config: Launch) -> list[Any]:
    """Which axes matter, the score point by point with the best so far, and the score against other objectives."""
    score = column(config, "score")
    of_cells = {"spread": "score/std", "seconds": "seconds"}  # what runs hold beside the mean
    others = [] if config.tracking.by_trial else [name for name in config.search.objectives[1:] if name in of_cells]
    return [
        panel(wr.ParameterImportancePlot, HALF, 10, with_respect_to=score),
        panel(
            wr.ScatterPlot,
            HALF,
            10,
            title=f"{score} point by point",
            x=wr.Config(POINT),
            y=wr.SummaryMetric(score),
            running_ymax=True,
        ),
        *(
            panel(
                wr.ScatterPlot,
                HALF,
                10,
                title=f"{score} against {OBJECTIVES[name].label}",
                x=wr.SummaryMetric(of_cells[name]),
                y=wr.SummaryMetric(score),
            )
            for name in others
        ),
    ]


def against(config: Launch, path: str, values: Sequence[object]) -> list[Any]:
    """Score against an axis: every run as a point and, of numbers, the mean over seeds between its quantiles."""
    score, band = wr.SummaryMetric(column(config, "score")), config.tracking.by_trial or None  # where points share an x
    bands = dict.fromkeys(("running_ymin", "running_ymean", "running_ymax"), band)
    title = f"{score.name} against {path}"
    points = panel(wr.ScatterPlot, HALF, 10, title=title, x=wr.Config(word(path)), y=score, **bands)
    if config.search.is_on or not is_numeric(values):
        return [points]
    y = [curve_name(path, statistic) for statistic in ("mean", "q10", "q90")]
    title = f"score against {path}: mean over seeds, 10% and 90% of them"
    axes = {"x": word(path), "title_x": path, "y": y, "title_y": "score"}
    return [panel(wr.LinePlot, HALF, 10, title=title, **axes, **ONE_RUN), points]


def shown(config: Launch, kinds: Sequence[str]) -> expr.And:
    """The filter of a run set: the sweep's runs of these job types, without superseded ones."""
    return expr.And(
        expr.Config("sweep_name") == config.sweep.name,
        expr.Metric("JobType").isin(list(kinds)),
        expr.Tags().notin([SUPERSEDED]),
    )


def workspace(config: Launch, entity: str) -> ws.Workspace:
    score, by_trial = column(config, "score"), config.tracking.by_trial
    axes = [f"config:{word(name)}.value" for name in config.sweep.varied]
    return ws.Workspace(
        entity=entity,
        project=config.project,
        name=f"Sweep {config.sweep.name}",
        sections=[ws.Section(name=of.name, panels=of.panels, is_open=True) for of in sections(config)],
        settings=ws.WorkspaceSettings(
            x_axis="Step", smoothing_type="none", max_runs=min(MAX_RUNS, len(expand.cells(config)))
        ),
        runset_settings=ws.RunsetSettings(
            filters=shown(config, [config.tracking.runs.value, "base", "curve", "monitor"]),
            groupby=[expr.Metric("Group")] if by_trial else [],
            order=[expr.Ordering(expr.Summary(score), ascending=False)],
            pinned_columns=[*axes, f"summary:{score}", "summary:failure"],
        ),
    )


def report(config: Launch, entity: str) -> wr.Report:
    """With an entity its run sets ask W&B for the project's id as they are made."""
    blocks: list[Any] = [wr.TableOfContents()]
    project, grouped = config.project, config.tracking.by_trial
    for of in sections(config):
        groupby = ["group"] if grouped and "trial" in of.kinds else []
        filters = shown(config, of.kinds)
        runs = wr.Runset(entity=entity, project=project, name=of.name, filters=filters, groupby=groupby)
        blocks += [wr.H1(of.name), wr.P(of.text), wr.PanelGrid(runsets=[runs], panels=of.panels)]
    description = f"{len(expand.cells(config))} cells of {expand.seeds_each(expand.cells(config))}"
    return wr.Report(
        entity=entity,
        project=project,
        title=f"Sweep {config.sweep.name}",
        description=description,
        blocks=blocks,
        width="fluid",
    )


def specification(view: ws.Workspace | wr.Report) -> dict[str, Any]:
    """What W&B would be sent, as plain data."""
    return json.loads(view._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def save(config: Launch, folder: Folder) -> str:
    """Send workspace and report; without an API key leave their specifications on disk.  Says where they are.

    They are the same two when it is done again.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    name = f"{folder.project}-{config.sweep.name}"
    address, key = sync.credentials()
    if not key:
        path = folder.root / f"{name}-specification.json"
        plain = {make.__name__: specification(make(config, "")) for make in (workspace, report)}
        path.write_text(json.dumps(plain, indent=1))
        return f"no API key: the specifications are in {path}; after `.venv/bin/python -m wandb login` they are sent"
    entity = config.tracking.entity or sync.ask(address, key, "nothing was sent")
    kept = folder.root / f"{name}-dashboard.json"
    space, text = workspace(config, entity), report(config, entity)
    if kept.exists():
        before = json.loads(kept.read_text())
        space._internal_name, space._internal_id, text.id = before["name"], before["id"], before["report"]
    try:
        space.save()
        text.save()
    except (wandb.Error, ValueError, OSError) as error:
        raise InputError(f"{address}: W&B takes no dashboards for {entity}/{config.project}: {error}") from None
    kept.write_text(json.dumps({"name": space._internal_name, "id": space._internal_id, "report": text.id}))
    return f"workspace {space.url}\nreport {text.url}"
