"""Malformed command lines and files by the hundred: each ends right, or with one line that says what to do.

`EM_FUZZ_SEED=7 python -m pytest tests/cli/test_malformed.py` tries others.
"""

import codecs
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from analysis import why
from analysis.show import __main__ as show
from em import rerun
from em.cli.command import run_command
from em.cli.compose import TRIAL, compose_trial
from em.cli.overrides import choices
from em.errors import InputError
from em.evaluation import __main__ as evaluation
from em.evaluation import grade
from em.trial.jsonl import rows
from sweeps import expand, failures, figures, plan, steer
from sweeps.config import LAUNCH, compose_launch

SEED = int(os.environ.get("EM_FUZZ_SEED", "0"))
LINES, FILES, PROCESSES = 350, 150, 10
SECONDS = 60
FIELDS = [
    *("seed", "store", "optimizer.lr", "rollout", "rollout.samples", "rollout.temperature", "rollout.engine"),
    *("eval.steps", "eval.temperatures", "eval.chat", "eval.data", "eval.seed", "benchmarks", "benchmarks.sum"),
    *("benchmarks.sum.limit", "benchmarks.sum.name", "benchmarks.sum.keep", "model.path", "model.pretrain"),
    *("model.pretrain.seed", "model.precision", "prompts.texts", "prompts.path", "prompts.rows", "prompts.template"),
    *(
        "objective.first_token",
        "objective.loss_temperature",
        "hydra.run.dir",
        "hydra/launcher",
        "trial",
        "step",
        "data",
    ),
    *("sweep.name", "sweep.axes", "sweep.figures", "sweep.seeds", "cluster.address", "cluster.lanes"),
    *(
        "tracking.project",
        "tracking.runs",
        "OPTIMIZER.LR",
        "Sweep",
        "nope",
        "",
        "a b",
        "model@x",
        "model@a:b",
        "é",
        "0",
    ),
]
VALUES = [
    *("", "null", "true", "0", "1", "-1", "1.5", "1e400", "nan", "inf", "9" * 30, "abc", "ABC", "[]", "{}", "[1]"),
    *(
        "[[1]]",
        "[null]",
        "[a,1]",
        "{a:1}",
        "{a:{b:[1]}}",
        "1,2",
        "a,b",
        "1,null",
        "[1],[2]",
        "{a:1},{b:2}",
        "range(0,4)",
    ),
    *("range(0,1000000000)", "range(0,1e12)", "range(0,inf)", "range(nan,1)", "range(1,2,0)", "range(0,1,1e-9)"),
    *("range(5,0)", "range(a,b)", "choice()", "choice(1,[2])", "sort(2,1),3", "sort(1,a)", "shuffle(range(0,9))"),
    *("glob(*)", "glob([*],exclude=x)", "interval(0,1)", "tag(a,1)", "int(x)", "nope(1)", "f(", "${seed}", "${nope}"),
    *("${", "'${x}'", "${a${b}}", "~", "~/x", "~nosuchuser/x", "a~b", "a=b", "a#b", "a'b", 'a"b', "'a", "a:b", "a(b"),
    *("a{b", "a b", "é", "日本", "\\", "a\\", "a\nb", "\t", "\ud800", "'\ud800'", "'a\\'b'", "x" * 5000, "/dev/zero"),
    *(
        "/",
        ".",
        "..",
        "a/b",
        "a;b",
        "$x^{2",
        "[" * 40,
        "(" * 200,
        "tiny",
        "TINY",
        "tiny.yaml",
        "../tiny",
        "???",
        "'???'",
    ),
    *("[{field: x}]", "[{field: optimizer.lr, values: [1,a]}]", "[{field: seed, values: [true]}]", "[{kind: nope}]"),
    *("[{field: model, values: [tiny, 1]}]", "[{kind: axis, axes: [x]}]", "[{name: '../x'}]", "[{step: 3}]", "[{}]"),
]
PREFIXES = ["", "", "", "", "", "", "+", "++", "~", "~~", " "]


def line(rng: random.Random) -> list[str]:
    names = [*FIELDS, *choices()] + ["benchmark", "model", "sweep", "preset"] * 2
    words = [f"{rng.choice(PREFIXES)}{rng.choice(names)}={rng.choice(VALUES)}" for _ in range(rng.choice([1, 1, 1, 2]))]
    if rng.random() < 0.08:
        words.append(
            rng.choice(["~model", "~preset", "+", "=", "==", "~", "a", "a/b", "--cfg", "-x", "model", "~seed"])
        )
    if rng.random() < 0.1:
        letters = list(words[0])
        rng.shuffle(letters)
        words[0] = "".join(letters)
    return words


def planned(words: list[str]) -> None:
    """What `python -m sweeps`, `.status`, `.wandb` and `.doctor` do before they do anything."""
    launch = compose_launch(words)
    plan.plan(launch, plan.Store(launch.store))
    figures.check(launch, expand.frame(launch))


def measured(words: list[str]) -> None:
    """`python -m em.evaluation`, on the store of the current folder, which is empty."""
    _, given = evaluation.read_words(words)
    if "trial" in given:
        evaluation.main(words)
    compose_trial(words).measurements([0])


