"""Workspace and report of a sweep, as code: what is drawn follows from the sweep's config alone.

A W&B chart shows 10 runs of its own accord, and its grouping samples 100; here both are set for each chart.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import wandb
import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from em.errors import InputError
from sweeps.config import Launch
from sweeps.wandb import sync
from sweeps.wandb.cells import word
from sweeps.wandb.curves import curve_name, is_numeric
from sweeps.wandb.folder import Folder
from sweeps.wandb.runs import SUPERSEDED

MAX_RUNS = 100  # W&B's limit of a chart's lines
WIDE, HALF, THIRD = 24, 12, 8  # of a row of 24


class Section(NamedTuple):
    name: str
    text: str
    kinds: list[str]  # job types whose runs it shows
    panels: list[Any]


@dataclass(frozen=True)
class Names:
    """The columns that the charts show: of cells the mean over seeds, of trials the values themselves."""

    axes: list[str]
    numeric: list[str]
    by_trial: bool
    cells: int

    @classmethod
    def of(cls, config: Launch) -> "Names":
        axes = config.axes
        cells = 1
        for axis in axes:
            cells *= len(axis.values)
        numeric = [axis.field for axis in axes if is_numeric(axis.values)]
        return cls([axis.field for axis in axes], numeric, config.tracking.by_trial, cells)

    @property
    def kind(self) -> str:
        return "trial" if self.by_trial else "cell"

    @property
    def lines(self) -> int:
        return min(MAX_RUNS, self.cells)

    def column(self, name: str) -> str:
        return name if self.by_trial else f"{name}/mean"


def sections(config: Launch) -> list[Section]:
    names = Names.of(config)
    score = wr.SummaryMetric(names.column("score"))
    at = f"after step {max(config.eval.steps)} at temperature {config.eval.temperatures[0]:g}"
    of_axes = [panel for path in names.axes for panel in against(path, names, score)]
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(word(path)), display_name=path) for path in names.axes]
    columns += [
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(names.column(name)), display_name=name)
        for name in ("entropy", "mean_length", "score")
    ]
    training = [("score", "score"), ("loss", "loss, nats"), ("entropy", "token entropy, nats"), ("grad_norm", "")]
    return [
        Section("Score", f"Mean accuracy of the benchmarks {at}.", [names.kind, "curve"], of_axes),
        Section(
            "All axes",
            "Every line is a run; its ends are its setting and its score.",
            [names.kind],
            [wr.ParallelCoordinatesPlot(columns=columns, layout=wr.Layout(w=WIDE, h=10))],
        ),
        Section(
            "Training",
            "Score and metrics against the optimiser step; metrics of a step are of the weights before it.",
            [names.kind, "base"],
            [against_step(name, title, names) for name, title in training],
        ),
        Section(
            "Seeds",
            "Every seed of every cell, and a few answers.",
            [names.kind, "monitor"],
            [table("responses")] if names.by_trial else [table("seeds"), table("responses")],
        ),
        Section(
            "Failures",
            "Trials that were given up or diverged; a run that failed says why in `failure`.",
            [names.kind],
            failures(names),
        ),
        Section(
            "Sweep",
            "What is done, how busy lanes are, and the figure.",
            ["monitor"],
            [
                over_time("done, of wanted", ["done", "wanted"]),
                over_time("failed attempts and trials given up", ["failed_attempts", "given_up", "diverged"]),
                over_time("lanes", ["lanes", "lanes_busy"]),
                over_time("utilisation of lanes", ["utilisation"]),
                wr.MediaBrowser(media_keys=["figure"], layout=wr.Layout(w=HALF, h=10)),
                table("cells"),
            ],
        ),
    ]


def against(path: str, names: Names, score: wr.SummaryMetric) -> list[Any]:
    """Score against an axis: every run as a point and, of numbers, the mean over seeds between its quantiles."""
    band = names.by_trial or None  # of points that share a value
    points = wr.ScatterPlot(
        title=f"{score.name} against {path}",
        x=wr.Config(word(path)),
        y=score,
        running_ymin=band,
        running_ymean=band,
        running_ymax=band,
        layout=wr.Layout(w=HALF, h=10),
    )
    curve = wr.LinePlot(
        title=f"score against {path}: mean over seeds, 10% and 90% of them",
        x=word(path),
        y=[curve_name(path, statistic) for statistic in ("mean", "q10", "q90")],
        title_x=path,
        title_y="score",
        aggregate=False,
        max_runs_to_show=1,
        layout=wr.Layout(w=HALF, h=10),
    )
    return [curve, points] if path in names.numeric else [points]


def against_step(name: str, title: str, names: Names) -> wr.LinePlot:
    grouped: dict[str, Any] = {"aggregate": False, "max_runs_to_show": names.lines}
    if names.by_trial:  # a group is a cell: its seeds' mean and standard deviation
        grouped = {
            "groupby": "Group",
            "groupby_aggfunc": "mean",
            "groupby_rangefunc": "stddev",
            "max_runs_to_show": MAX_RUNS,
        }
    return wr.LinePlot(
        title=title or name,
        x="Step",
        y=[names.column(name)],
        title_x="optimiser step",
        smoothing_type="none",
        layout=wr.Layout(w=HALF, h=8),
        **grouped,
    )


def failures(names: Names) -> list[Any]:
    """Of cells how many seeds did not make it; of trials what sets those apart that failed."""
    if names.by_trial:
        return [wr.RunComparer(diff_only="split", layout=wr.Layout(w=WIDE, h=10))]
    return [
        wr.BarPlot(
            title=f"seeds {outcome}",
            metrics=[outcome],
            orientation="h",
            max_runs_to_show=names.lines,
            layout=wr.Layout(w=THIRD, h=8),
        )
        for outcome in ("failed", "diverged", "missing")
    ]


def over_time(title: str, metrics: Sequence[str]) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x="hours",
        y=list(metrics),
        title_x="hours",
        aggregate=False,
        max_runs_to_show=1,
        smoothing_type="none",
        layout=wr.Layout(w=HALF, h=8),
    )


def table(name: str) -> wr.WeavePanelSummaryTable:
    return wr.WeavePanelSummaryTable(table_name=name, layout=wr.Layout(w=WIDE, h=12))


def shown(config: Launch, kinds: Sequence[str]) -> expr.And:
    """The filter of a run set: the sweep's runs of these job types, without superseded ones."""
    return expr.And(
        expr.Config("sweep_name") == config.sweep.name,
        expr.Metric("JobType").isin(list(kinds)),
        expr.Tags().notin([SUPERSEDED]),
    )


