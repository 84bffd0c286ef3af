"""What commands share beside their config: words, help, Hydra's flags."""

import os
import subprocess
import sys
from typing import Any

import pytest
from omegaconf import OmegaConf

from em.cli.command import read_words, run_command
from em.cli.compose import TRIAL
from em.cli.overrides import CONF
from em.errors import InputError
from sweeps.config import LAUNCH

PLAIN_APPLICATION = f"""
import hydra
from hydra.core.config_store import ConfigStore
from em.trial.config import Config
from em.trial.method import method_class

ConfigStore.instance().store(group="objective", name="em", node=method_class("em"))
ConfigStore.instance().store(name="trial_schema", node=Config)

@hydra.main(config_path={str(CONF)!r}, config_name="trial", version_base="1.3")
def app(config):
    raise AssertionError

app()
"""


def output(*command: str, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    assert done.stderr == ""
    return done.stdout


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str, root=TRIAL) -> str:
    """The one line that is said."""
    monkeypatch.setattr("sys.argv", ["em", *words])
    with pytest.raises(SystemExit) as raised:
        run_command(lambda arguments: print(root.compose(root.words(arguments))), "usage", root)
    assert raised.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_words_are_names_and_options():
    assert read_words(["one", "store=a=b", "two"], ["store"]) == (["one", "two"], {"store": "a=b"})
    assert read_words(["+rollout.top_p=1", "store="]) == ([], {"rollout.top_p": "1", "store": ""})
    with pytest.raises(InputError, match="unknown option 'stor': did you mean 'store'"):
        read_words(["stor=a"], ["store", "trial"])


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "job", "model=checkpoint", "objective=reference_code"],
        ["seed=3", "-c", "job", "--package", "rollout", "--resolve"],
        ["--info", "defaults", "eval=paper"],
    ],
    ids=" ".join,
)
def test_flags_print_what_a_plain_hydra_application_prints(words, tmp_path):
    application = tmp_path / "app.py"
    application.write_text(PLAIN_APPLICATION)
    expected = output(sys.executable, str(application), *words)
    assert output(sys.executable, "-m", "em", *words) == expected
    assert len(expected.splitlines()) > 5


def test_a_config_of_several_values_shows_the_axes(monkeypatch, capsys):
    words = ["sweep=smoke", "optimizer.lr=1,2", "--cfg", "job", "-p", "sweep.axes"]
    monkeypatch.setattr("sys.argv", ["em-sweep", *words])
    run_command(lambda _: pytest.fail("ran"), "usage", LAUNCH)
    axes: Any = OmegaConf.to_container(OmegaConf.create(capsys.readouterr().out))
    assert [(axis["field"], axis["values"]) for axis in axes] == [
        ("rollout.temperature", [0.5, 1.0, 1.5]),
        ("optimizer.lr", [1, 2]),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--multirun", "--multirun: not needed, `python -m sweeps` takes several values as they are"),
        ("-m seed=1", "--multirun: not needed"),
        ("--run", "--run: not needed, leave it out"),
        ("--config-dir x", "--config-dir: configs lie in conf/: add a file there"),
        ("-cp x", "--config-path: configs lie in conf/"),
        ("-cn x", "--config-name: a trial is conf/trial.yaml"),
        ("--experimental-rerun x", "`python -m em.rerun UNIT_ID` runs a failed attempt again"),
        ("--resolve", "--resolve: goes with --cfg"),
        ("--cfg all --info defaults", "--cfg --info: one at a time"),
        ("--cfg jobs", "invalid choice: 'jobs'"),
        ("--cgf job", "unrecognized arguments: --cgf"),
        ("--cfg job optimizer.lrr=1", "unknown option 'optimizer.lrr': did you mean 'optimizer.lr'?"),
        ("--cfg job seed=1,2", "seed=1,2: several values are a sweep: python -m sweeps seed=1,2"),
        ("-sc install=bsh", "unknown shell completion 'install=bsh': did you mean 'install=bash'?"),
        ("-h model=tyny", "unknown model 'tyny': did you mean 'tiny'?"),
    ],
)
def test_what_has_no_place_here_says_what_to_do_instead(words, message, monkeypatch, capsys):
    assert message in refused(monkeypatch, capsys, *words.split())


def test_a_command_of_other_words_has_no_flags(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["rerun", "--cfg", "job"])
    with pytest.raises(SystemExit):
        run_command(lambda _: pytest.fail("ran"), "usage")
    assert "here: -h" in capsys.readouterr().err


def test_help_lists_groups_and_fields(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["em", "-h", "model=qwen2.5-math-7b"])
    run_command(lambda _: pytest.fail("ran"), "How to use it.", TRIAL)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "How to use it."
    model = next(at for at, line in enumerate(lines) if line.startswith("  model      checkpoint, llama-3.1-8b, "))
    assert lines[model + 2] == "             tiny, tiny_instruct, tiny_weak  [qwen2.5-math-7b]"
    assert any(line.split()[:2] == ["optimizer.lr", "2e-05"] for line in lines)
    assert not any(line.strip().startswith(("cluster", "sweep")) for line in lines)
    assert max(map(len, lines)) <= 120


def test_help_of_a_launch_lists_its_groups_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["em-sweep", "-h", "optimizer.lr=1,2"])
    run_command(lambda _: pytest.fail("ran"), "How to use it.", LAUNCH)
    printed = capsys.readouterr().out
    for line in (
        "  cluster    kuberay, local, onprem, ray, slurm  [local]",
        "temperature  [command_line]",
        "  sweep.seeds                1 ",
    ):
        assert line in printed


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("em objective=", "objective=dr_grpo objective=em objective=grpo objective=paper objective=reference_code"),
        ("em model=tiny optimizer.l", "optimizer.lr="),
        ("em-sweep optimizer.lr=1,2 sweep.se", "sweep.seeds="),
    ],
)
def test_a_shell_completes_groups_choices_and_fields(line, completed):
    module = "sweeps" if line.startswith("em-sweep") else "em"
    words = [sys.executable, "-m", module, "-sc", "query=bash"]
    assert output(*words, COMP_LINE=line, COMP_POINT=str(len(line))).split() == completed.split()
