"""Findings as a table of the terminal, and as Markdown, CSV and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from analysis.findings import Effect, Finding, Verdict

STYLES = {Verdict.holds: "green", Verdict.fails: "red", Verdict.unclear: "yellow", Verdict.gap: "dim"}
EFFECT = {
    "id": pl.String(),
    "claim": pl.String(),
    "verdict": pl.String(),
    "effect": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
    "unit": pl.String(),
    "claimed_low": pl.Float64(),
    "claimed_high": pl.Float64(),
}


def printed(findings: Sequence[Finding]) -> Table:
    """A row for each effect, below its claim."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title="what is claimed, and what is recorded")
    table.title_justify = "left"
    for heading in ("", "claim and its effects", "verdict"):
        table.add_column(heading, overflow="fold")
    for heading in ("measured", "interval", "claimed", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for finding in findings:
        verdict = Text(finding.verdict.value, style=STYLES[finding.verdict])
        table.add_row(finding.id, Text(finding.claim, style="bold"), verdict, *[""] * 4)
        for effect in finding.effects:
            table.add_row("", f"  {effect.name}, {effect.unit}", Text(side(effect)), *numbers(effect))
        table.add_row()
    return table


def side(effect: Effect) -> str:
    return "as claimed" if effect.holds else "not so" if effect.fails else "open"


def numbers(effect: Effect) -> tuple[str, str, str, str]:
    """Estimate, interval, what is claimed of it, and seeds."""
    ends = {">": effect.claimed_low, "<": effect.claimed_high}
    sides = [f"{sign} {end:g}" for sign, end in ends.items() if end is not None]
    interval = f"{short(effect.low)} to {short(effect.high)}"
    return short(effect.value), interval if effect.low is not None else "-", ", ".join(sides), str(effect.n)


def short(value: float | None) -> str:
    """Three digits, but no more than two behind the point unless it is small."""
    if value is None:
        return "-"
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def files(findings: Sequence[Finding]) -> dict[str, bytes]:
    """By name: every effect a row of the CSV, the records in the JSON.  The same findings give the same bytes."""
    rows = [
        (finding.id, finding.claim, finding.verdict.value, *asdict(effect).values())
        for finding in findings
        for effect in finding.effects
    ]
    plain = [asdict(finding) for finding in findings]
    text = json.dumps(plain, indent=1, default=lambda value: value.value if isinstance(value, Enum) else str(value))
    return {
        "findings.md": markdown(findings).encode(),
        "findings.csv": pl.DataFrame(rows, EFFECT, orient="row").write_csv().encode(),
        "findings.json": f"{text}\n".encode(),
    }


def markdown(findings: Sequence[Finding]) -> str:
    lines = ["# Findings", "", *SAID, ""]
    for finding in findings:
        lines += [f"## {finding.id}: {finding.verdict.value}", "", finding.claim, ""]
        if finding.effects:
            lines += ["| effect | measured | interval | claimed | n | |", "|---|---|---|---|---|---|"]
            lines += [
                f"| {effect.name}, {effect.unit} | {' | '.join(numbers(effect))} | {side(effect)} |"
                for effect in finding.effects
            ]
            lines.append("")
        if finding.units:
            lines += [f"It rests on {len(finding.units):,} records, named in findings.json.", ""]
        lines += [f"- {note}" for note in finding.notes] + [""] * bool(finding.notes)
    return "\n".join(lines)


SAID = [
    "What the store says of each claim of Gao et al., 2025, arXiv 2505.20282.  The intervals of a claim hold together",
    "with 95% confidence, over n seeds.  A claim holds where all lie where it says, and does not where one lies wholly",
    "elsewhere.",
]
