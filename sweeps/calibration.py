"""How well a sweep's models know what they know, before and after EM: confidence against accuracy.

    python -m sweeps.calibration sweep=temperature eval.statistics=tokens

With the words of the launch, since they say which measurements to read.  The table has the expected calibration error
(ECE) of each cell as the mean over its seeds; step 0 is the base model.  The diagram pools the answers of all trials,
before EM and after the last step, at the first evaluation temperature; its ECE is that of the pooled answers.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from numpy.random import default_rng
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import calibration, load, style
from analysis.calibration import KINDS, MEASUREMENT
from analysis.seeds import Outcome, are_of, observe, tested
from analysis.summary import LOST
from analysis.tables import Tables
from em.cli.command import run_command, terminal
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Statistics
from sweeps import expand
from sweeps.config import LAUNCH, Launch
from sweeps.source import opened

RECORDS_IT = {"tokens": "eval.statistics=tokens", "agreement": "eval.samples=2"}  # or more than that
SHOWN = {"ece": "ECE", "confidence": "confidence", "accuracy": "accuracy"}


def calibrate(config: Launch, store: Store, console: Console) -> list[Path]:
    """Print the table, draw the diagram, save both with their numbers; the files.

    Raises InputError where nothing of the kind is recorded.
    """
    axes, cells = config.sweep.varied, expand.frame(config)
    tables = load(store, expand.trial_ids([config]))
    seeds = observed(config, cells, tables)
    answers = pl.concat([pl.DataFrame(schema=calibration.ANSWERS), *answers_of(config, tables, seeds)])
    measured = calibration.measurements(answers)
    check(config, store, answers, measured)
    notes = warnings(config, axes, seeds, answers)
    kinds = measured.select("temperature", "kind").unique()
    seeds = seeds.drop("metric", "ungraded").join(kinds, "temperature").join(measured, [*MEASUREMENT, "kind"], "left")
    seeds = seeds.sort("temperature", *axes, "step", "kind", "seed", "trial_id")
    numbers = calibration.summarise(seeds, axes, default_rng(0))
    console.print(printed(axes, numbers))
    for note in notes:
        console.print(f"warning: {note}", style="yellow", highlight=False)
    paths = save(config, store, answers, numbers, seeds, notes)
    for path in paths:
        console.print(str(path), soft_wrap=True, highlight=False)
    return paths


def observed(config: Launch, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """One row per (wanted trial, step, evaluation temperature), as of `analysis.seeds.observe`.

    At step 0 these are the base models, each once.
    """
    evaluations, temperatures = tested(config.evaluations), config.eval.temperatures
    steps = [step for step in config.eval.steps if step]
    wanted = [(bases(cells, config.sweep.varied), [0]), (cells, steps)]
    return pl.concat(observe(of, tables, evaluations, after, temperatures) for of, after in wanted)


def bases(cells: pl.DataFrame, axes: list[str]) -> pl.DataFrame:
    """The base models of these cells, as `analysis.seeds.cells` has them.

    A base model has the values that all cells which start from it share, and no seed.
    """
    shared = [pl.when(pl.n_unique(axis) == 1).then(pl.first(axis)).alias(axis) for axis in axes]
    own = cells.group_by("base_id", maintain_order=True).agg(pl.first("model"), *shared)
    own = own.with_columns(
        trial_id="base_id",
        seed=pl.lit(None, cells.schema["seed"]),
        method=pl.lit("", cells.schema["method"]),
        start_id="base_id",
        start_step=pl.lit(0, cells.schema["start_step"]),
        last_step=pl.lit(0, cells.schema["last_step"]),
    )
    return own.select(cells.columns)


def answers_of(config: Launch, tables: Tables, seeds: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The answers of all trials that are measured on all benchmarks, of the attempt that their score is of."""
    complete = seeds.filter(pl.col("outcome") == Outcome.scored.value)
    chosen = tables.scores.filter(are_of(tested(config.evaluations))).join(complete, on=MEASUREMENT, how="semi")
    keys = set(chosen.select("unit_id", "step", "evaluation_id").iter_rows())
    units = chosen["unit_id"].unique().sort().to_list()
    latest = tables.store.latest_grades(units)
    for unit in units:
        record = tables.store.graded(unit, latest)
        for result in record.evaluations:
            if (unit, result.step, result.evaluation_id) in keys:
                yield calibration.answers(record.trial_id, result)


