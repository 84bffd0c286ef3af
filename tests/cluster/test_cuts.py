"""Sweeps on a Ray cluster of three hosts, whose power and cables are cut.

`python -m tests.cluster.test_cuts` measures a power cut with our settings (cluster/ray.env), then Ray's.
"""

import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hosts import until, why_not
from tests.slurm import nodes_of
from tests.trio import OURS, RAYS_OWN, Trio, trio

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def possible() -> None:
    if reason := why_not():
        pytest.skip(reason)


def test_power_is_cut(tmp_path, capsys):
    with trio(tmp_path) as cluster:
        lost, unit = cluster.one_at_work()
        lost.cut_power()
        took = cluster.recovery(lost, unit, 120)
        cluster.finish()
    with capsys.disabled():
        print(f"\npower cut: {said(took)}")


def test_a_cable_is_cut_and_plugged_again(tmp_path, capsys):
    """The worker on the far side stands still meanwhile, as one does that waits for a store on the network.  When it
    goes on, it writes what others have recorded."""
    with trio(tmp_path) as cluster:
        lost, unit = cluster.one_at_work()
        lost.unplug()
        took = cluster.recovery(lost, unit, 120)
        record = bytes_of(cluster, unit)
        lost.plug()
        lost.signal(signal.SIGCONT, "sweeps.worker")
        cluster.wait_for_nodes(cluster.hosts[0], 3)
        cluster.finish()
        assert bytes_of(cluster, unit) == record
        until(lambda: not any("sweeps.worker" in line for line in lost.processes().values()), 60, "a worker is left")
    with capsys.disabled():
        print(f"\nnetwork cut: {said(took)}")


def bytes_of(cluster: Trio, unit: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((cluster.folder / "store" / "records").glob(f"*{unit}*"))]


def test_the_head_is_lost_and_the_sweep_submitted_again(tmp_path, capsys):
    with trio(tmp_path) as cluster:
        first, second, third = cluster.hosts
        until(lambda: {*nodes_of(tmp_path / "store")} == {"h2", "h3"}, 120, "one of them records nothing")
        first.cut_power()
        began, known = time.monotonic(), cluster.recorded()
        assert 0 < known < cluster.units
        for host in (second, third):
            host.signal(signal.SIGKILL, "ray start")
            host.signal(signal.SIGKILL, "ray")
        until(lambda: not (second.processes() or third.processes()), 60, "workers do not end")
        cluster.ray(second, third)
        cluster.sweep(second)
        took = {"work goes on": time.monotonic() - began}
        cluster.finish()
        assert {*nodes_of(tmp_path / "store")} == {"h2", "h3"}
    with capsys.disabled():
        print(f"\nhead lost, all started again by hand: {said(took)}")


def said(took: Mapping[str, float]) -> str:
    return ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in took.items())


def measure() -> None:
    for name, settings in {"ours": OURS, "Ray's own": RAYS_OWN}.items():
        with tempfile.TemporaryDirectory(prefix="hosts-") as folder, trio(Path(folder), settings) as cluster:
            lost, unit = cluster.one_at_work()
            lost.cut_power()
            print(f"{name}: {said(cluster.recovery(lost, unit, 150))}", flush=True)


if __name__ == "__main__":
    measure()
