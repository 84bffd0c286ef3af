"""The trials of a cell, as the page opens them: every seed's score and curves, and of a few all that is recorded."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from analysis.answers import answers
from analysis.draw import Drawn, data
from analysis.seeds import AVERAGE, Outcome
from analysis.tables import Tables
from em.errors import InputError
from em.store.record import Status

MOST = 160  # trials of a cell that are listed
ANSWERS = 4  # that are shown of a trial: the first of as many benchmarks
LETTERS = 1_200  # of an answer
COLUMNS = ("status", "steps", "started", "seconds", "node", "environment", "code_version")


def shards(drawn: Drawn, tables: Tables) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each of a figure's cells by name, and its content."""
    named = data(drawn)["seeds"].filter(pl.col("metric") == AVERAGE)
    final = named.sort("step").unique("trial_id", keep="last", maintain_order=True)
    cells = {cell["cell"][0]: cell for cell in final.partition_by("cell", maintain_order=True)}
    listed = {name: few(cell) for name, cell in cells.items()}
    chosen = {name: choices(cell) for name, cell in listed.items()}
    details = known(tables, pl.concat(listed.values())["trial_id"], drawn)
    trials = {trial for of in chosen.values() for trial in of.values()}
    shown = shown_of(tables, final.filter(pl.col("trial_id").is_in(list(trials))), drawn)
    for name, cell in listed.items():
        seeds = cell.select(pl.col("trial_id").cast(pl.String), "seed", "score", pl.col("outcome").cast(pl.String))
        yield (
            name,
            {
                "trials": len(cells[name]),
                "chosen": chosen[name],
                "seeds": [row | details.get(row["trial_id"], {}) for row in seeds.iter_rows(named=True)],
                "shown": {trial: shown[trial] for trial in chosen[name].values()},
            },
        )


def few(cell: pl.DataFrame) -> pl.DataFrame:
    """At most so many of a cell's trials, evenly by score, best, median and worst among them; the lost ones first."""
    ordered = cell.sort("score", descending=True, nulls_last=False, maintain_order=True)
    if len(ordered) <= MOST:
        return ordered
    places = {round(place * (len(ordered) - 1) / (MOST - 1)) for place in range(MOST)}
    return ordered[sorted(places)]


def choices(cell: pl.DataFrame) -> dict[str, str]:
    """The trials that are shown in full, by why."""
    scored = cell.drop_nulls("score")["trial_id"].cast(pl.String).to_list()
    found = {"best": scored[0], "median": scored[len(scored) // 2], "worst": scored[-1]} if scored else {}
    for outcome in (Outcome.diverged.value, Outcome.failed.value):
        lost = cell.filter(pl.col("outcome") == outcome)
        if len(lost):
            found[outcome] = str(lost["trial_id"][0])
    return found


def known(tables: Tables, trial_ids: pl.Series, drawn: Drawn) -> dict[str, dict[str, Any]]:
    """By trial, where it was made, its config, its curves."""
    wanted = trial_ids.unique().to_frame()
    made = tables.trials.join(wanted, on="trial_id", how="semi")
    config = [name for name in made.columns if "." in name]
    losses = curve(tables.steps.join(wanted, on="trial_id", how="semi"), "loss")
    evaluations = [item.id for item in drawn.figure.headline.evaluations]
    scores = tables.scores.join(wanted, on="trial_id", how="semi").filter(pl.col("evaluation_id").is_in(evaluations))
    means = curve(scores.group_by("trial_id", "step").agg(pl.mean("accuracy")), "accuracy")
    found = {}
    for row in made.iter_rows(named=True):
        trial = row["trial_id"]
        found[trial] = {
            "made": {name: row[name] for name in COLUMNS},
            "config": {name: row[name] for name in config if row[name] not in (None, "", "[]")},
            "loss": losses.get(trial, []),
            "accuracy": means.get(trial, []),
        }
    return found


def curve(measured: pl.DataFrame, name: str) -> dict[str, list[tuple[int, float]]]:
    """By trial, (step, value)."""
    finite = measured.filter(pl.col(name).is_finite()).sort("step")
    united = finite.group_by("trial_id").agg("step", pl.col(name).round_sig_figs(4))
    return {trial: list(zip(steps, values, strict=True)) for trial, steps, values in united.iter_rows()}


def shown_of(tables: Tables, trials: pl.DataFrame, drawn: Drawn) -> dict[str, dict[str, Any]]:
    """By trial, why it ended, and its first answers beside the base model's: after the step that its score is of, or
    the last one before that it was measured after."""
    base_of = dict(drawn.seeds.select("trial_id", "base_id").unique().iter_rows())
    ids = [item.id for item in drawn.figure.headline.evaluations]
    scores = tables.scores.filter(pl.col("evaluation_id").is_in(ids))
    own = scores.join(trials.select("trial_id", until="step"), on="trial_id").filter(pl.col("step") <= pl.col("until"))
    own = own.sort("step", maintain_order=True).unique(["trial_id", "evaluation_id"], keep="last", maintain_order=True)
    starts = scores.filter(pl.col("trial_id").is_in([*base_of.values()]), pl.col("step") == 0)
    found = firsts(tables, pl.concat([own.drop("until"), starts]))
    of = {trial: own.filter(pl.col("trial_id") == trial).head(ANSWERS) for trial in trials["trial_id"]}
    return {
        trial: {
            "error": error(tables, trial),
            "answers": [
                {"benchmark": name, "step": step, "sides": [found.get((trial, key)), found.get((base_of[trial], key))]}
                for name, step, key in measured.select("benchmark", "step", "evaluation_id").iter_rows()
            ],
        }
        for trial, measured in of.items()
    }


def firsts(tables: Tables, measured: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """By trial and evaluation, of these measurements the first answer to the first problem, what the grader took from
    it, and its grade."""
    read = answers(tables, measured, ["texts", "extracted", "correct"])
    found = {}
    for trial, *key in measured.select("trial_id", "unit_id", "step", "evaluation_id").iter_rows():
        of = read.get((key[0], key[1], key[2]), {})
        text, extracted, correct = (next(iter(of.get(name) or []), None) for name in ("texts", "extracted", "correct"))
        found[trial, key[2]] = {"text": text and text[:LETTERS], "extracted": extracted, "correct": correct}
    return found


def error(tables: Tables, trial_id: str) -> str | None:
    """The last line of what went wrong."""
    texts = []
    if trial_id in tables.diverged:
        units = tables.records.filter(pl.col("trial_id") == trial_id, pl.col("status") == Status.diverged)["unit_id"]
        texts = [record["error"] for record in tables.store.leaves(units, ["error"])]
    elif trial_id in tables.failed:
        try:
            texts = [attempt.error for attempt in tables.store.failures(trial_id)]
        except InputError as damaged:
            texts = [str(damaged)]
    lines = [text.strip().splitlines()[-1] for text in texts if text]
    return lines[-1] if lines else None
