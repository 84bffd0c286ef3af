"""The paper's sweeps: how many trials each is, at both sizes, and what they have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from em.cli.overrides import CONF
from sweeps import expand, figures
from sweeps.config import Launch, compose_launch
from sweeps.plan import overlaps, trained

SEEDS = 16
CELLS = {  # of each sweep, at a laptop's size and at the paper's
    "temperature": (8, 12),
    "lr": (7, 7),
    "steps": (1, 1),
    "eval-temperature": (2, 2),
    "em-rl": (4, 4),
    "models": (8, 10),
    "shots": (2, 2),
    "logits": (3, 3),
    "baselines": (2, 1),
    "grid": (840, 840),
}
AS_THEY_ARE = (3, 6)  # models that baselines measures beside its trials
TRIALS = (13_584, 13_632)  # of all of them together
ROWS = {  # of a benchmark: one that its grader takes
    "math500": {"problem": "1+1?", "answer": "2"},
    "minerva_math": {"problem": "1+1?", "solution": "\\boxed{2}"},
    "olympiadbench": {"question": "1+1?", "final_answer": ["2"], "is_multiple_answer": False, "unit": None},
    "amc23": {"question": "1+1?", "problem": "1+1?", "answer": "2"},
    "kk": {"quiz": "Who?", "solution_text_format": "(1) Ada is a knight\n(2) Bob is a knave"},
    "mbpp": {"task_id": 11, "text": "Add.", "code": "", "test_list": ["assert add(1, 1) == 2"], "test_setup_code": ""},
}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """The words of both sizes; the paper's has a problem of each benchmark."""
    folder = tmp_path_factory.mktemp("data")
    for name, row in ROWS.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    return [], ["scale=paper", f"eval.data={folder}"]


@pytest.fixture(scope="module")
def paper(sizes: tuple[list[str], list[str]]) -> tuple[Launch, Launch]:
    tiny, real = (compose_launch(["sweep=paper", *words]) for words in sizes)
    return tiny, real


@pytest.mark.parametrize("size", [0, 1])
def test_every_sweep_has_as_many_trials_as_it_should(paper, size):
    counts = {part.sweep.name: len(trained(part)) for part in paper[size].sweeps}
    assert counts == {name: cells[size] * SEEDS for name, cells in CELLS.items()}
    assert counts["grid"] == 13_440
    bases = {part.sweep.name: len(expand.trials(part)) - len(trained(part)) for part in paper[size].sweeps}
    assert bases == {name: AS_THEY_ARE[size] if name == "baselines" else 0 for name in CELLS}
    union = {trial.id for part in paper[size].sweeps for trial in trained(part)}
    assert len(union) == TRIALS[size]
    wanted = expand.units(paper[size])
    assert len({unit.trial.id for unit in wanted if not unit.trial.is_base}) == TRIALS[size]
    assert len({unit.trial.id for unit in wanted}) == len(wanted)


def test_the_union_is_what_the_documentation_says(paper):
    page = (CONF.parent / "docs" / "sweeps.md").read_text()
    for launch, count in zip(paper, TRIALS, strict=True):
        assert f"{count:,} trials" in page
        for line in overlaps(launch)[1:]:
            assert line.strip() in page
    for name, cells in CELLS.items():
        more = [f", and {bases} base models" if name == "baselines" else "" for bases in AS_THEY_ARE]
        tiny, real = (f"{cells[size] * SEEDS:,}{more[size]}" for size in (0, 1))
        assert f"| `{name}` | {tiny} | {real} |" in page


def test_another_value_on_an_axis_of_the_grid_adds_only_its_own_trials(sizes):
    grid = compose_launch(["sweep=grid"])
    known = {trial.id for trial in expand.trials(grid)}
    rates = "optimizer.lr=5e-5,1e-4,2.5e-4,5e-4,1e-3,2.5e-3,5e-3,1e-2"
    more = {trial.id for trial in expand.trials(compose_launch(["sweep=grid", rates]))}
    assert len(more - known) == 12 * 10 * 16
    assert known < more


def test_seed_0_of_every_cell_of_every_sweep_comes_before_seed_1_of_any(paper):
    turns = [unit.turn for unit in expand.units(paper[0])]
    assert turns == sorted(turns)
    seed_0 = {cell.trials[0].id for part in paper[0].sweeps for cell in expand.cells(part)}
    assert {unit.trial.id for unit in expand.units(paper[0]) if unit.turn == 0} >= seed_0


def test_every_figure_of_every_sweep_can_show_it(paper):
    for launch in paper:
        figures.check_all(launch)


def test_every_model_file_composes_and_every_base_model_of_the_tables_has_one(sizes):
    parts = {part.sweep.name: part for part in compose_launch(["sweep=models,baselines", *sizes[1]]).sweeps}
    labels = {trial.model.path for part in parts.values() for trial in expand.trials(part)}
    assert len(labels) == 5 + 6 - 2  # the base model and SimpleRL-Zoo are in both
    assert all(trial.model.parameters > 1 for part in parts.values() for trial in expand.trials(part))
    as_they_are = [unit.trial.model.path for unit in expand.units(parts["baselines"]) if unit.trial.is_base]
    assert len(as_they_are) == len({*as_they_are}) == AS_THEY_ARE[1]


def test_a_sweep_at_the_papers_size_trains_as_the_paper_does(paper):
    (steps,) = [part for part in paper[1].sweeps if part.sweep.name == "steps"]
    phase = expand.trials(steps)[0].phase
    assert phase is not None
    assert (phase.rollout.samples, phase.rollout.temperature, phase.optimizer.lr) == (64, 0.5, 2e-5)
    assert phase.prompts.texts[0].startswith("The pressure \\( P \\) exerted by wind on a sail")
    assert steps.eval.steps == [*range(21), 25, 30, 35, 40, 45, 50]
    assert [benchmark.name for benchmark in steps.benchmarks.values()] == list(ROWS)


def test_each_training_prompt_of_the_grid_is_another_one(paper):
    for launch in paper:
        (grid,) = [part for part in launch.sweeps if part.sweep.name == "grid"]
        prompts = {json.dumps(trial.identity()["prompts"], sort_keys=True) for trial in expand.trials(grid)}
        assert len(prompts) == 10


def test_planning_at_the_papers_size_without_problems_says_what_to_do(tmp_path: Path):
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "sweeps.plan", "sweep=lr", "scale=paper"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    assert done.returncode == 2
    assert done.stderr.startswith("error: benchmarks.")
    assert "eval.data=" in done.stderr
    assert done.stderr.count("\n") == 1