COMMANDS: dict[str, tuple[Callable[[list[str]], object], object]] = {
    "em": (lambda words: compose_trial(words).trial, TRIAL),
    "sweeps": (planned, LAUNCH),
    "sweeps.figures": (figures.main, LAUNCH),
    "sweeps.steer": (lambda words: steer.main(["stop", *words]), None),
    "sweeps.failures": (failures.main, None),
    "em.evaluation": (measured, None),
    "em.evaluation.grade": (grade.main, None),
    "em.rerun": (rerun.main, None),
    "analysis.why": (why.main, None),
    "analysis.show": (show.main, None),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def check(words: list[str], status: object, said: str) -> None:
    assert status in (None, 0, 2), (words, status, said)
    assert "Traceback" not in said, (words, said)
    if status == 2:
        assert said.startswith("error: "), (words, said)
        assert said.count("\n") == 1, (words, said)
        assert len(said) > len("error: ") + 12, (words, said)


@pytest.mark.parametrize("part", range(10))
def test_command_lines(part, monkeypatch, capsys):
    rng = random.Random(f"{SEED}-{part}")
    for _ in range(LINES // 10):
        name = rng.choice(["em", "sweeps", *COMMANDS])
        command, root = COMMANDS[name]
        words = line(rng)
        monkeypatch.setattr("sys.argv", [name, *words])
        status, began = None, time.monotonic()
        try:
            run_command(command, "usage", root)  # pyright: ignore[reportArgumentType]
        except SystemExit as ended:
            status = ended.code
        except Exception as error:
            pytest.fail(f"{name} {words}: {type(error).__name__}: {error}")
        check([name, *words], status, capsys.readouterr().err)
        assert time.monotonic() - began < SECONDS, words


def test_processes(tmp_path):
    rng = random.Random(f"{SEED}-processes")
    modules = ["em", "sweeps.plan", "sweeps.status", "sweeps.steer", "sweeps.failures", "em.rerun", "analysis.why"]
    for _ in range(PROCESSES):
        words = [word.replace("\ud800", "\udcff") for word in line(rng)]
        command = [sys.executable, "-m", rng.choice(modules), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        check(command, done.returncode, done.stderr)


GOOD = {"problem": "1+1?", "answer": "2"}
TEXTS = ["", " ", "1+1?", "\\frac{1}{2}", "é日", "\0", "a\nb", "\ud800", "\ud83d\ude00", "x" * 100_000]
ODD = [
    None,
    True,
    1,
    -0.0,
    [],
    {},
    [1],
    ["a", "b"],
    [None],
    {"a": 1},
    [{"role": "user", "content": "1?"}],
    "NaN",
    10**30,
]


def content(rng: random.Random) -> bytes:
    made = []
    for _ in range(rng.randint(0, 4)):
        row: dict[str, object] = dict(GOOD)
        row[rng.choice(["problem", "answer", "x"])] = rng.choice([*TEXTS, *ODD])
        if rng.random() < 0.1:
            del row["problem"]
        made.append(json.dumps(row, ensure_ascii=rng.random() < 0.5 or "\ud800" in str(row)))
    text = rng.choice(["\n", "\n", "\n", "\r\n", "\n\n", ",\n", " ", "\0"]).join(made)
    if rng.random() < 0.4:
        at = rng.randint(0, len(text))
        odd = [
            "{",
            "}",
            "[",
            '"',
            "NaN",
            "\0",
            "{" * 3000,
            '{"problem": "a", "problem": "b"}',
            "9" * 5000,
            "\ufeff",
            "//",
        ]
        text = text[:at] + rng.choice(odd) + text[at + rng.randint(0, 3) :]
    if rng.random() < 0.1:
        text = f"[{text}]"
    data = text.encode(rng.choice(["utf-8"] * 8 + ["utf-16", "utf-16-le", "utf-32", "latin-1"]), errors="replace")
    wrapped = [gzip.compress(data, mtime=0), codecs.BOM_UTF8 + data, b"PAR1" + data, rng.randbytes(rng.randint(0, 300))]
    return rng.choice(wrapped) if rng.random() < 0.15 else data


def test_files(tmp_path, monkeypatch):
    rng, file = random.Random(f"{SEED}-files"), tmp_path / "a.jsonl"
    right = 0
    for number in range(FILES):
        data = content(rng)
        file.write_bytes(data)
        began = time.monotonic()
        try:
            for row in rows(str(file), "prompts.path"):
                row.question(["problem"])
            right += 1
        except InputError as error:
            said = str(error)
            assert "\n" not in said, data
            assert str(file) in said, (data, said)
            assert len(said) > len(str(file)) + 15, (data, said)
        assert time.monotonic() - began < SECONDS, data
        if number % 10 == 0:  # both ways through the whole composition
            for words in (
                ["prompts=jsonl", f"prompts.path={file}"],
                ["benchmark=jsonl", f"benchmarks.jsonl.path={file}"],
            ):
                with suppress(InputError):
                    compose_trial(words)
    assert 0 < right < FILES
