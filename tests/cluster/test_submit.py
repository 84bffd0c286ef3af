"""A sweep as a job of a Ray cluster that asks for a token: sent, followed, left, stopped, resumed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from em.errors import InputError
from em.store.provenance import ROOT
from sweeps.submit import ADDRESS, COMMAND, main, submit
from tests.processes import finished, started, wait_for
from tests.smallest import recorded

SWEEP = ("sweep=temperature", "cluster=ray", "cluster.cpus_per_lane=1", "model.pretrain.steps=2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cluster=local", "store=/s"], r"cluster\.address=: is this machine; cluster=ray, kuberay or onprem"),
        (["cluster=ray", "store=results"], "store=results: write its whole path"),
        (["cluster=rai"], "unknown cluster 'rai': did you mean 'ray'"),
    ],
)
def test_a_mistake_is_said_before_it_is_sent(words, said):
    with pytest.raises(InputError, match=said):
        submit(None, words, COMMAND)


def test_no_dashboard_is_one_line(monkeypatch):
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1")
    with pytest.raises(InputError, match=r"RAY_API_SERVER_ADDRESS=http://127\.0\.0\.1:1: Failed to connect to Ray"):
        main(["status", "sweep=temperature"])


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user who reaches a cluster's dashboard and has its token; a head of Ray runs meanwhile."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        gcs, dashboard, agent, agent_grpc = (server.getsockname()[1] for server in servers)
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 2)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        ADDRESS: f"http://127.0.0.1:{dashboard}",
    }
    command = ["ray", "start", "--head", "--block", "--num-cpus=2", f"--temp-dir=/tmp/em-{gcs}", f"--port={gcs}"]
    command += [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    head = started([*command, f"--dashboard-agent-grpc-port={agent_grpc}", "--disable-usage-stats"], environment)
    try:
        wait_for(lambda: "no job of this cluster runs it" in said(environment, "status", status=2))
        yield environment
    finally:
        head.terminate()
        head.communicate(timeout=60)


def said(environment: dict[str, str], action: str, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "tests.submit", "tests.near_empty:Slow", action, *SWEEP, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_sweep_is_sent_followed_left_stopped_and_resumed(outside, tmp_path):
    store = tmp_path / "store"
    without = said({**outside, "RAY_AUTH_MODE": "disabled"}, "status", status=2)
    assert "Unauthorized: Missing authentication token; set RAY_AUTH_MODE=token" in without
    assert "submitted as job temperature;" in said(outside, "submit", f"store={store}", "sweep.seeds=1000")
    again = said(outside, "submit", f"store={store}", "sweep.seeds=1000", status=2)
    assert "error: sweep=temperature: is job temperature, " in again

    attached = [sys.executable, "-m", "tests.submit", "tests.near_empty:Slow", "follow", *SWEEP]
    followed = started(attached, outside)
    assert followed.stdout is not None
    assert any("running" in line for line in followed.stdout)
    followed.send_signal(signal.SIGINT)
    assert "detached from job temperature, which goes on" in finished(followed)
    assert said(outside, "status") == "job temperature, running\n"

    wait_for(lambda: recorded(store) > 10)
    assert "stopping job temperature: lanes finish what they hold" in said(outside, "stop")
    assert "the same command goes on" in said(outside, "follow", status=1)
    assert said(outside, "status") == "job temperature, stopped\n"
    before = recorded(store)
    assert before < 8001

    assert "submitted as job temperature.2;" in said(outside, "submit", f"store={store}", "sweep.seeds=4")
    assert "job temperature.2, succeeded" in said(outside, "follow")
    assert recorded(store) <= before + 33
    token = (tmp_path / "token").read_text()
    assert not [path for path in store.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
