"""A sweep as a Slurm job: writes the batch script and submits it.  What the job does is cluster/slurm/sweep.sbatch."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from pathlib import Path

from em.errors import InputError, require
from em.store.provenance import ROOT

BODY = ROOT / "cluster" / "slurm" / "sweep.sbatch"
FOLDER = Path("slurm")  # of scripts and logs, below the working folder, which all nodes see
TIME = re.compile(r"(\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2})?", re.ASCII)
MEMORY = re.compile(r"(\d+[KMGT]?)?", re.ASCII)
OPTION = re.compile(r"^(?:#SBATCH )?--([a-z-]+)(?:=(.*))?$", re.ASCII | re.MULTILINE)  # its name and value
NAME = re.compile(r"[\w.,@+-]*", re.ASCII)


class Scheduler(Enum):
    """Who starts a launch."""

    none = "none"  # whoever gives the command
    slurm = "slurm"  # Slurm, unless the launch is in a job already and has `cluster.address`


@dataclass(kw_only=True)
class Job:
    """What is asked of a scheduler: fields of `cluster`."""

    scheduler: Scheduler = Scheduler.none
    submit: bool = True  # false: the script is written only
    nodes: int = 1
    gpus_per_node: int = 0
    cpus_per_node: int = 0  # 0: what the lanes of a node take
    memory: str = ""  # of a node, such as 256G; empty: as the partition has it
    time: str = ""  # minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS; empty: as the partition has it
    partition: str = ""
    account: str = ""
    sbatch: list[str] = field(default_factory=list)  # further options, such as "--qos=long"

    def __post_init__(self) -> None:
        require(self.nodes > 0, "cluster.nodes", self.nodes, "must be 1 or greater")
        for name in ("gpus_per_node", "cpus_per_node"):
            value = getattr(self, name)
            require(value >= 0, f"cluster.{name}", value, "must be 0 or greater")
        said = "is no time of Slurm's; give minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES"
        require(TIME.fullmatch(self.time) is not None, "cluster.time", self.time, said)
        said = "is no amount of memory; give a number with K, M, G or T, such as 256G"
        require(MEMORY.fullmatch(self.memory) is not None, "cluster.memory", self.memory, said)
        for name in ("partition", "account"):
            value = getattr(self, name)
            require(NAME.fullmatch(value) is not None, f"cluster.{name}", repr(value), "is no name of Slurm's")
        for option in self.sbatch:
            said = "is no long option of sbatch; give --name or --name=value"
            require(OPTION.fullmatch(option) is not None, "cluster.sbatch", repr(option), said)

    def cpus_of_node(self, lane: dict[str, float]) -> int:
        """CPUs of each node, where a lane takes these resources."""
        lanes = self.gpus_per_node // lane["GPU"] if lane.get("GPU") else 1
        return self.cpus_per_node or ceil(max(1, lanes) * lane["CPU"])

    def options(self, lane: dict[str, float]) -> dict[str, str]:
        """As `sbatch` takes them."""
        asked = {
            "nodes": self.nodes,
            "cpus-per-task": self.cpus_of_node(lane),
            "gpus-per-node": self.gpus_per_node,
            "mem": self.memory,
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
        }
        more = OPTION.findall("\n".join(self.sbatch))
        return {name: str(value) for name, value in asked.items() if value} | dict(more)


def script(job: Job, lane: dict[str, float], name: str, arguments: Sequence[str]) -> str:
    """The batch script of the launch with these arguments, a lane of which takes such resources."""
    usual = dict(OPTION.findall(BODY.read_text()))
    own = {"job-name": f"em-{name}", "chdir": str(Path.cwd()), "output": f"{FOLDER}/{name}-%j.log"}
    options = usual | own | job.options(lane)
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH --{option}{f'={value}' * bool(value)}" for option, value in options.items()),
            f"export EM_ROOT={shlex.quote(str(ROOT))}",
            f"exec bash {shlex.quote(str(BODY))} {shlex.join(arguments)}\n",
        ]
    )


def submit(job: Job, lane: dict[str, float], name: str, arguments: Sequence[str]) -> list[str]:
    """Write the script, and submit it unless `cluster.submit=false`.  What to say of it.

    Raises InputError where Slurm does not take it.
    """
    path = FOLDER / f"{name}.sbatch"
    path.parent.mkdir(exist_ok=True)
    path.write_text(script(job, lane, name, arguments))
    command = f"sbatch {shlex.quote(str(path))}"
    if not job.submit:
        return [f"{path} is written; `{command}` submits it"]
    if shutil.which("sbatch") is None:
        remedy = f"{path} is written; on a login node `{command}` submits it"
        raise InputError(f"cluster=slurm: there is no sbatch on this machine; {remedy}")
    done = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().replace("\n", "; ")
        raise InputError(f"cluster=slurm: {said or 'sbatch failed'}; `{command}` submits {path} again")
    number = done.stdout.strip().partition(";")[0]
    return [
        f"job {number} is submitted: {path}",
        f"it waits or runs: `squeue --job={number}`; what it says: {FOLDER / name}-{number}.log; `make status`",
        f"to stop it: `scancel --batch --signal=TERM {number}` lets lanes finish, `scancel {number}` does not; "
        "the same command goes on",
    ]
