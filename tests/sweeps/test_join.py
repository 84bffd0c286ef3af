"""An address at which no Ray answers is one line, soon; a cluster that is there is found."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from em.errors import InputError
from sweeps.join import address_of, guard_token
from tests.processes import started, wait_for


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("foo", "an address is HOST:PORT or auto"),
        (":::", "an address is HOST:PORT or auto"),
        ("host:port", "an address is HOST:PORT or auto"),
        ("127.0.0.1:99999", "an address is HOST:PORT or auto"),
        ("ray://127.0.0.1:10001", "a driver runs on one of the nodes"),
        ("127.0.0.1:1", "Connection refused"),
        ("no-such-host.invalid:6379", "no Ray to join ("),
        ("10.255.255.1:6379", "no Ray to join ("),
    ],
)
def test_a_dead_address_is_one_line(address, said):
    began = time.monotonic()
    with pytest.raises(InputError) as raised:
        address_of(address)
    assert str(raised.value).startswith(f"cluster.address={address}: ")
    assert said in str(raised.value)
    assert "`ray start --head`" in str(raised.value)
    assert time.monotonic() - began < 30


def test_what_listens_and_is_no_ray_is_told(monkeypatch):
    monkeypatch.setattr("sweeps.join.ANSWER_SECONDS", 2.0)
    silent, told = socket.create_server(("127.0.0.1", 0)), "what listens there does not answer as Ray"
    with silent, pytest.raises(InputError, match=told):
        address_of(f"127.0.0.1:{silent.getsockname()[1]}")


def test_a_stale_file_names_the_address_that_it_held(monkeypatch, tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with pytest.raises(InputError, match=r"address=auto: no Ray to join at 127\.0\.0\.1:1 \(Connection refused"):
        address_of("auto")
    (tmp_path / "ray" / "ray_current_cluster").unlink()
    with pytest.raises(InputError, match="none runs on this machine"):
        address_of("auto")


def test_nobody_else_reads_the_token(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    guard_token()  # before Ray makes one
    token = tmp_path / ".ray" / "auth_token"
    assert token.parent.stat().st_mode & 0o777 == 0o700
    token.touch(mode=0o644)
    guard_token()
    assert token.stat().st_mode & 0o777 == 0o600


def test_no_address_asks_nobody():
    assert address_of("") == address_of("local") == ""


@pytest.mark.slow
def test_a_live_cluster_is_joined(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = ["start", "--head", "--block", f"--port={port}", f"--temp-dir=/tmp/em-{port}", "--num-cpus=1"]
    ray = str(Path(sys.executable).parent / "ray")
    command = [ray, *command, "--include-dashboard=false", "--disable-usage-stats"]
    head = started(command, environment | {"RAY_AUTH_MODE": "disabled"})
    join = (
        "import sys; from sweeps.config import Cluster; from sweeps.launch import connected\n"
        "with connected(Cluster(address=sys.argv[1])):\n    import ray; print(ray.cluster_resources()['CPU'])"
    )
    try:
        wait_for(lambda: answers(port))
        done = subprocess.run(
            [sys.executable, "-c", join, f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=120, check=True
        )
        assert done.stdout.strip() == "1.0"
    finally:
        head.terminate()
        head.communicate(timeout=60)


def answers(port: int) -> bool:
    try:
        return bool(address_of(f"127.0.0.1:{port}"))
    except InputError:
        return False
