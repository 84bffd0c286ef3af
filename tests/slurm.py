"""A real Slurm on hosts of their own (tests/hosts.py): slurmctld on h1, slurmd and munged on each."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from em.store import Store
from em.store.provenance import ROOT
from tests.hosts import Host, network, until

COMMANDS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol")
CONFIG = """
ClusterName=em
SlurmctldHost=h1
SlurmUser=root
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=100000
ReturnToService=2
KillWait=10
SlurmdTimeout=15
NodeName=h[1-{count}] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why there is no Slurm to start; empty where there is."""
    missing = [command for command in COMMANDS if not shutil.which(command)]
    return f"no {missing[0]} (Debian: apt install slurmctld slurmd slurm-client munge)" if missing else ""


class Slurm:
    def __init__(self, hosts: list[Host], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, count=len(hosts)))
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        for host in hosts:
            host.run("bash", "-c", "mkdir -p /run/munge /var/spool/slurmctld /var/spool/slurmd /var/log/munge")
            files = "--socket=/run/munge/munge.socket.2 --pid-file=/run/munge.pid --log-file=/var/log/munge.log"
            words = f"munged --foreground --force --key-file={folder}/munge.key --seed-file=/run/munge.seed {files}"
            host.start(*words.split(), log=folder / "munged.log")
        for host in hosts:
            until(lambda host=host: self.answers(host, "munge", "-n"), 10, "munged does not answer")
        hosts[0].start("slurmctld", "-D", log=folder / "slurmctld.out")
        for host in hosts:
            host.start("slurmd", "-D", "-N", host.name, log=folder / "slurmd.out")
        until(lambda: self.say("sinfo", "-h", "-o", "%D %t") == f"{len(hosts)} idle", 30, "nodes are not idle")

    def answers(self, host: Host, *words: str) -> bool:
        return subprocess.run(host.command(*words), capture_output=True, check=False).returncode == 0

    def say(self, *words: str) -> str:
        """What a command of Slurm says on h1, even where it fails."""
        return subprocess.run(self.hosts[0].command(*words), capture_output=True, text=True, check=False).stdout.strip()

    def submit(self, checkout: Path, *words: str) -> str:
        """The job's id."""
        said = self.hosts[0].run("sbatch", "--parsable", *words, at=checkout)
        return said.strip().partition(";")[0]

    def state(self, job: str) -> str:
        return self.field(job, "JobState")

    def field(self, job: str, name: str) -> str:
        words = self.say("scontrol", "show", "job", job).split()
        return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")

    def ray_processes(self) -> list[str]:
        ours = ("ray start", "raylet", "gcs_server", "ray::", "sweeps", "dashboard")
        return [line for host in self.hosts for line in host.processes().values() if any(one in line for one in ours)]


@contextmanager
def slurm(count: int, folder: Path) -> Iterator[Slurm]:
    before = os.environ.get("SLURM_CONF")
    try:
        with network(count, folder) as hosts:
            yield Slurm(hosts, folder)
    finally:
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before


def nodes_of(store: Path) -> list[str]:
    """The node that made each record."""
    records, _ = Store(store).records()
    return records["provenance"].struct.field("node").to_list()


def checkout(folder: Path, seconds: float) -> Path:
    """A copy of the repository whose workers hold the trainer of tests/near_empty.py, each trial of so many seconds."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    main, trainer = folder / "sweeps" / "__main__.py", folder / "tests" / "near_empty.py"
    main.write_text(main.read_text().replace("trainer: str = TRAINER", 'trainer: str = "tests.near_empty:Trainer"'))
    trainer.write_text(trainer.read_text().replace("SECONDS = 0.0", f"SECONDS = {seconds}"))
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder
