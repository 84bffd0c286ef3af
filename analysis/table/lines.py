"""The texts of a sweep's tables: what lines, columns and captions say.  In per cent; differences in points."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import polars as pl

from analysis.seeds import AVERAGE, NUMBERS
from analysis.summary import LOST
from analysis.table import BEST, CHOSEN, CORRECTED, GAIN, MEAN, PAPER, PEAK, Table, paper
from analysis.table.spread import POOLED
from analysis.table.typeset import Typeset

NONE = "-"
INTERVAL, NO_GAIN = "95% interval", "p of no difference (Holm)"
SURE = 0.001  # p below which no digits are shown
SAID = {
    MEAN: "with its 95% interval",
    BEST: "chosen by its average on the problems that it is reported on",
    CORRECTED: "what its average is expected to be, given what chance of the answers does to the best of n",
    CHOSEN: "its score on test problems",
}
THEIRS = f"{paper.SOURCE}, Table {{}}, as printed; trained models at their peak, n not said there"
Row = Mapping[str, Any]


def tables(table: Table, seeds: pl.DataFrame, rows: pl.DataFrame) -> list[Typeset]:
    """The sweep's table (`analysis.table.rows`), and the paper's beside it where that has other benchmarks."""
    found = dict[tuple[str, ...], list[list[str]]]()
    columns: tuple[str, ...] = (*table.benchmarks, AVERAGE)
    theirs: tuple[str, ...] = (*paper.BENCHMARKS.values(), AVERAGE)
    for (*_, statistic), group in groupby(
        rows.rows(named=True), lambda row: (row["model"], row["method"], row["statistic"])
    ):
        of_line = {row["metric"]: row for row in group}
        shown = theirs if statistic in (PAPER, PEAK) else columns
        found.setdefault(shown, []).extend(lines([of_line.get(name) for name in shown]))
    captions: dict[tuple[str, ...], str] = {columns: caption(table, seeds, rows)}
    if theirs == columns:
        captions[columns] += f" {PAPER}: {THEIRS.format(table.paper)}." if table.paper else ""
    else:
        captions[theirs] = f"{THEIRS.format(table.paper)}: accuracy in per cent."
    return [
        Typeset(captions[shown], ["model", "trained by", "score", *shown, "n"], made, 3)
        for shown, made in found.items()
    ]


def lines(cells: Sequence[Row | None]) -> list[list[str]]:
    """One line of the table, and below it that of its intervals, or of its p."""
    first = next(cell for cell in cells if cell is not None)
    names, statistic = [first["model"], first["method"]], first["statistic"]
    made = [[*names, statistic, *(score(cell, signed=statistic == GAIN) for cell in cells), counted(first)]]
    below = {MEAN: (INTERVAL, interval), GAIN: (NO_GAIN, probability)}
    if statistic in below:
        name, written = below[statistic]
        made.append([*names, name, *(NONE if cell is None else written(cell) for cell in cells), ""])
    return made


def score(cell: Row | None, signed: bool) -> str:
    if cell is None or cell["score"] is None:
        return NONE
    written = f"{100 * cell['score']:{'+' if signed else ''}.1f}"
    return written if cell["recomputed"] is None else f"{written} (their mean is {100 * cell['recomputed']:.1f})"


def interval(cell: Row) -> str:
    return NONE if cell["low"] is None else f"{100 * cell['low']:.1f}–{100 * cell['high']:.1f}"


def probability(cell: Row) -> str:
    if cell["p"] is None:
        return NONE
    return f"<{SURE}" if cell["p"] < SURE else f"{cell['p']:.3f}"


def counted(row: Row) -> str:
    """`15, 1 diverged` seeds; `seed 3 of 15`; nothing where the paper does not say."""
    if row["statistic"] == GAIN or row["n"] is None:
        return ""
    if row["seed"] is not None:
        return f"seed {row['seed']} of {row['n']}"
    return ", ".join([str(row["n"]), *(f"{row[name]} {name}" for name in LOST if row[name])])


def caption(table: Table, seeds: pl.DataFrame, rows: pl.DataFrame) -> str:
    """What the numbers are of, and what each line is."""
    first, number = table.headline.evaluations[0], len(table.benchmarks)
    sampled = f"avg@{first.samples} at temperature {first.temperature:g}" if first.temperature else "greedy"
    sampled += f", {first.problems} problems of each" if first.problems else ""
    over = NUMBERS[number] if number < len(NUMBERS) else str(number)
    said = [f"Accuracy in per cent, {sampled}. {AVERAGE}: the unweighted mean of {over} benchmarks."]
    trained = rows.filter(pl.col("statistic") == MEAN)
    if len(trained):
        steps = seeds.filter(pl.col("last_step") > 0)["last_step"].unique()
        after = f"after step {steps[0]}" if len(steps) == 1 else "after their last step"
        said.append(f"Trained models {after}, n = {sizes(trained['n'])} seeds; n = 1 of models as they are.")
        differences = rows.filter(pl.col("statistic") == GAIN)["p"].count()
        shown = {name: what for name, what in SAID.items() if name in set(rows["statistic"])}
        shown |= {
            GAIN: f"in points, from the weights that training started from; p holds for {differences} differences"
        }
        said.append(f"Scores: {'; '.join(f'{name}, {what}' for name, what in shown.items())}.")
    else:
        said.append("Models as they are, n = 1.")
    return " ".join(said)


def sizes(counts: pl.Series) -> str:
    low, high = counts.min(), counts.max()
    return str(low) if low == high else f"{low} to {high}"


def of_spread(spread: pl.DataFrame) -> Typeset:
    """The variances as standard deviations: of each benchmark pooled over cells, then of each cell's average."""
    shown = spread.filter((pl.col("model") == POOLED) | (pl.col("metric") == AVERAGE))
    made = [
        [
            *(row[name] for name in ("model", "method", "metric")),
            *(f"{100 * row[name] ** 0.5:.2f}" for name in ("total", "evaluation", "seeds")),
            NONE if row["low"] is None else f"{100 * row['low'] ** 0.5:.2f}–{100 * row['high'] ** 0.5:.2f}",
            f"{100 * row['share']:.0f}%",
            str(row["n"]),
        ]
        for row in shown.rows(named=True)
    ]
    of_cells = sizes(spread.filter(pl.col("model") != POOLED)["n"])
    caption = (
        f"How far the scores of seeds lie apart, n = {of_cells} seeds a cell: standard deviations in points of all, by "
        "chance of the sampled answers (evaluation), and because models differ (seeds); share of seeds: in the "
        f"variance. {POOLED}: roots of the mean variances. What common random numbers do to all models of a cell alike "
        "is no part of it."
    )
    heading = ["model", "trained by", "score", "all", "evaluation", "seeds", INTERVAL, "share of seeds", "n"]
    return Typeset(caption, heading, made, 3)
