"""What is handed to Ray's cluster launcher: by its own validation, and by our rules."""

import copy
import stat
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from em.store.provenance import ROOT

Config = dict[str, Any]
TEXT = (ROOT / "cluster" / "onprem.yaml").read_text()
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


def check(config: Config) -> Config:
    """As `ray up` does; raises an error of Ray's, of its command line or of its schema."""
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.fixture
def config() -> Config:
    return yaml.safe_load(TEXT)


def test_ray_takes_it(config):
    prepared = check(config)
    (node,) = prepared["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(config["provider"]["worker_ips"]) == 2


MISTAKES: dict[str, Callable[[Config], object]] = {
    "'file_mount' was unexpected": lambda it: it.update(file_mount=it.pop("file_mounts")),
    "'ray stop' is not of type 'array'": lambda it: it.update(head_start_ray_commands="ray stop"),
    "'soon' is not of type 'number'": lambda it: it.update(idle_timeout_minutes="soon"),
    "'user' was unexpected": lambda it: it["auth"].update(user="em"),
    "'10.0.0.2' is not of type 'array'": lambda it: it["provider"].update(worker_ips="10.0.0.2"),
    "supply a `head_ip`": lambda it: it["provider"].pop("head_ip"),
    "less than the minimum": lambda it: it.update(max_workers=-1),
    "field head_node is not supported": lambda it: it.update(head_node={"image": "x"}),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_is_found(config, said, capsys):
    MISTAKES[said](config)
    with pytest.raises(Exception) as raised:  # noqa: PT011 (Ray's command line raises its own)
        check(config)
    assert said in f"{raised.value} {capsys.readouterr().err}"


def test_ray_asks_for_a_token_wherever_it_is_started(config):
    for name in STARTS:
        (command,) = [command for command in config[name] if "ray start" in command]
        assert " RAY_AUTH_MODE=token " in command
        assert " RAY_USAGE_STATS_ENABLED=0" in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    environments = [config[name][-1].partition("ray start")[0] for name in STARTS]
    assert environments[0] == environments[1]


def test_its_shell_is_well_formed(config):
    commands = [command for name, value in config.items() if name.endswith("commands") for command in value]
    assert len(commands) == 6
    for command in commands:
        subprocess.run(["bash", "-n"], input=command, text=True, check=True)


def test_a_token_is_made_as_it_says_there_and_only_its_user_reads_it(tmp_path, monkeypatch):
    (line,) = [line for line in TEXT.splitlines() if "get-auth-token" in line]
    command = line.strip("# ").partition(")")[0] + ")"
    subprocess.run(["bash", "-c", command], cwd=ROOT, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)
    token = tmp_path / ".ray" / "auth_token"
    assert len(token.read_text()) >= 32
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
