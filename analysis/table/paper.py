"""The numbers of Gao et al., 2025, arXiv 2505.20282, Tables 1 and 2, as they are printed (paper_tables.csv)."""

from pathlib import Path

import polars as pl

from analysis.seeds import AVERAGE

SOURCE = "Gao et al., 2025, arXiv 2505.20282"
FILE = Path(__file__).with_name("paper_tables.csv")
BENCHMARKS = {
    "MATH500": "math500",
    "Minerva": "minerva_math",
    "OlympiadBench": "olympiadbench",
    "AMC23": "amc23",
    "KK": "kk",
    "MBPP": "mbpp",
}
DIGITS = 3  # of a share: the paper prints per cent with one


def printed(table: int) -> pl.DataFrame:
    """One row per row of the paper's table, in its order: model, method, each benchmark by our name, average.

    Scores are shares.  `recomputed` is the mean of the row's benchmarks, rounded as the paper rounds.
    """
    names = [*BENCHMARKS.values(), AVERAGE]
    whole = pl.read_csv(FILE, comment_prefix="#", null_values="NA").rename(BENCHMARKS).filter(pl.col("table") == table)
    mean = pl.mean_horizontal(list(BENCHMARKS.values())) / 100
    return whole.select(
        "model",
        "method",
        *(pl.col(name).truediv(100).round(DIGITS) for name in names),
        recomputed=(mean + 1e-9).round(DIGITS),  # 0.4475 is not 0.4474999
    )
