"""Sweeps as jobs of a real Slurm, on three hosts of one machine."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from em.store import Store
from tests import hosts, slurm
from tests.hosts import until
from tests.slurm import Slurm, checkout, nodes_of

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1200)]
WORDS = ["sweep=temperature", "cluster=slurm", "cluster.cpus_per_lane=1", "model.pretrain.steps=30", "sweep.figures=[]"]
SCRIPT = "cluster/slurm/sweep.sbatch"
SEEDS, UNITS = 20, 161  # 8 temperatures and the base model


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    reason = hosts.why_not() or slurm.why_not()
    if reason:
        pytest.skip(reason)
    with slurm.slurm(3, tmp_path_factory.mktemp("slurm")) as running:
        checkout(running.folder / "checkout", seconds=0.4)
        yield running


@pytest.fixture
def store(tmp_path: Path, cluster: Slurm) -> Path:
    return cluster.folder / tmp_path.name


def words(store: Path, seeds: int = SEEDS) -> list[str]:
    return [*WORDS, f"store={store}", f"sweep.seeds={seeds}"]


def recorded(store: Path) -> int:
    return len(list((store / "records").glob("*.parquet")))


def log(cluster: Slurm, job: str) -> str:
    path = Path(cluster.field(job, "StdOut"))
    return path.read_text() if path.is_file() else ""


def ended(cluster: Slurm, job: str) -> None:
    until(lambda: cluster.state(job) not in ("PENDING", "RUNNING", "COMPLETING"), 300, f"{job} has not ended")
    assert cluster.state(job) == "COMPLETED", log(cluster, job)
    nothing_left(cluster)


def nothing_left(cluster: Slurm) -> None:
    until(lambda: not cluster.ray_processes(), 60, "processes are left")
    assert not [path for host in cluster.hosts for path in (host.root / "tmp").glob("ray-*")]


def all_recorded_once(store: Path) -> list[str]:
    """The nodes that made the records."""
    records, damaged = Store(store).records()
    assert not damaged
    assert len(records) == records["unit_id"].n_unique() == UNITS
    assert Store(store).failed_attempts() == {}
    return nodes_of(store)


def test_a_job_of_three_nodes(cluster, store):
    job = cluster.submit(cluster.folder / "checkout", "--nodes=3", "--cpus-per-task=1", SCRIPT, *words(store))
    until(lambda: recorded(store) > 3, 200, "nothing is recorded")
    token = token_of(cluster)
    assert len(token) == 64
    lines = [line for host in cluster.hosts for line in host.processes().values()]
    assert not any(token in line for line in lines)
    ended(cluster, job)
    said = log(cluster, job)
    assert "3 of 3 nodes have joined" in said
    assert token not in said
    assert {*all_recorded_once(store)} == {"h1", "h2", "h3"}


def token_of(cluster: Slurm) -> str:
    pid = next(pid for pid, line in cluster.hosts[1].processes().items() if "ray start" in line)
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(word.partition("=")[2] for word in words if word.startswith("RAY_AUTH_TOKEN="))


def test_a_job_whose_time_is_up_and_that_is_queued_again_goes_on(cluster, store):
    """By `python -m sweeps`, as on a login node."""
    here = cluster.folder / "checkout"
    command = [".venv/bin/python", "-m", "sweeps", *words(store), "cluster.gpus_per_node=0", "cluster.cpus_per_node=2"]
    said = cluster.hosts[0].run(*command, environment={"PYTHONPATH": str(here)}, at=here)
    assert "on 2 lanes without GPU" in said
    job = next(word for word in said.split("job ")[1].split())
    assert f"scancel {job}" in said
    until(lambda: recorded(store) > 2, 200, "nothing is recorded")
    cluster.say("scancel", "--batch", "--signal=USR1", job)
    until(lambda: cluster.field(job, "Restarts") == "1", 120, "is not queued again")
    assert "time is nearly up" in log(cluster, job)
    assert "the same command goes on" in log(cluster, job)
    known = recorded(store)
    assert known < UNITS
    until(lambda: recorded(store) > known, 200, "does not go on")
    cluster.say("scontrol", "requeue", job)
    ended(cluster, job)
    assert cluster.field(job, "Restarts") == "2"
    all_recorded_once(store)


def test_an_array_joins_a_running_sweep_and_scancel_leaves_nothing(cluster, store):
    here = cluster.folder / "checkout"
    jobs = [cluster.submit(here, "--cpus-per-task=2", SCRIPT, *words(store, seeds=100))]
    until(lambda: recorded(store) > 2, 200, "nothing is recorded")
    jobs += [cluster.submit(here, "--array=0-1", "--cpus-per-task=2", SCRIPT, *words(store, seeds=100))]
    until(lambda: len({*nodes_of(store)}) == 3, 200, "the array's tasks do not join")
    cluster.say("scancel", *jobs)
    until(lambda: "RUNNING" not in cluster.say("squeue", "-h", "-o", "%T"), 60, "is not cancelled")
    nothing_left(cluster)
    records, _ = Store(store).records()
    assert len(records) == records["unit_id"].n_unique()
    assert Store(store).failed_attempts() == {}


def test_a_sweep_is_asked_to_stop(cluster, store):
    job = cluster.submit(cluster.folder / "checkout", "--cpus-per-task=1", SCRIPT, *words(store))
    until(lambda: recorded(store) > 2, 200, "nothing is recorded")
    cluster.say("scancel", "--batch", f"--signal={signal.SIGTERM.name.removeprefix('SIG')}", job)
    until(lambda: cluster.state(job) not in ("RUNNING", "COMPLETING"), 120, "does not stop")
    assert cluster.state(job) == "FAILED"
    assert cluster.field(job, "ExitCode") == "130:0"
    assert "the same command goes on" in log(cluster, job)
    nothing_left(cluster)


def test_a_node_loses_power_and_the_job_goes_on(cluster, store):
    """The last of this file: the node stays away."""
    lost = cluster.hosts[2]
    job = cluster.submit(cluster.folder / "checkout", "--nodes=3", "--cpus-per-task=1", SCRIPT, *words(store, 15))
    until(lambda: lost.name in nodes_of(store), 200, "nothing is recorded there")
    lost.cut_power()
    until(lambda: "down" in cluster.say("sinfo", "-h", "-n", lost.name, "-o", "%t"), 120, "is not missed")
    ended(cluster, job)
    assert cluster.field(job, "Restarts") == "0"
    records, _ = Store(store).records()
    assert len(records) == records["unit_id"].n_unique() == 8 * 15 + 1
