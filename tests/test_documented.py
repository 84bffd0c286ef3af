"""Every command of README.md and docs/ is run as it is written there, by bash, in a copy of the repository.

The copy's conf/ makes the work small, and the workers of its sweeps hold the trainer of tests/near_empty.py: what is
tested are the commands.  A command that this file does not know how to run fails the test.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from tests.cli.test_compose import ROWS
from tests.processes import finished, started, wait_for
from tests.test_real_input import qwen2_checkpoint

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/analysis.md",
    "docs/clusters.md",
    "docs/design.md",
    "docs/extending.md",
    "docs/grading.md",
    "docs/sweeps.md",
    "docs/slurm.md",
)
COMMAND = re.compile(r"(?:\$ )?((?:make|\.venv/bin/\S+) .*)")
SMALLER = [  # file of the copy, pattern, replacement
    ("conf/model/tiny.yaml", r"pretrain: \{\}", "pretrain: {steps: 30}"),
    ("conf/model/tiny_weak.yaml", r"steps: \d+", "steps: 20"),
    ("conf/model/tiny_instruct.yaml", r"pretrain:", "pretrain:\n  steps: 30"),
    ("conf/rollout/vllm.yaml", r"engine: vllm", "engine: transformers\nsamples: 4\nmax_model_len: 2048"),
    ("conf/sampling/*.yaml", r"max_new_tokens: \d+", "max_new_tokens: 8"),
    ("conf/benchmark/*.yaml", r"max_new_tokens: \d+", "max_new_tokens: 8"),
    ("conf/benchmark/tiny.yaml", r"limit: \d+", "limit: 1"),
    ("conf/sized/tiny/grid.yaml", r"values: \[0, 1, .*\]", "values: [0, 1]"),
    ("conf/eval/paper.yaml", r"samples: 8", "samples: 2\ndata: problems"),
    ("conf/sweep/*.yaml", r"seeds: \d+", "seeds: 1"),
    ("sweeps/__main__.py", r"trainer: str = TRAINER", 'trainer: str = "tests.near_empty:Trainer"'),
]
PAPER = "eval=paper model=checkpoint model.path=~/models/Qwen2.5-Math-7B model.precision=bf16"
FILLED = [  # what stands for something else in a command; {…} are known once a trial is recorded
    (r"em\.evaluation \.\.\. ", f"em.evaluation {PAPER} "),
    (r"eval\.data=FOLDER", "eval.data=problems"),
    (r"model\.path=FOLDER", "model.path=moved"),
    (r"TRIAL_ID", "{trial}"),
    (r"TRIAL=\.\.\.", "TRIAL={trial}"),
    (r"A=\.\.\. B=\.\.\.", "A={trial} B={base}"),
    (r"make first ARGS=\.\.\.", 'make first ARGS="sweep.seeds=2"'),
    (r"prompts\.path=\.\.\.", "prompts.path=one_shot_prompt.jsonl"),
    (r"sweep-NAME", "sweep-smoke"),
    (r"make paper.*", "make paper ARGS='sweep.union=[lr,models]'"),
]
LAUNCHED = ("make pause", "make resume", "make add", "make first", "make stop")  # talk to a launch that runs
NOT_RUN = {  # pattern: why, and what is run in its place
    r"make (test|test-slow)$": ("would run this test", "make -n {target}"),
    r"make (bench\S*)$": ("takes minutes, and has tests of its own", "make -n {target}"),
    r"make chaos$": ("takes minutes, and has tests of its own", "make -n chaos"),
    r"make notebook": ("opens a browser", "make -n {target}"),
    r"make (findings MODEL=paper)$": ("needs records of large models", "make -n {target}"),
    r"make budget": ("needs answers of several trials", "make -n {target}"),
    r".*eval=budget": (
        "needs answers of a model, and has tests of its own",
        ".venv/bin/python -m sweeps.plan sweep=lr eval=budget store=elsewhere",
    ),
    r"make calibration": ("needs answers of a model", "make -n calibration"),
    r"make cluster-": ("needs a cluster, and has a test of its own", "make -n {target}"),
    r"\.venv/bin/ray (up|dashboard) ": ("needs other machines", "test -f cluster/onprem.yaml"),
    r"make wandb-sync": ("needs W&B", "make -n wandb-sync"),
    r"make wandb-dashboard": ("needs W&B", "make -n wandb-dashboard"),
    r"make sweep-lr MODEL=": ("downloads 15 GB", "make plan SWEEP=lr MODEL=paper ARGS=eval.data=problems"),
    r".* cluster=ray$": ("needs a cluster", ".venv/bin/python -m sweeps sweep=temperature cluster=ray --cfg job"),
    r".* cluster=slurm": (
        "needs Slurm",
        ".venv/bin/python -m sweeps sweep=temperature cluster=slurm cluster.submit=false",
    ),
    r"make test-hosts$": ("needs root, takes minutes, and has tests of its own", "make -n test-hosts"),
    r".* model=qwen2.5-math-7b ": (
        "downloads 15 GB",
        ".venv/bin/python -m sweeps.plan sweep=temperature eval=paper model=qwen2.5-math-7b prompts=jsonl "
        "prompts.path=one_shot_prompt.jsonl",
    ),
    r".*(objective=reinforce|objective=sequence_em|kind: spread)": (
        "needs the file of docs/extending.md: tests/test_seams.py",
        "true",
    ),
}


def commands(page: str) -> list[str]:
    """Of the code blocks and of the table of commands, in their order."""
    text = (ROOT / page).read_text().replace("\\\n", "")
    found = [match[1] for line in text.splitlines() if (match := COMMAND.fullmatch(line.strip(" ")))]
    for row in re.findall(r"^\| (`make .*?) \|", text, re.MULTILINE):
        found += [word if word.startswith("make") else f"make {word}" for word in re.findall(r"`([^`]+)`", row)]
    return [re.sub(r"\s+#.*", "", command).strip() for command in found]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for pattern, old, new in SMALLER:
        for file in folder.glob(pattern):
            file.write_text(re.sub(old, new, file.read_text()))
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    for name in ("pyproject.toml", "cluster/setup.sh", *(str(path) for path in folder.glob("cluster/constraints-*"))):
        os.utime(folder / name, (0, 0))  # .venv is newer than what it is made from
    model = folder / "home" / "models" / "Qwen2.5-Math-7B"
    model.mkdir(parents=True)
    shutil.copytree(qwen2_checkpoint(model), folder / "moved")
    (folder / "problems").mkdir()
    for name, row in ROWS.items():
        (folder / "problems" / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    for name in ("one_shot_prompt", "math500"):
        (folder / f"{name}.jsonl").write_text(json.dumps(ROWS["math500"]) + "\n")
    return folder


@pytest.fixture(scope="module")
def environment(copy: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "XDG", "EM_", "RAY"))}
    own = {"HOME": str(copy / "home"), "PYTHONPATH": str(copy), "NO_COLOR": "1", "PWD": str(copy)}
    return kept | own | {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "ARGS": ""}


def run(command: str, copy: Path, environment: dict[str, str], status: int = 0) -> str:
    return finished(started(["bash", "-c", f"cd {copy} && {command}"], environment), status)


def recorded(copy: Path) -> dict[str, str]:
    """The ids of the trial and of the base model that the store holds."""
    rows = pl.read_parquet(copy / "results" / "records" / "*.parquet").sort(pl.col("steps").list.len())
    return dict(zip(("{base}", "{trial}"), rows["trial_id"], strict=True))


def filled(command: str, ids: Mapping[str, str]) -> str:
    for old, new in FILLED:
        command = re.sub(old, new, command)
    for old, new in ids.items():
        command = command.replace(old, new)
    return command


def test_there_are_as_many_commands_as_we_think():
    assert [len(commands(page)) for page in PAGES] == [89, 6, 12, 0, 6, 0, 24, 8]


def documented() -> list[str]:
    return list(dict.fromkeys(command for page in PAGES for command in commands(page)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_documents(copy, environment):
    run(next(command for command in documented() if "benchmark=jsonl" in command), copy, environment)
    ids = recorded(copy)
    for command in documented():
        instead = next((of[1] for pattern, of in NOT_RUN.items() if re.match(pattern, command)), None)
        if instead is not None:
            run(instead.format(target=command.partition(" ")[2]), copy, environment)
        elif command == "make sweep-temprature":
            said = run(f"{command} 2>&1", copy, environment, status=2)
            assert "error: unknown sweep 'temprature': did you mean 'temperature'?\n" in said
        elif not command.startswith(LAUNCHED):
            run(filled(command, ids), copy, environment)


@pytest.mark.slow
def test_every_command_for_a_running_launch(copy, environment):
    order = {word: place for place, start in enumerate(LAUNCHED) for word in documented() if word.startswith(start)}
    assert sorted(order.values()) == list(range(len(LAUNCHED)))
    launch = started(["bash", "-c", f"cd {copy} && make sweep-grid ARGS=sweep.seeds=1000"], environment)
    try:
        wait_for(lambda: re.search(r"\d of \d+ done", run("make status SWEEP=grid", copy, environment)) is not None)
        for command in sorted(order, key=lambda word: order[word]):
            run(f"{filled(command, {})} SWEEP=grid", copy, environment)
        assert "the same command goes on" in finished(launch, status=2)  # make's
    finally:
        with suppress(ProcessLookupError):
            os.killpg(launch.pid, signal.SIGKILL)
