"""`python -m sweeps.power`: pairs, the seeds that they lack, the command that records these, the split of variance."""

import math
import shlex
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from analysis import power
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.plan import plan
from sweeps.power import show
from sweeps.search.source import Search
from sweeps.source import settled
from tests.memory import MemoryFiles
from tests.synthetic import fill
from tests.truth import Options, normal

PAIR = "compare.cells=[{rollout.temperature: 0.1}, {rollout.temperature: 0.7}]"
WORDS = ["rollout.temperature=0.1,0.4,0.7", "optimizer.lr=1e-3,1e-2", "sweep.seeds=4", "sweep.name=pairs"]


def truth(trial: Trial, step: int, evaluation: Evaluation) -> float:
    if trial.phase is None:
        return 0.2
    temperature, lr = trial.phase.rollout.temperature, trial.phase.optimizer.lr
    return 0.4 + 0.3 * temperature - 5 * lr + 0.03 * normal("seed", trial.seed, f"{temperature} {lr}")


def found(trial: Trial, step: int, evaluation: Evaluation) -> float:
    """Best at a rate of 1e-5, by far."""
    if trial.phase is None:
        return 0.2
    return 0.8 - 0.2 * abs(math.log10(trial.phase.optimizer.lr) + 5) + 0.01 * normal("seed", trial.id)


def advised(text: str) -> Launch:
    """What the command in this text launches."""
    [line] = [line for line in text.splitlines() if line.startswith("this records them: ")]
    return compose_launch(shlex.split(line.partition(": ")[2])[3:])


def made(words: list[str], folder: Path, options: Options | None = None) -> tuple[Launch, Store]:
    config, store = compose_launch(words), Store(folder, MemoryFiles())
    fill(store, config, truth, options or Options())
    return config, store


def shown(config: Launch, store: Store) -> tuple[str, pl.DataFrame]:
    output = StringIO()
    show(config, store, Console(file=output, width=140))
    return output.getvalue(), pl.read_csv(store.files.read(f"figures/{config.sweep.name}-power.csv"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Launch, Store]:
    return made(WORDS, tmp_path_factory.mktemp("recorded"))


def with_words(recorded: tuple[Launch, Store], *words: str) -> tuple[str, pl.DataFrame]:
    return shown(compose_launch([*WORDS, *words]), recorded[1])


def test_neighbours_on_each_axis_and_what_they_lack(recorded):
    text, rows = with_words(recorded)
    assert rows.select("first", "second").rows() == [
        ("0.1, 1e-3", "0.4, 1e-3"),
        ("0.4, 1e-3", "0.7, 1e-3"),
        ("0.1, 1e-2", "0.4, 1e-2"),
        ("0.4, 1e-2", "0.7, 1e-2"),
        *((f"{temperature}, 1e-3", f"{temperature}, 1e-2") for temperature in (0.1, 0.4, 0.7)),
    ]
    scores = dict(score_by_trial(*recorded))
    first, second = ([scores[trial.id] for trial in cell.trials] for cell in expand.cells(recorded[0])[:3:2])
    differences_S = np.array(second) - np.array(first)
    row = rows.row(0, named=True)
    assert row["difference"] == pytest.approx(differences_S.mean())
    assert row["deviation"] == pytest.approx(differences_S.std(ddof=1))
    assert row["low"] < row["difference"] < row["high"]
    assert row["needed"] == power.seeds_needed(0.02, differences_S)
    assert row["power"] == pytest.approx(power.expected_power(4, 0.02, differences_S))
    words = " ".join([".venv/bin/python -m sweeps", *WORDS[:2], WORDS[3], f"sweep.seeds={rows['needed'].max()}"])
    assert f"this records them: {words}\n" in text
    assert "standard deviation of a cell's mean by its parts, in points, over 6 cells" in text


def score_by_trial(config: Launch, store: Store):
    records = store.records()[0].explode("evaluations").unnest("evaluations").filter(pl.col("step") > 0)
    return records.group_by("trial_id").agg(pl.mean("accuracy")).iter_rows()


def test_all_against_the_best_and_two_that_are_named(recorded):
    rows = with_words(recorded, "compare.pairs=best")[1]
    assert set(rows["second"]) == {"0.7, 1e-3"}
    assert len(rows) == 5
    cells = "[{rollout.temperature: 0.1, optimizer.lr: 1e-3}, {rollout.temperature: 0.7, optimizer.lr: 1e-2}]"
    text, rows = with_words(recorded, f"compare.cells={cells}", "compare.difference=0.2")
    assert rows.select("first", "second").rows() == [("0.1, 1e-3", "0.7, 1e-2")]
    assert "a difference of 20 points with power 0.8" in text
    assert "enough seeds are there" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare.cells=[{rollout.temperature: 0.1}]"], "name two cells, or none for compare.pairs"),
        (
            ["compare.cells=[{rollout.temperature: 0.1}, {optimizer.lr: 1e-3, rollout.temperature: 0.4}]"],
            r"compare.cells=\{'rollout.temperature': 0.1\}: is 2 cells of the sweep; give the values of one",
        ),
        (["compare.power=0.01"], "must lie between compare.error=0.05 and 1"),
        (["compare.difference=0"], "compare.difference=0.0: must be greater than 0"),
    ],
)
def test_mistakes_are_one_line(recorded, words, said):
    with pytest.raises(InputError, match=said):
        with_words(recorded, *words)


