"""docs/analysis.md: its tables of columns are the tables', its coverage is what the benchmark measures."""

from pathlib import Path

import pytest

from analysis import tables
from bench import coverage

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text()
SCHEMAS = {
    "trials": tables.TRIALS,
    "scores": tables.SCORES,
    "steps": tables.STEPS,
    "attempts": tables.ATTEMPTS,
}


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of tables."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_columns_of_a_table(name: str):
    section = PAGE.partition(f"### `{name}`")[2].partition("\n#")[0]
    described = [(row[0].strip("`"), row[1]) for row in rows(section)[1:]]
    assert described == [(column, str(kind).partition("(")[0]) for column, kind in SCHEMAS[name].items()]


def test_the_coverage_has_every_kind_and_method():
    table = rows(PAGE.partition("## An interval over seeds")[2].partition("###")[0])
    assert table[0] == ["seeds", "scores", *coverage.METHODS]
    assert [row[:2] for row in table[1:]] == [[str(seeds), kind] for seeds in coverage.BARS for kind in coverage.KINDS]


@pytest.mark.parametrize(("seeds", "kind"), [(5, "normal"), (5, "collapsed by 10"), (16, "collapsed by 5")])
def test_the_coverage_of_our_interval(seeds: int, kind: str):
    held, width = coverage.measured(coverage.chosen, kind, (1, seeds))
    row = next(row for row in rows(PAGE) if row[:2] == [str(seeds), kind])
    assert row[-1] == f"{100 * held:.1f} ({width:.2f})"


def test_the_coverage_of_strata():
    held, _ = coverage.measured(coverage.chosen, "lognormal 1", coverage.STRATA)
    assert f"the interval holds the mean in {100 * held:.1f}%" in PAGE
