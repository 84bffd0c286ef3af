"""One trial, without Ray: train, evaluate, record, print a summary.

    python -m em model=tiny seed=3 rollout.temperature=1.0

Any field of conf/trial.yaml may be given as name=value, any folder of conf/ as choice=file.
"""

import sys
from functools import partial

import polars as pl
import rich.status
from rich.console import Console
from rich.table import Table

from em.checkpoint import checkpoint_folder
from em.compose import compose_trial, run_command
from em.config import Unit
from em.errors import InputError
from em.quiet import quiet_libraries
from em.record import Status
from em.store import Store, missing_units


def main(arguments: list[str]) -> None:
    config = compose_trial(arguments)
    trial = config.trial
    store = Store(config.store)
    console = Console()
    console.print(
        f"trial {trial.id}: {trial.model.label}, seed {trial.seed}, records in {store.records}", soft_wrap=True
    )
    table, damaged = store.table()
    store.set_aside(damaged)
    units = config.units([trial])
    missing = missing_units(units, table)
    if missing:
        run(missing, store, console)
    console.print(summary(store, trial.id, trial.base.id, [unit.id for unit in units]))


def run(units: list[Unit], store: Store, console: Console) -> None:
    """Work through the units in this process."""
    quiet_libraries()
    from em.trainer import Trainer

    checkpoint_folder(units[0].trial.model, show_progress=True)
    with console.status("loading model and engine"):
        trainer = Trainer(units[0].trial.model, units[0].trial.rollout)
    for unit in units:
        name = "base model" if unit.trial.is_base else f"trial {unit.trial.id}"
        recorded = store.record(unit.source) if unit.source else None
        with console.status(name) as status:
            record = trainer.run(unit, on_step=partial(tell, status, name, unit.last_step), recorded=recorded)
        store.commit(record)
        if record.status is Status.failed:
            sys.exit(f"{name} failed; the attempt is kept in {store.failed}:\n{record.error}")
        if record.status is Status.diverged:
            console.print(f"{name} diverged: {record.error}")
    store.flush()
    trainer.close()


def tell(status: rich.status.Status, name: str, last_step: int, step: int) -> None:
    status.update(f"{name}: step {step}/{last_step}")


def summary(store: Store, trial_id: str, base_id: str, asked: list[str]) -> Table:
    """Accuracy of each benchmark, base model and trial side by side; from the records of the units `asked` for first.

    Several records may hold one measurement, of different attempts.
    """
    scores = (
        store.table()[0]
        .lazy()
        .filter(pl.col("trial_id").is_in([trial_id, base_id]))
        .sort(~pl.col("unit_id").is_in(asked), "unit_id")
        .select("trial_id", "evaluations")
        .explode("evaluations")
        .drop_nulls()
        .unnest("evaluations")
        .select("trial_id", "step", "evaluation_id", "benchmark", "temperature", "accuracy")
        .unique(["trial_id", "step", "evaluation_id"], maintain_order=True)
        .collect()
    )
    if scores.is_empty():
        raise InputError(f"store={store.root}: holds no measurement of trial {trial_id}")
    trained = scores.filter(pl.col("trial_id") == trial_id)
    steps = sorted(trained["step"].unique())
    table = Table(title="accuracy, %")
    for heading in ("benchmark", "temperature", "base", *(f"step {step}" for step in steps)):
        table.add_column(heading, justify="left" if heading == "benchmark" else "right")
    columns = [(base_id, 0), *((trial_id, step) for step in steps)]
    for temperature in sorted(scores["temperature"].unique()):
        at = scores.filter(pl.col("temperature") == temperature)
        names = list(dict.fromkeys(at["benchmark"]))
        for name in [*names, "mean"]:
            cells = []
            for owner, step in columns:
                chosen = at.filter((pl.col("trial_id") == owner) & (pl.col("step") == step))
                values = (
                    chosen["accuracy"] if name == "mean" else chosen.filter(pl.col("benchmark") == name)["accuracy"]
                )
                cells.append("-" if values.is_empty() else f"{100 * float(values.mean()):.1f}")  # type: ignore[arg-type]
            table.add_row(name, f"{temperature:g}", *cells, style="bold" if name == "mean" else None)
    return table


if __name__ == "__main__":
    run_command(main, __doc__)
