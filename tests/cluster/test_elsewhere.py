"""A sweep as a job of a Ray cluster, sent from a host that is no node of it."""

import signal

import pytest

from tests.hosts import network, until, why_not
from tests.trio import OURS, Trio

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_job_is_sent_followed_left_attached_again_and_stopped(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with network(3, tmp_path) as hosts:
        head, node, outside = hosts
        cluster = Trio(hosts, tmp_path, OURS, seeds=60)  # minutes: much happens meanwhile
        cluster.ray(head, node, dashboard=True)
        cluster.environment["RAY_API_SERVER_ADDRESS"] = f"http://{head.address}:8265"

        def say(action: str, *words: str) -> str:
            command = ["python", "-m", "sweeps.submit", action, *cluster.words, *words]
            return outside.run(*command, environment=cluster.environment, at=cluster.here)

        def follow(log: str) -> str:
            """What it says from the job's beginning, up to Ctrl-C."""
            cluster.start(outside, "python", "-m", "sweeps.submit", "follow", *cluster.words, log=log)
            until(lambda: f"{cluster.units} to do" in (tmp_path / log).read_text(), 120, "does not follow")
            outside.signal(signal.SIGINT, "sweeps.submit", "follow")
            outside.started[-1].wait(60)
            return (tmp_path / log).read_text()

        assert "submitted as job temperature;" in say("submit", "cluster=ray", "cluster.cpus_per_lane=1")
        assert "detached from job temperature, which goes on" in follow("first.txt")
        outside.unplug()
        cluster.wait_for_records()
        outside.plug()
        assert "detached from job temperature, which goes on" in follow("again.txt")
        assert "stopping job temperature" in say("stop")
        until(lambda: "stopped" in say("status"), 120, "does not stop")
        known = cluster.recorded()
        assert 0 < known < cluster.units
        assert "submitted as job temperature.2;" in say("submit", "cluster=ray", "cluster.cpus_per_lane=1")
        until(lambda: "succeeded" in say("status"), 400, "does not end")
        cluster.all_recorded_once()