def workspace(config: Launch, entity: str) -> ws.Workspace:
    names = Names.of(config)
    kinds = [names.kind, "base", "curve", "monitor"]
    return ws.Workspace(
        entity=entity,
        project=config.project,
        name=f"Sweep {config.sweep.name}",
        sections=[ws.Section(name=of.name, panels=of.panels, is_open=True) for of in sections(config)],
        settings=ws.WorkspaceSettings(x_axis="Step", smoothing_type="none", max_runs=names.lines),
        runset_settings=ws.RunsetSettings(
            filters=shown(config, kinds),
            groupby=[expr.Metric("Group")] if names.by_trial else [],
            order=[expr.Ordering(expr.Summary(names.column("score")), ascending=False)],
            pinned_columns=[f"config:{word(path)}.value" for path in names.axes]
            + [f"summary:{names.column('score')}", "summary:failure"],
        ),
    )


def report(config: Launch, entity: str) -> wr.Report:
    """With an entity its run sets ask W&B for the project's id as they are made."""
    names = Names.of(config)
    blocks: list[Any] = [wr.TableOfContents()]
    for of in sections(config):
        runs = wr.Runset(
            entity=entity,
            project=config.project,
            name=of.name,
            filters=shown(config, of.kinds),
            groupby=["group"] if names.by_trial and names.kind in of.kinds else [],
        )
        blocks += [wr.H1(of.name), wr.P(of.text), wr.PanelGrid(runsets=[runs], panels=of.panels)]
    return wr.Report(
        entity=entity,
        project=config.project,
        title=f"Sweep {config.sweep.name}",
        description=f"{names.cells} cells of {len(config.seeds)} seeds",
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
    kept = folder.root / f"{folder.project}-{config.sweep.name}-dashboard.json"
    address, key = sync.credentials()
    if not key:
        specifications = {
            "workspace": specification(workspace(config, "")),
            "report": specification(report(config, "")),
        }
        path = kept.with_name(kept.name.replace("-dashboard", "-specification"))
        path.write_text(json.dumps(specifications, indent=1))
        return f"no API key: the specifications are in {path}; after `.venv/bin/python -m wandb login` they are sent"
    entity = config.tracking.entity or sync.ask(address, key, "nothing was sent")
    before = json.loads(kept.read_text()) if kept.exists() else {}
    space, text = workspace(config, entity), report(config, entity)
    space._internal_name, space._internal_id = before.get("name", ""), before.get("id", "")
    text.id = before.get("report", "")
    try:
        space.save()
        text.save()
    except (wandb.Error, ValueError, OSError) as error:
        raise InputError(f"{address}: W&B takes no dashboards for {entity}/{config.project}: {error}") from None
    kept.write_text(json.dumps({"name": space._internal_name, "id": space._internal_id, "report": text.id}))
    return f"workspace {space.url}\nreport {text.url}"
