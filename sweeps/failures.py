"""What went wrong, grouped by cause, each with the command that runs one such trial again, alone.

python -m sweeps.failures store=results
"""

from collections.abc import Sequence

import polars as pl

from em.cli.command import run_command, terminal
from em.store import Store
from sweeps.config import compose_launch
from sweeps.protocol import cause, last_line

COLUMNS = ("unit_id", "trial_id", "error", "started", "node", "cause")


def attempts(store: Store) -> pl.DataFrame:
    """One row for each failed attempt, with its cause and whether its unit has been recorded since."""
    rows = [
        (it.unit_id, it.trial_id, it.error, it.provenance.started, it.provenance.node, cause(it.error or ""))
        for it in store.failures()
    ]
    frame = pl.DataFrame(rows, dict.fromkeys(COLUMNS, pl.String), orient="row")
    return frame.with_columns(mended=pl.col("unit_id").is_in(list(store.recorded_units()))).sort("started")


def describe(store: Store, failed: pl.DataFrame, words: Sequence[str] = ()) -> str:
    """The causes, the most frequent first, each with an example."""
    if failed.is_empty():
        return f"no failed attempts in {store.where('failed')}"
    blocks = [
        f"{len(failed)} failed attempts at {failed['unit_id'].n_unique()} units of work in {store.where('failed')}"
    ]
    groups = failed.group_by("cause").agg(
        pl.len(),
        units=pl.col("unit_id").n_unique(),
        mended=pl.col("unit_id").filter("mended").n_unique(),
        nodes=pl.col("node").unique().sort(),
        first=pl.col("started").min(),
        last=pl.col("started").max(),
    )
    for group in groups.sort("len", "cause", descending=[True, False]).iter_rows(named=True):
        of = failed.filter(pl.col("cause") == group["cause"])
        example = of.filter(~pl.col("mended")).tail(1) if group["mended"] < group["units"] else of.tail(1)
        since = f", {group['mended']} of them recorded since" if group["mended"] else ""
        nodes = ", ".join(group["nodes"][:4]) + (" ..." if len(group["nodes"]) > 4 else "")
        blocks.append(
            f"{group['len']} x {last_line(example['error'][0])}\n"
            f"    {group['units']} units{since}, on {nodes}, {group['first'][:19]} to {group['last'][:19]} UTC\n"
            f"    again, alone: {' '.join(['.venv/bin/python -m em.rerun', example['unit_id'][0], *words])}"
        )
    return "\n\n".join(blocks)


def main(arguments: list[str]) -> None:
    config = compose_launch(arguments)
    store = Store(config.store)
    words = [f"store={config.store}"] if config.store != "results" else []
    terminal(soft_wrap=True).print(describe(store, attempts(store), words), highlight=False, markup=False)


if __name__ == "__main__":
    run_command(main, __doc__)
