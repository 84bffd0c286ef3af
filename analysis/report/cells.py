"""The trials of a cell, as the page opens them: every seed's score and curves, and of a few all that is recorded."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from analysis.answers import Key, answers
from analysis.draw import Drawn, data
from analysis.seeds import AVERAGE, Outcome, are_of
from analysis.tables import Tables
from em.errors import InputError
from em.store.record import Status

MOST = 160  # trials of a cell that are listed
ANSWERS = 4  # that are shown of a trial: the first of as many benchmarks
LETTERS = 1_200  # of an answer
ANSWER = ("texts", "extracted", "correct")
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
    evaluations = drawn.figure.headline.evaluations
    of_base = {item.id: item.of_base.id for item in evaluations}
    scores = tables.scores.filter(are_of(evaluations))
    own = scores.join(trials.select("trial_id", until="step"), on="trial_id").filter(pl.col("step") <= pl.col("until"))
    own = own.sort("step", maintain_order=True).unique(["trial_id", "evaluation_id"], keep="last", maintain_order=True)
    starts = scores.filter(pl.col("trial_id").is_in([*base_of.values()]), pl.col("step") == 0)
    found = firsts(tables, own.drop("until"), starts, base_of, of_base)
    of = {trial: own.filter(pl.col("trial_id") == trial).head(ANSWERS) for trial in trials["trial_id"]}
    return {
        trial: {
            "error": error(tables, trial),
            "answers": [
                {"benchmark": name, "step": step, "sides": found.get((trial, key), [None, None])}
                for name, step, key in measured.select("benchmark", "step", "evaluation_id").iter_rows()
            ],
        }
        for trial, measured in of.items()
    }


def firsts(
    tables: Tables, own: pl.DataFrame, starts: pl.DataFrame, base_of: Mapping[str, str], of_base: Mapping[str, str]
) -> dict[tuple[str, str], list[dict[str, Any] | None]]:
    """By trial and evaluation the first answer to the first problem that the trial was asked, and the base model's to
    the same: text, what the grader took from it, its grade."""
    read = answers(tables, pl.concat([own, starts]), ["asked", *ANSWER])
    columns = ("trial_id", "evaluation_id", "samples", "unit_id", "step")
    bases = {
        (trial, of): (samples, (unit, step, of)) for trial, of, samples, unit, step in starts.select(columns).rows()
    }
    found = {}
    for trial, of, _, unit, step in own.select(columns).iter_rows():
        key: Key = (unit, step, of)
        first = next(iter(read.get(key, {}).get("asked") or [0]))
        known = bases.get((base_of[trial], of_base[of]))
        base = answer(read.get(known[1], {}), first * known[0]) if known else None
        found[trial, of] = [answer(read.get(key, {}), 0), base]
    return found


def answer(of: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One of a measurement's answers."""
    text, extracted, correct = (next(iter((of.get(name) or [])[place:]), None) for name in ANSWER)
    return {"text": text and text[:LETTERS], "extracted": extracted, "correct": correct}


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
