"""A Ray cluster of three hosts, and a sweep of near-empty trials on it."""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from em.store import Store
from em.store.provenance import ROOT
from tests.hosts import Host, network, until
from tests.slurm import checkout
from tests.sweeps.test_launch import state_and_parent

RAYS_OWN = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
OURS = dict(line.split("=") for line in (ROOT / "cluster" / "ray.env").read_text().splitlines() if line[:4] == "RAY_")
AGAIN = 'while :; do ray start "$@"; sleep 1; done'  # as cluster/slurm/sweep.sbatch does
LANES = 2
WORDS = ["sweep=temperature", f"cluster.lanes={LANES}", "model.pretrain.steps=30", "sweep.figures=[]"]
SECONDS = 0.5  # of a trial


class Trio:
    """h1 has head and driver; h2 and h3 have room for both lanes each."""

    def __init__(self, hosts: list[Host], folder: Path, settings: Mapping[str, str], seeds: int) -> None:
        self.hosts, self.folder, self.units = hosts, folder, 8 * seeds + 1
        self.here = checkout(folder / "checkout", SECONDS)
        own = {"PATH": f"{self.here}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(self.here)}
        self.environment = {**settings, **own, "RAY_AUTH_TOKEN": "for-these-hosts-alone-" * 3, "RAY_TMPDIR": "/tmp"}
        self.words = [*WORDS, f"sweep.seeds={seeds}", f"store={folder / 'store'}", "cluster.lease_seconds=6"]
        self.store = Store(folder / "store")

    def ray(self, head: Host, *others: Host, dashboard: bool = False) -> None:
        """Start a cluster on these hosts."""
        self.address = f"{head.address}:6379"
        room = ["--block", "--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
        first = ["ray", "start", "--head", "--port=6379", "--num-cpus=0", *room]
        first += [f"--include-dashboard={dashboard}", f"--dashboard-host={head.address}"]
        self.start(head, *first)
        for host in others:
            self.start(host, "bash", "-c", AGAIN, "ray", f"--address={self.address}", "--num-cpus=2", *room)
        self.wait_for_nodes(head, 1 + len(others))

    def start(self, host: Host, *words: str, log: str = "ray.txt") -> None:
        host.start(*words, log=self.folder / log, environment=self.environment, at=self.here)

    def wait_for_nodes(self, head: Host, count: int) -> None:
        words = ["python", "-m", "cluster.nodes", self.address, f"{count}", "120"]
        until((head.root / "tmp/ray/ray_current_cluster").exists, 60, "there is no head")
        said = head.run(*words, environment=self.environment, at=self.here)
        assert said == f"{count} of {count} nodes have joined\n"

    def sweep(self, host: Host) -> None:
        self.start(host, "python", "-m", "sweeps", *self.words, f"cluster.address={self.address}", log="driver.txt")
        self.driver = host.started[-1]
        self.wait_for_records()

    def wait_for_records(self) -> None:
        known = self.recorded()
        until(lambda: self.recorded() > known + 2, 200, "nothing is recorded")

    def recorded(self) -> int:
        return len(list((self.folder / "store" / "records").glob("*.parquet")))

    def claims(self) -> dict[str, str]:
        """The hosts that are at work, by unit."""
        found = {}
        for path in (self.folder / "store" / "claims").glob("[!.]*"):
            with suppress(OSError, ValueError):
                found[path.name.rpartition(".")[0]] = json.loads(path.read_text())["node"]
        return found

    def one_at_work(self) -> tuple[Host, str]:
        """A host, and a unit that it surely is at; its workers stand still from now on."""
        found = dict[str, str]()
        until(lambda: found.update(self.claims()) or found, 60, "nobody is at work")
        unit, name = next(iter(found.items()))
        host = next(host for host in self.hosts if host.name == name)
        host.signal(signal.SIGSTOP, "sweeps.worker")
        until(lambda: stands_still(host), 60, "workers do not stand still")
        if self.claims().get(unit) == name and not self.store.is_recorded(unit):
            return host, unit
        host.signal(signal.SIGCONT, "sweeps.worker")  # it came to the end of the unit
        return self.one_at_work()

    def recovery(self, lost: Host, unit: str, seconds: float) -> dict[str, float]:
        """Seconds from now until Ray gives the host up, the lost unit is recorded, all lanes are at work elsewhere."""
        began, took = time.monotonic(), dict[str, float]()
        logs = self.hosts[0].root / "tmp" / "ray"

        def look() -> bool:
            if any("health check failed" in log.read_text() for log in logs.glob("session_2*/logs/gcs_server.out")):
                took.setdefault("host given up", time.monotonic() - began)
            if self.store.is_recorded(unit):
                took.setdefault("unit recorded", time.monotonic() - began)
            if sum(name != lost.name for name in self.claims().values()) == LANES:
                took.setdefault("lanes at work", time.monotonic() - began)
            return took.keys() >= {"unit recorded", "lanes at work"}

        until(look, seconds, f"not all came back: {took}")
        return took

    def finish(self) -> None:
        """The sweep ends, and everything is recorded once."""
        until(lambda: self.driver.poll() is not None, 400, "the sweep does not end")
        assert self.driver.returncode == 0, (self.folder / "driver.txt").read_text()[-2000:]
        self.all_recorded_once()

    def all_recorded_once(self) -> None:
        records, damaged = self.store.records()
        assert not damaged
        assert len(records) == records["unit_id"].n_unique() == self.units
        assert self.store.failed_attempts() == {}


def stands_still(host: Host) -> bool:
    workers = [pid for pid, line in host.processes().items() if "sweeps.worker" in line]
    return all(state_and_parent(pid)[0] == "T" for pid in workers)


@contextmanager
def trio(folder: Path, settings: Mapping[str, str] = OURS, seeds: int = 40) -> Iterator[Trio]:
    with network(3, folder) as hosts:
        made = Trio(hosts, folder, settings, seeds)
        made.ray(*hosts)
        made.sweep(hosts[0])
        yield made
