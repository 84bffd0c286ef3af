"""The rows of a sweep's table and its components of variance, from scores made by hand."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from analysis import table
from analysis.comparison import no_gain
from analysis.components import best_of
from analysis.seeds import AVERAGE, Headline
from analysis.table import Table, paper, spread
from analysis.table import lines as table_lines
from em.trial.evaluation import Benchmark, Evaluation

EVALUATIONS = [
    Evaluation(benchmark=Benchmark(name=name, suite=name, grader="tiny"), temperature=1.0, top_p=1.0, samples=8, seed=0)
    for name in ("sum", "max")
]
TABLE = Table("mine", ["phase"], Headline(10, EVALUATIONS), EVALUATIONS)
NOISE = 0.01  # variance
SCORES = {"sum": [0.5, 0.75, 0.25, None], "max": [0.25, 0.75, 0.75, None], AVERAGE: [0.375, 0.75, 0.5, None]}
VALIDATION = [0.25, 0.5, 0.75, None]


def cell(called: str = table.ONE, base: float | None = 0.25, noise: float | None = NOISE) -> pl.DataFrame:
    """Four seeds of a cell, the last of which diverged."""
    frames = [
        pl.DataFrame(
            {
                "start": "tiny",
                "called": called,
                "metric": metric,
                "score": scores,
                "variance": [noise] * 4,
                "seed": [0, 1, 2, 3],
                "outcome": ["scored"] * 3 + ["diverged"],
                "validation": VALIDATION,
                "base_score": pl.Series([base] * 4, dtype=pl.Float64),
                "base_variance": pl.Series([noise] * 4, dtype=pl.Float64),
            }
        )
        for metric, scores in SCORES.items()
    ]
    same = {"start_id": "0", "start_step": 0, "step": 10, "last_step": 10, "temperature": 1.0, "environment": "a"}
    return pl.concat(frames).with_columns(**{name: pl.lit(value) for name, value in same.items()})


def scores(rows: pl.DataFrame, statistic: str) -> dict[str, float]:
    return dict(rows.filter(pl.col("statistic") == statistic).select("metric", "score").rows())


def test_each_statistic_is_what_it_is_called() -> None:
    rows = table.rows(TABLE, cell())
    assert scores(rows, table.MEASURED) == {"sum": 0.25, "max": 0.25, AVERAGE: 0.25}
    assert scores(rows, table.MEAN) == pytest.approx({"sum": 0.5, "max": 1.75 / 3, AVERAGE: 1.625 / 3})
    assert scores(rows, table.GAIN) == pytest.approx({"sum": 0.25, "max": 1 / 3, AVERAGE: 0.875 / 3})
    assert scores(rows, table.BEST) == {"sum": 0.75, "max": 0.75, AVERAGE: 0.75}  # seed 1
    assert scores(rows, table.CHOSEN) == {"sum": 0.25, "max": 0.75, AVERAGE: 0.5}  # seed 2
    best = best_of(np.array(SCORES[AVERAGE][:3]), np.full(3, NOISE))
    assert scores(rows, table.CORRECTED) == {AVERAGE: pytest.approx(best.corrected)}
    assert 1.625 / 3 < best.corrected < 0.75
    seeds = dict(rows.filter(pl.col("metric") == AVERAGE).drop_nulls("seed").select("statistic", "seed").rows())
    assert seeds == {table.BEST: 1, table.CORRECTED: 1, table.CHOSEN: 2}
    trained = rows.filter(pl.col("statistic") == table.MEAN)
    assert trained.select("n", "diverged", "failed", "missing").unique().rows() == [(3, 1, 0, 0)]
    low, high = trained.filter(pl.col("metric") == "sum").select("low", "high").row(0)
    assert (low + high) / 2 == pytest.approx(0.5)  # Student's alone, of three: 0.25 is their deviation
    assert high - low == pytest.approx(2 * 4.302653 * 0.25 / 3**0.5, rel=1e-6)


def test_p_is_corrected_for_all_differences_of_the_table() -> None:
    rows = table.rows(TABLE, pl.concat([cell(), cell(table.MANY)]))
    gains = rows.filter(pl.col("statistic") == table.GAIN)
    raw = {
        metric: no_gain(np.array([[of[:3]]], dtype=float), np.array([0.25]), np.array([NOISE]))[0]
        for metric, of in SCORES.items()
    }
    least = min(raw, key=lambda metric: raw[metric])
    assert gains.filter(pl.col("metric") == least)["p"].to_list() == pytest.approx([min(1, 6 * raw[least])] * 2)
    assert rows.filter(pl.col("statistic") == table.MEASURED).height == 3  # once for both


def test_a_seed_is_the_first_of_equal_ones() -> None:
    seeds = cell().with_columns(validation=pl.lit(0.5), score=pl.col("score") * 0 + 0.5)
    rows = table.rows(TABLE, seeds)
    assert rows.drop_nulls("seed")["seed"].unique().to_list() == [0]


def test_what_is_not_measured_is_not_there() -> None:
    rows = table.rows(TABLE, cell(base=None, noise=None).with_columns(validation=pl.lit(None, pl.Float64)))
    assert {*rows["statistic"]} == {table.MEASURED, table.MEAN, table.GAIN, table.BEST}
    assert rows.filter(pl.col("statistic") == table.GAIN).select("score", "p").null_count().row(0) == (3, 3)
    assert rows.filter(pl.col("statistic") == table.MEASURED)["missing"].to_list() == [1, 1, 1]


def test_lines_are_in_per_cent_with_their_n() -> None:
    seeds = cell()
    [made] = table_lines.tables(TABLE, seeds, table.rows(TABLE, seeds))
    assert made.heading == ["model", "trained by", "score", "sum", "max", AVERAGE, "n"]
    lines = {line[2]: line[3:] for line in made.lines}
    assert lines[table.MEASURED] == ["25.0", "25.0", "25.0", "1"]
    assert lines[table.MEAN] == ["50.0", "58.3", "54.2", "3, 1 diverged"]
    assert lines[table.GAIN] == ["+25.0", "+33.3", "+29.2", ""]
    assert lines[table.BEST] == ["75.0", "75.0", "75.0", "seed 1 of 3"]
    assert lines[table.CORRECTED][:2] == ["-", "-"]
    assert "avg@8 at temperature 1" in made.caption
    assert "after step 10, n = 3 seeds" in made.caption
    assert "p holds for 3 differences" in made.caption


def test_the_papers_rows_stand_apart_where_it_measures_others() -> None:
    both = Table("mine", ["phase"], Headline(10, EVALUATIONS), EVALUATIONS, paper=1)
    seeds = cell()
    ours, theirs = table_lines.tables(both, seeds, table.rows(both, seeds))
    assert len(theirs.lines) == 9
    assert theirs.lines[0] == [
        *("OpenReasoner-Zero-7B", "RL", "paper", "79.2", "31.6", "44.0", "47.0", "27.2", "78.3"),
        *("51.1 (their mean is 51.2)", ""),
    ]
    assert theirs.lines[-1][1:3] == [table.ONE, table.PEAK]
    assert paper.SOURCE in theirs.caption
    assert paper.SOURCE not in ours.caption


def test_the_papers_averages_are_the_means_of_its_rows_but_for_one() -> None:
    printed = [paper.printed(number) for number in (1, 2)]
    assert [len(of) for of in printed] == [9, 15]
    assert [
        of["model"].to_list() for of in (each.filter(pl.col(AVERAGE) != pl.col("recomputed")) for each in printed)
    ] == [
        ["OpenReasoner-Zero-7B"],
        [],
    ]


def test_components_are_pooled_as_mean_variances() -> None:
    def scored(called: str, values: Sequence[float]) -> pl.DataFrame:
        only = cell(called).filter(pl.col("metric") == AVERAGE, pl.col("seed") < 3)
        return only.with_columns(score=pl.Series(values))

    made = spread.spread(pl.concat([scored(table.ONE, [0.2, 0.4, 0.6]), scored(table.MANY, [0.5, 0.5, 0.5])]))
    assert made["model"].to_list() == [spread.POOLED, "tiny", "tiny"]
    assert made["total"].to_list() == pytest.approx([0.02, 0.04, 0.0])
    assert made["evaluation"].to_list() == pytest.approx([0.01] * 3)
    assert made["seeds"].to_list() == pytest.approx([0.01, 0.03, 0.0])
    assert made["share"].to_list() == pytest.approx([0.5, 0.75, 0.0])
    assert made["n"].to_list() == [6, 3, 3]
    lines = table_lines.of_spread(made).lines
    assert lines[0] == [spread.POOLED, "", AVERAGE, "14.14", "10.00", "10.00", "-", "50%", "6"]