def check(config: Launch, store: Store, answers: pl.DataFrame, measured: pl.DataFrame) -> None:
    asked = f"eval.statistics={config.eval.statistics.value} eval.samples={config.eval.samples}"
    if answers.is_empty():
        remedy = "give the words that the sweep ran with, or run it"
        raise InputError(f"store={store.address}: holds no complete measurement with {asked}; {remedy}")
    if measured.is_empty():
        remedy = f"run the sweep with {' or '.join(RECORDS_IT.values())}, and give the same here"
        raise InputError(f"{asked}: no confidence is recorded of these answers; {remedy}")


def warnings(config: Launch, axes: list[str], seeds: pl.DataFrame, answers: pl.DataFrame) -> list[str]:
    """What a reader should know about how the numbers came about."""
    from analysis import draw

    notes = draw.warnings(axes, seeds)
    if lost := int((seeds["outcome"] != Outcome.scored.value).sum()):
        notes.append(f"{lost} of {len(seeds)} measurements are missing: diverged, failed or not made yet")
    for (temperature,), sampled in answers.sort("temperature").group_by("temperature", maintain_order=True):
        for kind in [kind for kind in KINDS if kind not in calibration.kinds(sampled)]:
            remedy = RECORDS_IT[kind] if temperature or kind == "tokens" else "greedy answers are single"
            notes.append(f"no confidence by {kind} at temperature {temperature:g}: {remedy}")
    if config.eval.statistics is Statistics.logits_of_shortest:
        notes.append("confidence by tokens is of each answer's beginning, as long as the shortest answer")
    return notes


def save(
    config: Launch, store: Store, answers: pl.DataFrame, numbers: pl.DataFrame, seeds: pl.DataFrame, notes: list[str]
) -> list[Path]:
    """Save the diagram, and as CSV what it shows, the table and its seeds."""
    from analysis import charts, draw, reliability

    scored = seeds.drop_nulls("ece")
    temperature = next(at for at in config.eval.temperatures if at in scored["temperature"])
    at_temperature = pl.col("temperature") == temperature
    last = scored.filter(at_temperature)["step"].max()
    trained = scored.filter(at_temperature, step=last)["trial_id"].n_unique() if last else 0
    bins = calibration.diagram(answers.filter(at_temperature, pl.col("step").is_in([0, last])))
    models, asked = seeds["model"].unique(), len(expand.trials(config))
    who = style.line(models[0]) if len(models) == 1 else f"{len(models)} models"
    of = f"{trained} trials" if trained == asked else f"{trained} of {asked} trials"
    pooled = f"answers of all trials and benchmarks pooled, sampled at temperature {temperature:g}"
    subtitle = [pooled, *(f"warning: {note}" for note in notes)]
    title = charts.alt.Title(f"{who} before and after entropy minimisation, {of}", subtitle=subtitle)
    rows = reliability.shown(bins)
    spec = draw.filled(reliability.draw(rows).properties(title=title).to_dict(), {"bins": rows})
    tables = {"": numbers, "-seeds": seeds, "-bins": bins}
    return draw.write(store, f"{config.sweep.name}-calibration", spec, tables)


def printed(axes: list[str], numbers: pl.DataFrame) -> Table:
    """The numbers as the terminal shows them, in per cent."""
    heading = "calibration, %: mean over seeds (95% interval); step 0: the base model"
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=0)
    lost = [name for name in LOST if numbers[name].sum()]
    sampled = ["temperature"] if numbers["temperature"].n_unique() > 1 else []
    at = ["evaluation temperature"] if sampled else []
    for column in (*map(style.label, axes), *at, "step", "trials", *lost, "by", *SHOWN.values()):
        table.add_column(column, justify="right", overflow="fold")
    for row in numbers.iter_rows(named=True):
        values = ("" if row[axis] is None else style.written(axis, row[axis]) for axis in axes)
        counts = (f"{row[name]:g}" for name in (*sampled, "step", "trials", *lost))
        table.add_row(*values, *counts, row["kind"], *(percent(row, name) for name in SHOWN))
    return table


def percent(row: dict[str, float | None], name: str) -> str:
    mean, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if mean is None:
        return "-"
    interval = "" if low is None or high is None else f" ({100 * low:.1f}-{100 * high:.1f})"
    return f"{100 * mean:.1f}{interval}"


def main(arguments: list[str]) -> None:
    config, store = opened(arguments)
    for part in config.sweeps:
        calibrate(part, store, terminal())


if __name__ == "__main__":
    run_command(main, __doc__, LAUNCH)
