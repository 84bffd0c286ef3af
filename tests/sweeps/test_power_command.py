"""`python -m sweeps.power`: pairs, the seeds that they lack, the command that records these, the split of variance."""

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
from sweeps.power import show
from tests.memory import MemoryFiles
from tests.synthetic import fill
from tests.truth import Options, normal

WORDS = ["rollout.temperature=0.1,0.4,0.7", "optimizer.lr=1e-3,1e-2", "sweep.seeds=4", "sweep.name=pairs"]


def truth(trial: Trial, step: int, evaluation: Evaluation) -> float:
    if trial.phase is None:
        return 0.2
    temperature, lr = trial.phase.rollout.temperature, trial.phase.optimizer.lr
    return 0.4 + 0.3 * temperature - 5 * lr + 0.03 * normal("seed", trial.seed, f"{temperature} {lr}")


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

    cells = "compare.cells=[{rollout.temperature: 0.1}, {rollout.temperature: 0.7}]"
    words = [WORDS[0], *WORDS[2:], "eval.samples=1", cells]
    config, store = made(words, tmp_path, Options(fails=applies))
    text, rows = shown(config, store)
    assert rows.select("seeds", "lost").rows() == [(3, 1)]
    assert f"sweep.seeds={rows['needed'][0] + 1}\n" in text
    assert "eval.samples=2" in text


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
