"""Seeds that stop where a cell is decided: from synthetic stores, and launched with a trial that always fails."""

import os
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from analysis.sequential import Verdict
from em.store import Store
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.figures import draw_all
from sweeps.plan import describe, plan, quoted
from sweeps.source import settled, source_of
from sweeps.standing import Observer
from sweeps.status import cells, head
from sweeps.wandb import view
from tests.memory import MemoryFiles
from tests.processes import finished, started
from tests.synthetic import Unsynced, fill
from tests.truth import Options, normal

BEST, WORST = 0.7, 0.1
WORDS = ["rollout.temperature=0.1,0.4,0.69,0.7", "sweep.seeds=12", "sweep.name=race", "eval.samples=8"]
DECIDED = [*WORDS, "stopping=decided", "stopping.margin=0.05", "stopping.error=0.025", "stopping.round=2"]


def truth(trial: Trial, step: int, evaluation: Evaluation) -> float:
    """Best at 0.7, and nearly as good at 0.69; two points between seeds."""
    if trial.phase is None:
        return 0.2
    temperature = trial.phase.rollout.temperature
    return 0.8 - abs(temperature - BEST) + 0.02 * normal("seed", trial.seed)


def temperature_of(trial: Trial) -> float:
    return trial.phase.rollout.temperature if trial.phase else 0.0


def made(words: list[str], score=truth, options: Options | None = None) -> tuple[Launch, Store]:
    config, store = compose_launch(words), Store("none", MemoryFiles())
    fill(store, config, score, options or Options())
    return config, store


def stands(config: Launch, store: Store) -> dict[object, tuple[int, str]]:
    """Seeds and verdict of each cell, by temperature."""
    of = expand.cells(settled(config, store))
    return {cell.values["rollout.temperature"]: (len(cell.trials), cell.verdict) for cell in of}


@pytest.fixture(scope="module")
def race() -> tuple[Launch, Store]:
    return made(DECIDED)


def test_cells_stop_where_they_are_decided(race):
    found = stands(*race)
    assert found[WORST][1] == found[0.4][1] == Verdict.worse.value
    assert {found[0.69][1], found[BEST][1]} == {Verdict.leads.value, Verdict.alike.value}
    assert all(4 <= seeds < 12 for seeds, _ in found.values())
    assert found[WORST][0] <= found[0.69][0]


def test_a_cell_that_diverges_every_second_time_does_not_lead():
    """A seed that diverged counts as one that knows nothing, not as if it had not been."""
    options = Options(diverges=lambda trial: 3 * (temperature_of(trial) == BEST and trial.seed % 2 == 1))
    found = stands(*made(DECIDED, options=options))
    assert found[0.69][1] != Verdict.worse.value
    assert found[BEST][1] != Verdict.leads.value
    assert stands(*made(DECIDED))[BEST][1] == Verdict.leads.value


def test_without_a_rule_nothing_stops(race):
    config = compose_launch(WORDS)
    assert settled(config, race[1]) is config


def test_a_launch_would_have_wanted_just_that(race):
    """Round by round, from an empty store: what is wanted by each round's records ends where the whole store says."""
    config, whole = race
    store = Store("none", MemoryFiles())
    records, rounds = whole.records()[0], 0
    while todo := plan(config, store).todo:
        for unit in todo:
            store.files.create_once(f"records/{unit.id}.parquet", whole.files.read(f"records/{unit.id}.parquet"))
        rounds += 1
    assert stands(config, store) == stands(config, whole)
    assert 1 < rounds < 6
    assert len(store.records()[0]) == 1 + sum(seeds for seeds, _ in stands(config, store).values()) < len(records)


def test_words_quote_status_and_figure_are_of_what_is_wanted(race, tmp_path):
    config, whole = race
    by_now, empty = settled(config, whole), Store(tmp_path)
    counts = [len(cell.trials) for cell in expand.cells(by_now)]
    said = describe(by_now, plan(config, whole), whole)
    assert (
        f"sweep race: {sum(counts)} trials (4 cells of rollout.temperature x {min(counts)} to {max(counts)} seeds); "
        in said
    )
    assert "cells: 2 worse, 1 " in said
    assert f"recorded {1 + sum(counts)} of {1 + sum(counts)} units of work" in said
    first = describe(settled(config, empty), plan(config, empty), empty)
    assert "race: 16 trials (4 rollout.temperature x 4 seeds); cells: 4 undecided" in first
    quote = quoted(config, plan(config, empty), empty, source_of(config, empty))
    assert quote[0].startswith("quote: at most ")
    assert "  to do: 48 trials, 1 base models" in "\n".join(quote)
    assert quoted(config, plan(config, whole), whole, source_of(config, whole)) == ["quote: nothing is left to do"]
    store = Store(tmp_path, Unsynced(tmp_path))
    fill(store, config, truth)
    console = Console(record=True, width=160, file=StringIO())
    draw_all(settled(config, store), store, console)
    rows = pl.read_csv(tmp_path / "figures" / "race.csv").filter(pl.col("metric") == "average")
    assert dict(rows.select("rollout.temperature", "n").iter_rows()) == {
        key: of[0] for key, of in stands(*race).items()
    }
    assert rows["missing"].sum() == 0
    sweep = Observer(compose_launch([*DECIDED, f"store={tmp_path}"]))
    now = sweep.look()
    console.print(head(sweep, now), cells(sweep, now))
    text = console.export_text()
    assert "100.0%" in text
    assert f"{min(counts)}/{min(counts)}" in text


def test_a_run_of_wandb_is_of_a_cell_that_gets_no_more_seeds(race):
    """Round after round each would else be another version."""
    config, whole = race
    store = Store("none", MemoryFiles())
    for unit in plan(config, store).todo:
        store.files.create_once(f"records/{unit.id}.parquet", whole.files.read(f"records/{unit.id}.parquet"))
    for held, cells_done in ((store, [WORST, 0.4]), (whole, [WORST, 0.4, 0.69, BEST])):
        by_now = settled(config, held)
        now = view.look(by_now, held, view.cells(by_now), expand.units(by_now))
        assert [cell.axes["rollout.temperature"] for cell in now.done.values()] == cells_done


def test_seeds_that_are_given_up_or_diverged_hold_up_nothing():
    def of_worst(seed: int):
        def applies(trial: Trial) -> int:
            return 3 * (trial.seed == seed and trial.phase is not None and trial.phase.rollout.temperature == WORST)

        return applies

    config, store = made(DECIDED, options=Options(fails=of_worst(1), diverges=of_worst(2)))
    found = stands(config, store)
    assert found[WORST][1] == Verdict.worse.value
    assert len(plan(config, store).given_up) == 1
    assert plan(config, store).todo == []
    once = compose_launch([*DECIDED, "sweep.max_attempts=4"])  # tried again: the first round waits for it
    assert stands(once, store)[WORST] == (4, Verdict.undecided.value)
    assert [unit.trial.seed for unit in plan(once, store).todo] == [1]


class Failing(MemoryFiles):
    """Who lists the failed attempts finds one more than who did before."""

    shown = 2

    def list(self, folder: str) -> list[str]:
        names = super().list(folder)
        if folder == "failed":
            names, self.shown = names[: self.shown], self.shown + 1
        return names


def test_a_seed_that_is_given_up_while_it_is_planned_does_not_end_the_sweep():
    """A round that waits for it is not over for what is left to do either."""
    config, store = compose_launch(DECIDED), Store("none", Failing())

    def fails(trial: Trial) -> int:
        return config.sweep.max_attempts * (temperature_of(trial) == WORST and trial.seed == 1)

    fill(store, config, truth, Options(fails=fails, is_missing=lambda trial: trial.seed > 3))
    assert plan(config, store).todo


def test_validation_problems_decide_where_some_are_measured():
    def turned(trial: Trial, step: int, evaluation: Evaluation) -> float:
        score = truth(trial, step, evaluation)
        return 1 - score if evaluation.benchmark.split == "validation" else score

    config, store = made([*DECIDED, "benchmark=[tiny,validation]"], turned)
    found = stands(config, store)
    assert found[BEST][1] == Verdict.worse.value
    assert found[WORST][1] == Verdict.leads.value


def test_each_base_model_has_a_best_cell_of_its_own():
    words = [*DECIDED[1:], "rollout.temperature=0.1,0.7", "model.pretrain.seed=20,21"]

    def apart(trial: Trial, step: int, evaluation: Evaluation) -> float:
        assert trial.model.pretrain is not None
        return truth(trial, step, evaluation) - 0.15 * (trial.model.pretrain.seed == 21)

    config, store = made(words, apart)
    shown = expand.cells(settled(config, store))
    found = {(cell.values["model.pretrain.seed"], cell.values["rollout.temperature"]): cell.verdict for cell in shown}
    assert {key: found[key, temperature] for key, temperature in [(20, BEST), (21, BEST)]} == dict.fromkeys(
        (20, 21), "leads"
    )
    assert found[20, WORST] == found[21, WORST] == Verdict.worse.value


def test_the_sweeps_of_a_union_are_decided_each_by_itself():
    words = ["sweep=smoke,temperature", "sweep.seeds=8", "stopping=decided"]
    store = Store("none", MemoryFiles())
    for part in compose_launch(words).parts:
        fill(store, part, truth)
    config = settled(compose_launch(words), store)
    assert [len(expand.cells(part)) for part in config.parts] == [3, 8]
    assert all(Verdict.leads.value in {cell.verdict for cell in expand.cells(part)} for part in config.parts)
    units = plan(compose_launch(words), store).wanted
    assert len(units) < 1 + 8 * 11
    assert {unit.id for unit in units} == {unit.id for unit in expand.units(config)}


@pytest.mark.slow
def test_a_launch_gives_up_a_seed_and_decides_all_the_same(tmp_path: Path):
    """Through queue, lanes and workers: rounds follow each other, and launched again nothing is left."""
    words = ["rollout.temperature=0.1,0.2,0.9,1.0", "sweep.seeds=10", "stopping=decided", "sweep.figures=[]"]
    words += ["cluster.lanes=2", f"store={tmp_path}", "tracking=quiet"]
    command = [sys.executable, "-m", "tests.sweep", "tests.racing:Trainer", *words]
    said = finished(started(command, dict(os.environ)), status=1)
    assert "1 trials failed too often and were given up" in said
    found = stands(compose_launch(words), Store(tmp_path))
    assert found[0.1][1] == found[0.2][1] == Verdict.worse.value
    assert max(seeds for seeds, _ in found.values()) < 10 or Counter(of for _, of in found.values())["undecided"]
    records = Store(tmp_path).records()[0]
    assert len(records) == sum(seeds for seeds, _ in found.values())  # one is lost, one is the base model
    again = finished(started(command, dict(os.environ)), status=1)
    assert f"recorded {len(records)} of {len(records) + 1} units of work" in again
