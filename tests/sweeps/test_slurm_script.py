"""What `cluster=slurm` writes, and what it refuses.  tests/cluster/test_slurm.py runs it on a real Slurm."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from em.errors import InputError
from em.store.provenance import ROOT
from sweeps.config import compose_launch
from sweeps.quote import lanes_of
from sweeps.slurm import script

WORDS = ["sweep=temperature", "cluster=slurm"]
SCRIPTS = [ROOT / "cluster" / "slurm" / "sweep.sbatch", ROOT / "cluster" / "ray.env"]


def written(*words: str) -> list[str]:
    cluster = compose_launch([*WORDS, *words]).cluster
    return script(cluster, cluster.bundle(cluster.gpus_per_node), "mine", ["sweep=temperature", "a='b c'"]).splitlines()


def test_a_script_asks_for_what_the_config_says():
    more = ["cluster.nodes=4", "cluster.partition=gpu", "cluster.time=1-12:00:00", "cluster.memory=256G"]
    lines = written(*more, 'cluster.sbatch=["--signal=B:USR1@600","--exclusive"]')
    assert lines[0] == "#!/bin/bash"
    assert {*lines} >= {
        "#SBATCH --job-name=em-mine",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --cpus-per-task=32",
        "#SBATCH --mem=256G",
        "#SBATCH --time=1-12:00:00",
        "#SBATCH --partition=gpu",
        "#SBATCH --signal=B:USR1@600",
        "#SBATCH --exclusive",
        "#SBATCH --requeue",
        f"#SBATCH --chdir={Path.cwd()}",
        "#SBATCH --output=slurm/mine-%j.log",
    }
    names = [line.partition("=")[0] for line in lines if line.startswith("#SBATCH")]
    assert len(names) == len({*names})
    assert lines[-1] == f"exec bash {SCRIPTS[0]} sweep=temperature 'a='\"'\"'b c'\"'\"''"


def test_lanes_are_those_of_the_whole_job():
    launch = compose_launch([*WORDS, "cluster.nodes=4", "cluster.gpus_per_lane=2"])
    assert lanes_of(launch, 1000) == (16, 2.0)
    assert launch.cluster.cpus_of_node(launch.cluster.bundle(8)) == 16
    assert launch.cluster.lanes_in({"CPU": 16.0, "GPU": 8.0}, 1000) == 16  # the first node alone has joined
    without = compose_launch([*WORDS, "cluster.nodes=2", "cluster.gpus_per_node=0", "cluster.cpus_per_node=16"])
    assert lanes_of(without, 1000) == (8, 0.0)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nodes=0", "cluster.nodes=0: must be 1 or greater"),
        ("gpus_per_node=-1", "cluster.gpus_per_node=-1: must be 0 or greater"),
        ("time=1h", "cluster.time=1h: is no time of Slurm's; give minutes"),
        ("memory=4GB", "cluster.memory=4GB: is no amount of memory; give a number with K, M, G or T"),
        ('partition="a b"', "cluster.partition='a b': is no name of Slurm's"),
        ("sbatch=[qos]", "cluster.sbatch='qos': is no long option of sbatch; give --name or --name=value"),
    ],
)
def test_a_mistake_is_one_line(word, said):
    with pytest.raises(InputError) as raised:
        compose_launch([*WORDS, f"cluster.{word}"])
    assert str(raised.value).startswith(said)


def test_without_sbatch_the_script_is_written_and_the_remedy_told(tmp_path):
    status, said, error = submitted(tmp_path)
    remedy = "slurm/temperature.sbatch is written; on a login node `sbatch slurm/temperature.sbatch` submits it"
    assert (status, error) == (2, f"error: cluster=slurm: there is no sbatch on this machine; {remedy}\n")
    assert "on 8 lanes of 1 GPU" in said
    assert f"store={tmp_path}/store" in (tmp_path / "slurm" / "temperature.sbatch").read_text().splitlines()[-1]
    status, said, error = submitted(tmp_path, "cluster.submit=false")
    assert (status, error) == (0, "")
    assert "slurm/temperature.sbatch is written; `sbatch slurm/temperature.sbatch` submits it" in said


def submitted(folder: Path, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "sweeps", *WORDS, f"store={folder}/store", *words]
    own = {"PATH": str(folder), "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_are_bash(path):
    subprocess.run(["bash", "-n", path], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck (Debian: apt install shellcheck)")
    subprocess.run(["shellcheck", "--shell=bash", "--exclude=SC2034", path], check=True)