def test_lost_seeds_are_asked_for_again_and_one_answer_has_no_split(tmp_path):
    def applies(trial: Trial) -> int:
        return 3 * (trial.seed == 1 and trial.phase is not None and trial.phase.rollout.temperature == 0.1)

    words = [WORDS[0], *WORDS[2:], "eval.samples=1", PAIR]
    config, store = made(words, tmp_path, Options(fails=applies))
    text, rows = shown(config, store)
    assert rows.select("seeds", "lost").rows() == [(3, 1)]
    assert f"sweep.seeds={math.ceil(rows['needed'][0] * 4 / 3)}\n" in text
    assert "eval.samples=2" in text


def test_seeds_are_planned_for_those_that_will_diverge(tmp_path):
    words = [WORDS[0], "sweep.seeds=8", WORDS[3], "eval.samples=1", PAIR]
    config, store = made(words, tmp_path, Options(diverges=lambda trial: 3 * (trial.seed % 2)))
    text, rows = shown(config, store)
    assert rows.select("seeds", "lost").rows() == [(4, 4)]
    assert f"sweep.seeds={2 * rows['needed'][0]}\n" in text


def test_an_axis_of_seeds_keeps_all_that_are_recorded(tmp_path):
    words = [WORDS[0], WORDS[3], "eval.samples=1", "seed=3,5,5000", PAIR]
    config, store = made(words, tmp_path)
    text, rows = shown(config, store)
    asked = advised(text)
    assert {3, 5, 5000} < {*asked.seeds}
    assert len(asked.seeds) == rows["needed"][0]
    assert len(plan(asked, store).todo) == 3 * (rows["needed"][0] - 3)


def test_an_evaluation_that_was_decided_stays_as_it_is(tmp_path):
    words = [
        *WORDS[:1],
        "sweep.seeds=4",
        WORDS[3],
        "eval=budget",
        "eval.pilot_cells=2",
        "eval.pilot_seeds=3",
        "eval.target=0.1",
    ]
    config, store = compose_launch(words), Store(tmp_path, MemoryFiles(), decides=True)
    for _ in range(2):
        fill(store, settled(config, store), truth)
    assert not plan(config, store).todo
    text, rows = shown(settled(compose_launch([*words, "compare.difference=0.01"]), store), store)
    asked = advised(text)
    assert len(asked.seeds) == max(rows["needed"].drop_nulls().to_list()) > 4
    assert {unit.id for unit in expand.units(settled(config, store))} < {unit.id for unit in expand.units(asked)}
    assert len(plan(asked, store).todo) == 3 * (len(asked.seeds) - 4)
    assert "(eval=budget would decide anew for another number of seeds: the words say what it decided)" in text


def test_seeds_that_are_asked_other_problems_are_not_crossed_with_these(tmp_path):
    words = [WORDS[0], "sweep.seeds=3", WORDS[3], "eval.samples=2", "eval.numbers=own"]
    config, store = made([*words, "eval.problems=10"], tmp_path)
    text, _ = shown(config, store)
    assert "the split leaves out cells whose seeds are each asked problems of their own: 3\n" in text
    assert "standard deviation of a cell's mean by its parts" not in text
    assert store.files.read("figures/pairs-variance-split.csv").decode().splitlines()[1:] == []
    fill(store, compose_launch(words), truth)  # which asks all of them, so each seed the same
    text, _ = shown(compose_launch(words), store)
    assert "the split leaves out" not in text
    assert "standard deviation of a cell's mean by its parts, in points, over 3 cells" in text


def test_a_point_that_a_search_left_gets_no_more_seeds(tmp_path):
    words = ["sweep=search", "search=random", "search.points=6", "search.ahead=2", "sweep.seeds=5", "eval.samples=2"]
    config, store = compose_launch(words), Store(tmp_path, MemoryFiles(), decides=True)
    source = Search(config, store)
    while plan(config, store, source).todo:
        fill(store, settled(config, store, source), found)
    pruned = {repr(point.values) for point in source.study.by_number if point.is_pruned}
    assert 0 < len(pruned) < 6
    by_now = settled(compose_launch([*words, "compare.pairs=best"]), store)
    text, rows = shown(by_now, store)
    assert rows.filter("left_out").height == len(pruned)
    assert f"of pairs that lack seeds {len(pruned)} have a point to which the search gives no more" in text
    wanted = rows.filter(~pl.col("left_out"))["needed"].max()
    assert f"sweep.seeds={wanted}\n" in text
    assert "left out" in text
    left = source.composed(next(point.values for point in source.study.by_number if point.is_pruned))
    assert left is not None
    values = [f"{axis}={value!r}" for axis, value in left.values.items()]  # as the advice says
    [cell] = expand.cells(compose_launch([words[0], "search=none", *values, "sweep.seeds=9"]))
    assert {trial.id for trial in left.trials} < {trial.id for trial in cell.trials}


def test_seeds_of_an_axis_and_cells_that_were_stopped(recorded):
    words = [*WORDS[:2], "seed=range(0,4)", "stopping=decided", "sweep.name=pairs"]
    text, rows = shown(compose_launch(words), recorded[1])
    assert f"sweeps {WORDS[0]} {WORDS[1]} sweep.name=pairs 'seed=range(0,{rows['needed'].max()})'\n" in text


def test_a_single_cell_and_a_single_seed_have_nothing_to_compare(recorded):
    alone = compose_launch(["rollout.temperature=0.1", "optimizer.lr=1e-3", "sweep.seeds=4", "sweep.name=pairs"])
    with pytest.raises(InputError, match="has no two cells of one model to compare; give an axis"):
        show(alone, recorded[1], Console(file=StringIO()))
    text, rows = shown(compose_launch([*WORDS[:2], "sweep.seeds=1", WORDS[3]]), recorded[1])
    assert rows["seeds"].to_list() == [1] * 7
    assert rows["needed"].null_count() == 7
    assert "two seeds or more of both cells tell how many it takes" in text
