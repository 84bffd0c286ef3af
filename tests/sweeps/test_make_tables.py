"""Tables of whole sweeps, from stores whose truth is known."""

import dataclasses
import json
import re
import shlex
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from analysis import table
from analysis.seeds import AVERAGE
from analysis.tables import load
from em.errors import InputError
from em.evaluation.graders import GRADERS
from em.store import Store
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial
from sweeps import expand, tables
from sweeps.config import Launch, compose_launch
from sweeps.tables import make_all, not_recorded, observed, table_of
from tests.memory import MemoryFiles
from tests.sweeps.test_paper import ROWS
from tests.synthetic import fill
from tests.trials import phase_of
from tests.truth import Options

SUITES = ["sum", "difference", "product", "max", "bit", "mixed"]
RIGHT = [3, 1, 5]  # of the six benchmarks, by seed
WORDS = ["sweep=baselines", "sweep.seeds=3", "eval.samples=1"]


def score(trial: Trial, step: int, evaluation: Evaluation) -> float:
    """A trained model answers the first benchmarks right; on validation problems seed 1 answers all."""
    if trial.is_base:
        return 0.0
    name = evaluation.benchmark.name
    return float(trial.seed == 1 if name.endswith("validation") else SUITES.index(name) < RIGHT[trial.seed])


def made(config: Launch, options: Options | None = None) -> Store:
    store = Store("none", MemoryFiles())
    fill(store, config, score, options or Options())
    return store


def written(config: Launch, store: Store) -> dict[str, str]:
    """The files of its tables, by name."""
    make_all(config, store, Console(quiet=True))
    return {name: store.files.read(f"figures/{name}").decode() for name in store.files.list("figures")}


def rows(config: Launch, store: Store) -> pl.DataFrame:
    of = table_of(config) or pytest.fail("no table")
    return table.rows(of, observed(of, config, load(store)))


@pytest.fixture(scope="module")
def baselines() -> Launch:
    return compose_launch(WORDS)


def is_third_grpo(trial: Trial) -> bool:
    return phase_of(trial).objective.name == "grpo" and trial.seed == 2


def test_scores_are_the_truth_and_validation_problems_choose(baselines):
    found = rows(baselines, made(baselines)).rows(named=True)
    average = {(row["model"], row["method"], row["statistic"]): row for row in found if row["metric"] == AVERAGE}
    assert [key for key in average if key[2] == table.MEASURED] == [
        (model, table.AS_IT_IS, table.MEASURED) for model in ("tiny_weak", "tiny_instruct", "tiny")
    ]
    for method in ("GRPO", table.ONE):
        values = {key[2]: row["score"] for key, row in average.items() if key[:2] == ("tiny", method)}
        assert values == pytest.approx(
            {table.MEAN: 0.5, table.GAIN: 0.5, table.BEST: 5 / 6, table.CHOSEN: 1 / 6}, abs=1e-12
        )
    assert average["tiny", table.ONE, table.CHOSEN]["seed"] == 1
    assert average["Qwen2.5-Math-7B", table.ONE, table.PEAK]["score"] == 0.511


def test_what_is_missing_is_listed_with_the_command_that_makes_it(baselines):
    store = made(baselines, Options(is_missing=is_third_grpo))
    [(name, number, command)] = not_recorded(baselines, store.records()[0])
    assert (name, number) == ("tiny, GRPO", 1)
    python, *words = shlex.split(command)
    assert (python, words[:2]) == (".venv/bin/python", ["-m", "sweeps"])
    alone = {trial.id for trial in expand.trials(compose_launch(words[2:]))}
    [cell] = [cell for cell in expand.cells(baselines) if cell.values["phase"] == "grpo"]
    assert alone == {trial.id for trial in cell.trials}
    files = written(baselines, store)
    assert f"- tiny, GRPO: 1 not recorded; `{command}`" in files["baselines-table.md"]
    assert f"% tiny, GRPO: 1 not recorded; `{command}`" in files["baselines-table.tex"]
    assert "| GRPO | mean over seeds |" in files["baselines-table.md"]
    assert "| 2, 1 missing |" in files["baselines-table.md"]
    assert "n = 2 to 3 seeds" in files["baselines-table.md"]


def test_seeds_that_diverged_and_failed_are_counted(baselines):
    options = Options(
        diverges=lambda trial: int(trial.seed == 0), fails=lambda trial: 3 * is_third_grpo(trial), samples=2
    )
    files = written(baselines, made(baselines, options))
    assert "| 1, 1 diverged, 1 failed |" in files["baselines-table.md"]
    assert "| 2, 1 diverged |" in files["baselines-table.md"]


