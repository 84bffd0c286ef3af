"""The report: one folder, one page that opens from disk, with every figure, finding and trial of some sweeps.

    index.html       overview, figures, tables, findings, and all that these need
    cells/<id>.js    the trials of one cell, loaded when a reader opens it

The page asks for nothing outside of the folder: Vega-Lite, from vl-convert's package, is written into it.  A page that
is opened as a file may not fetch others, so a cell is a script that calls `report.opened`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis import charts, draw, style
from analysis.draw import Drawn
from analysis.findings import Finding
from analysis.findings.written import numbers, side
from analysis.report.cells import shards
from analysis.table.typeset import Typeset, thinned
from analysis.tables import Tables
from em.trial.identity import content_id

OWN = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """One sweep of the report."""

    name: str
    about: str  # in a sentence
    wanted: int  # trials
    recorded: int
    outcomes: dict[str, int]  # trials by what became of them
    hours: float  # of lanes, that its trials took
    command: str  # that records what is missing
    drawn: Sequence[Drawn] = ()
    gap: str = ""  # why there is no figure


@dataclass(frozen=True)
class Page:
    """What the report shows."""

    title: str
    summary: Sequence[tuple[str, str]]  # name and value
    parts: Sequence[Part]
    findings: Sequence[Finding] = ()
    tables: Sequence[Typeset] = ()  # the paper's beside ours, and what of the spread is noise
    notes: Sequence[str] = ()


def write(folder: Path, page: Page, tables: Tables) -> Path:
    """Write the report of these tables into a folder; the path of its page."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    all_drawn = [(drawn, part) for part in page.parts for drawn in part.drawn]
    figures = [figure(drawn, part) for drawn, part in all_drawn]
    written = set[str]()
    for (drawn, _), made in zip(all_drawn, figures, strict=True):
        keys = made["cells"]
        if written.issuperset(keys.values()):  # of a figure of the same cells
            continue
        for cell, content in shards(drawn, tables):
            text = f"report.opened({dumps(keys[cell])}, {dumps(content)})"
            (folder / "cells" / f"{keys[cell]}.js").write_text(text)
        written |= set(keys.values())
    for stale in (folder / "cells").glob("*.js"):
        if stale.stem not in written:
            stale.unlink()
    index = folder / "index.html"
    index.write_text(rendered(page, figures))
    return index


def rendered(page: Page, figures: Sequence[dict[str, Any]]) -> str:
    import vl_convert

    environment = Environment(
        loader=PackageLoader("analysis.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "thousands": lambda count: f"{count:,}",
        "side": side,
        "numbers": numbers,
        "thinned": thinned,
    }
    choices = {"metric": metrics(figures), "statistic": charts.STATISTICS, "band": charts.BANDS}
    data = {"figures": figures, "config": {"light": style.config(), "dark": style.config(dark=True)}}
    return environment.get_template("page.html").render(
        page=page,
        figures=figures,
        choices=choices,
        data=Markup(dumps(data)),
        css=Markup((OWN / "page.css").read_text()),
        script=Markup((OWN / "page.js").read_text()),
        vega=Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")),
    )


def metrics(figures: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Those that a reader can choose from."""
    names = [name for figure in figures for name in figure["metrics"]]
    return {name: name for name in dict.fromkeys(names)}


def figure(drawn: Drawn, part: Part) -> dict[str, Any]:
    """A figure as the page has it: the chart, and its data column by column."""
    chart, data = draw.chart(drawn), draw.data(drawn, all_seeds=True)
    heading = chart.pop("title")
    frames = {name: frame.fill_nan(None) for name, frame in data.items()}
    rows = frames["numbers"].filter(pl.col("metric") == drawn.figure.metric)
    shown = [*drawn.figure.axes, *(name for name in ("step", "temperature") if rows[name].n_unique() > 1)]
    named = {"cell": pl.col("cell"), **{name: pl.col(name) for name in shown if name in ("step", "temperature")}}
    columns = [name for name in ("n", "diverged", "failed", "missing", "mean", "low", "high", "iqm") if name in rows]
    return {
        "name": drawn.figure.name,
        "kind": drawn.figure.kind,
        "sweep": part.name,
        "title": heading["text"],
        "caption": heading["subtitle"],
        "metrics": list(frames["numbers"]["metric"].unique(maintain_order=True)),
        "spec": chart,
        "columns": {name: columns_of(frame) for name, frame in frames.items() if name in draw.named(chart, frames)},
        "rows": rows.select(**named, **{name: pl.col(name) for name in columns}).to_dicts(),
        "cells": keys_of(frames["seeds"], drawn.figure.headline.after),
    }


def columns_of(frame: pl.DataFrame) -> dict[str, list[Any]]:
    small = frame.with_columns(pl.col(pl.Float64).round_sig_figs(5))
    return {name: small[name].to_list() for name in small.columns}


def keys_of(seeds: pl.DataFrame, after: str) -> dict[str, str]:
    """The names of the files of a figure's cells: figures of the same trials share them."""
    cells = seeds.group_by("cell", maintain_order=True).agg(pl.col("trial_id").unique().sort())
    return {
        cell: content_id([cell, after, len(trials), *trials[:1], *trials[-1:]]) for cell, trials in cells.iter_rows()
    }


def dumps(value: Any) -> str:
    """JSON that may stand in a script."""
    return json.dumps(value, separators=(",", ":"), default=str, allow_nan=False).replace("</", "<\\/")
