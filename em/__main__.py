"""One trial, without Ray: train, evaluate, record, print a summary.

python -m em model=tiny seed=3 rollout.temperature=1.0
"""

import polars as pl
from rich.table import Table

from em.cli.command import run_command, terminal
from em.cli.compose import TRIAL, compose_trial
from em.cli.local import run
from em.errors import InputError
from em.store import Store
from em.store.missing import missing_units
from em.trial.unit import Unit


def main(arguments: list[str]) -> None:
    config = compose_trial(arguments)
    trial = config.trial
    store = Store(config.store)
    console = terminal()
    console.print(
        f"trial {trial.id}: {trial.model.label}, seed {trial.seed}, records in {store.where('records')}", soft_wrap=True
    )
    records, damaged = store.records()
    store.set_aside(damaged)
    units = config.units([trial])
    missing = missing_units(units, records)
    if missing:
        run(missing, store, console)
    console.print(summary(store, trial.id, trial.base.id, [unit.id for unit in units]))
    if config.eval.statistics.has_logits:
        console.print(logits(store, units))


def summary(store: Store, trial_id: str, base_id: str, asked: list[str]) -> Table:
    """Accuracy of each benchmark, base model and trial side by side; from the records of the units `asked` for first.

    Several records may hold one measurement, of different attempts.
    """
    scores = (
        store.records()[0]
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
        raise InputError(f"store={store.address}: holds no measurement of trial {trial_id}")
    trained = scores.filter(pl.col("trial_id") == trial_id)
    steps = sorted(trained["step"].unique())
    table = Table(title="accuracy, %")
    for heading in ("benchmark", "temperature", "base", *(f"step {step}" for step in steps)):
        table.add_column(heading, justify="left" if heading == "benchmark" else "right")
    columns = [(base_id, 0), *((trial_id, step) for step in steps)]
    means = scores.group_by("trial_id", "step", "temperature").agg(pl.mean("accuracy"), benchmark=pl.lit("mean"))
    every = pl.concat([scores.drop("evaluation_id"), means.select(scores.drop("evaluation_id").columns)])
    key = ["trial_id", "step", "temperature", "benchmark"]
    shown = {tuple(row): f"{100 * accuracy:.1f}" for *row, accuracy in every.select(*key, "accuracy").iter_rows()}
    for temperature in sorted(scores["temperature"].unique()):
        names = dict.fromkeys(scores.filter(pl.col("temperature") == temperature)["benchmark"])
        for name in [*names, "mean"]:
            cells = [shown.get((*column, temperature, name), "-") for column in columns]
            table.add_row(name, f"{temperature:g}", *cells, style="bold" if name == "mean" else None)
    return table


def logits(store: Store, units: list[Unit]) -> Table:
    """What the distribution of all logits is after each step, benchmark by benchmark; step 0: the base model."""
    table = Table(title="all logits of the answers")
    numbers = {
        "mean": "mean",
        "sigma": "sigma",
        "skewness": "skew",
        "kurtosis": "kurt",
        "minimum": "min",
        "maximum": "max",
    }
    for heading in ("benchmark", "at", "step", *numbers.values()):
        table.add_column(heading, justify="left" if heading == "benchmark" else "right")
    for unit in units:
        wanted = dict.fromkeys(measurement.key for measurement in unit.measurements)
        results = store.evaluations(unit.trial.id, first=unit.id)
        found = {(result.step, result.evaluation_id): result for result in reversed(results)}
        for result in (found[key] for key in wanted if key in found):
            of = next(of for of in result.distributions or [] if of.name == "logits")
            values = (f"{getattr(of, name):.2f}" for name in numbers)
            table.add_row(result.benchmark, f"{result.temperature:g}", str(result.step), *values)
    return table


def command() -> None:
    run_command(main, __doc__, TRIAL)


if __name__ == "__main__":
    command()
