"""A sweep among accidents: lanes, workers, drivers and whole nodes are killed, records garbled, some trials are poison.

    python -m tests.chaos [seed] [accidents] [s3 | ceph]

With `s3` or `ceph` the store is a bucket of a server of its own, moto's or Ceph's, else a folder.
What happens is drawn from the seed.  At the end every good trial must have its record, once, every poisoned one its
attempts, and everything must have ended.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from em.store import Store
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.lane import LOST
from sweeps.plan import plan
from sweeps.protocol import cause
from tests import ceph_server, s3_server
from tests.poison import poison_of
from tests.processes import wait_for

SEEDS, LANES, NODES, ATTEMPTS = 40, 2, 2, 3
ENDS_WITHIN = 400.0  # seconds, of the last launch, which nothing disturbs
CAUSES = {
    "exit": "the worker exited with status 3 while",
    "hang": "the worker made no progress for # s and was ended while",
    "raise": "ValueError: poison",
    "crash": "the worker was killed by SIGSEGV while",
}


class Chaos:
    def __init__(self, folder: Path, seed: int, say: Callable[[str], None] = print, bucket: str = "") -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.random, self.say = folder, random.Random(seed), say
        self.store = Store(bucket or folder / "store")
        os.environ["CHAOS_LOG"] = str(folder / "starts.txt")  # for the workers of all nodes
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(NODES)]
        self.drivers: list[subprocess.Popen[bytes]] = []
        self.accidents = 0

    @property
    def words(self) -> list[str]:
        return [
            *("sweep=temperature", f"sweep.seeds={SEEDS}", f"sweep.max_attempts={ATTEMPTS}", "model.pretrain.steps=30"),
            *(f"store={self.store.place}", "cluster=ray", f"cluster.address={self.cluster.address}", "tracking=quiet"),
            *(f"cluster.lanes={LANES}", "cluster.cpus_per_lane=1"),
            "cluster.lease_seconds=20",  # a lane may be silent for 10 s, in which it lets a worker end
            "cluster.stall_seconds=10",
        ]

    @property
    def config(self) -> Launch:
        return compose_launch(self.words)

    def launch(self) -> subprocess.Popen[bytes]:
        output = (self.folder / f"driver-{len(self.drivers)}.txt").open("wb")
        driver = subprocess.Popen(
            [sys.executable, "-m", "tests.sweep", "tests.poison:Trainer", *self.words],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output.close()
        self.drivers.append(driver)
        return driver

    def run(self, accidents: int) -> None:
        """So many accidents, then a launch that nothing disturbs."""
        self.launch()
        for _ in range(accidents):
            enough = self.recorded() + self.random.randrange(1, 6)
            self.wait(lambda enough=enough: self.recorded() >= enough)
            if self.drivers[-1].poll() is not None:  # done, or its last lane was killed too often
                self.launch()
            accident = self.random.choice(
                [self.kill_worker, self.kill_worker, self.kill_lane, self.kill_node, self.kill_driver, self.garble]
            )
            self.say(f"{self.recorded():4} recorded: {accident.__name__}")
            self.accidents += 1
            accident()
        self.accidents += 1
        self.kill_driver(again=False)
        last = self.launch()
        status = last.wait(ENDS_WITHIN)
        assert status == 1, f"exit status {status}, not that of given up trials: {self.last_words()}"

    def wait(self, condition: Callable[[], bool], seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and self.drivers[-1].poll() is None:
            assert time.monotonic() < deadline, f"nothing happens any more: {self.last_words()}"
            time.sleep(0.02)

    def last_words(self) -> str:
        return (self.folder / f"driver-{len(self.drivers) - 1}.txt").read_text()[-2000:]

    def recorded(self) -> int:
        return len(self.store.recorded_units())

    def at_work(self) -> list[int]:
        """Workers that hold a claim."""
        pids = []
        for name in self.store.files.list("claims"):
            with suppress(OSError, ValueError):
                pids.append(json.loads(self.store.files.read(f"claims/{name}"))["pid"])
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def kill_worker(self) -> None:
        if workers := self.at_work():
            kill(self.random.choice(workers))

    def kill_lane(self) -> None:
        if workers := self.at_work():
            with suppress(OSError):
                lane = Path(f"/proc/{self.random.choice(workers)}/stat").read_text().rpartition(")")[2].split()[1]
                if lane != "1":  # an orphan by now
                    kill(int(lane))

    def kill_node(self) -> None:
        """A node is gone, its workers too; another joins."""
        node = self.nodes.pop(self.random.randrange(len(self.nodes)))
        for worker in self.at_work()[:1]:
            kill(worker)
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=1))

    def kill_driver(self, again: bool = True) -> None:
        kill(self.drivers[-1].pid)
        self.drivers[-1].wait()
        if again:
            self.launch()

    def garble(self) -> None:
        """A record is cut short, and the index, which holds its row, is lost; whoever plans next sets it aside."""
        self.kill_driver(again=False)
        files = self.store.files
        if records := files.list("records"):
            name = f"records/{self.random.choice(records)}"
            files.replace(name, files.read(name)[:-100])
            files.remove("index")
        self.launch()

    def check(self) -> None:
        """Raise AssertionError unless everything is recorded as it must be."""
        wanted = expand.units(self.config)
        good = {unit.id for unit in wanted if not poison_of(unit)}
        bad = {unit.id: poison_of(unit) for unit in wanted if poison_of(unit)}
        records, damaged = self.store.records()
        assert not damaged
        assert sorted(records["unit_id"]) == sorted(good)
        failed = self.store.failures()
        for unit in bad:
            numbers = [attempt.attempt for attempt in failed if attempt.unit_id == unit]
            # What a worker records that has outlived its lane nobody hears of: that attempt is made once more.
            assert ATTEMPTS <= len(numbers) <= ATTEMPTS + self.accidents
            assert max(numbers) <= ATTEMPTS
        for attempt in failed:
            error, log = attempt.error or "", attempt.log or ""
            assert attempt.trial
            assert attempt.provenance.node
            accident = "SIGKILL" in error or error == LOST
            if attempt.unit_id in bad and not accident:
                kind = bad[attempt.unit_id]
                assert cause(error).startswith(CAUSES[kind]), error
                assert kind != "hang" or ("about to hang" in log and "Timeout (" in log), log
        assert plan(self.config, self.store).todo == []
        wait_for(lambda: not self.at_work(), 60)
        starts = (self.folder / "starts.txt").read_text().split()
        again = len(starts) - len(set(starts))
        self.say(f"{len(good)} good trials recorded once, {len(failed)} failed attempts, {again} trials started again")

    def close(self) -> None:
        for driver in self.drivers:
            if driver.poll() is None:
                kill(driver.pid)
                driver.wait()
        self.cluster.shutdown()


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def own_bucket(kind: str) -> Iterator[str]:
    """The URL of an empty place in a bucket of a server that is ours: moto's, or Ceph's."""
    with {"s3": s3_server.served, "ceph": ceph_server.served}[kind]() as address:
        os.environ.update(s3_server.KEYS | {"AWS_ENDPOINT_URL": address})
        s3_server.make_bucket(address, "chaos")
        yield "s3://chaos/store"


def main(arguments: list[str]) -> None:
    seed, accidents, kind = arguments + ["0", "60", "folder"][len(arguments) :]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ExitStack() as stack:
        bucket = stack.enter_context(own_bucket(kind)) if kind != "folder" else ""
        chaos = Chaos(Path(folder), int(seed), bucket=bucket)
        try:
            chaos.run(int(accidents))
            chaos.check()
        finally:
            chaos.close()


if __name__ == "__main__":
    main(sys.argv[1:])