def test_grades_of_an_older_grader_are_said(baselines, monkeypatch):
    store = made(baselines)
    assert "older version of the grader" not in written(baselines, store)["baselines-table.md"]
    newer = dataclasses.replace(GRADERS["tiny"], version=GRADERS["tiny"].version + 1)
    monkeypatch.setitem(GRADERS, "tiny", newer)
    assert "grades of an older version of the grader" in written(baselines, store)["baselines-table.md"]


def test_the_same_records_give_the_same_bytes(baselines):
    assert written(baselines, made(baselines)) == written(baselines, made(baselines))


def test_latex_is_balanced_and_escaped(baselines):
    latex = written(baselines, made(baselines))["baselines-table.tex"]
    body = "".join(line for line in latex.splitlines(keepends=True) if not line.startswith("%"))
    plain = re.sub(r"\\[&%$#_{}]", "", body)
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"[%_#]", plain.replace(r"\label{tab:baselines-table}", ""))
    columns = [len(match[1]) for match in re.finditer(r"\\begin\{tabular\}\{(\w+)\}", plain)]
    lines = [line for line in plain.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} == {count - 1 for count in columns}
    for name in ("table*", "tabular"):
        assert plain.count(rf"\begin{{{name}}}") == plain.count(rf"\end{{{name}}}") == 2


def test_the_papers_rows_stand_below_ours_at_its_size(tmp_path: Path):
    for name, row in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    words = [
        "sweep=models",
        "scale=paper",
        f"eval.data={tmp_path}",
        "sweep.seeds=2",
        "model=qwen2.5-math-7b,llama-3.1-8b",
    ]
    config = compose_launch(words)
    store = Store("none", MemoryFiles())
    fill(store, config, lambda trial, step, evaluation: float(step > 0))
    text = written(config, store)["models-table.md"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    paper = ["78.8", "35.3", "39.7", "70.3", "17.4", "65.1", "51.1"]
    [peak] = [place for place, line in enumerate(lines) if line[3:10] == paper]
    block = [line[2] for line in lines[:peak]]
    assert block[-1].startswith("best seed")
    assert lines[peak][2] == table.PEAK
    assert "corrected for the choice" not in text  # greedy answers have no noise that is known
    assert "warning: one answer to each problem" in text
    assert "warning: no validation problems are measured" in text
    assert sum(line[0] == "SimpleRL-Zoo" for line in lines) == 1  # which this sweep does not have


def test_one_seed_has_no_interval_and_no_components():
    config = compose_launch(["sweep=models,baselines", "sweep.seeds=1"])
    store, said = made(config), StringIO()
    make_all(config, store, Console(file=said, width=200))
    files = {name: store.files.read(f"figures/{name}").decode() for name in store.files.list("figures")}
    assert sorted(files) == [
        f"{name}-table.{suffix}" for name in ("baselines", "models") for suffix in ("csv", "md", "tex")
    ]
    assert "|  |  | 95% interval | - | - | - | - | - | - | - |  |" in files["models-table.md"]
    assert "| tiny after GRPO | as it is | measured | 100.0 | 100.0 | 100.0 | 0.0 |" in files["models-table.md"]
    assert [line.split() for line in said.getvalue().splitlines()[-4:-1]][-2:] == [
        ["models", "models-table.md", "-"],
        ["baselines", "baselines-table.md", "-"],
    ]


def test_models_as_they_are_alone_have_no_p():
    config = compose_launch([*WORDS, "phase=none"])
    files = written(config, made(config))
    assert "Models as they are, n = 1." in files["baselines-table.md"]
    assert table.GAIN not in files["baselines-table.md"]


def test_cells_that_rows_would_call_alike_are_refused():
    config = compose_launch(["sweep=smoke", "sweep.axes=[{field: phase, values: [em, reference_code]}]"])
    with pytest.raises(InputError, match="two cells differ in what its rows do not say"):
        table.named(expand.frame(config), expand.trials(config), ["phase"])


def test_a_sweep_without_a_table_says_how_to_name_one():
    store = Store("none", MemoryFiles())
    with pytest.raises(InputError, match=r"sweep lr has no table; sweep\.table\.paper=0 makes one"):
        make_all(compose_launch(["sweep=lr"]), store, Console(quiet=True))
    named = tables.table_of(compose_launch(["sweep=lr", "sweep.table.paper=2"]))
    assert named is not None
    assert (named.paper, named.axes) == (2, ["optimizer.lr"])
    with pytest.raises(InputError, match=r"sweep.table.paper=3: must be 1 or 2, or 0 \(neither\)"):
        compose_launch(["sweep=lr", "sweep.table.paper=3"])
