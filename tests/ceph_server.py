"""A server of S3's protocol that shares no code with moto: Ceph's, with its data in memory.

    python -m tests.ceph_server        # prints its address

A monitor, an OSD and the gateway, on loopback, with all their files in a folder that goes with them; all end with the
process that started them.  Keys and `make_bucket` are those of tests/s3_server.py.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.s3_server import KEYS

COMMANDS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "setpriv")
STARTS_WITHIN = 60.0
CONFIG = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{monitor}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {folder}
admin_socket =
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
mon_data = {folder}/mon
mon_data_avail_crit = 1
mon_allow_pool_size_one = true
paxos_propose_interval = 0.05
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_pool_default_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
rgw_rados_pool_pg_num_min = 1
rgw_data = {folder}
rgw_thread_pool_size = 64
rgw_frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
"""
OLDER = """
import rados, sys, time
bucket, key, seconds = sys.argv[1:]
with rados.Rados(conffile="") as cluster, cluster.open_ioctx("default.rgw.buckets.data") as data:
    name = f"{bucket}_{key}"
    written = time.mktime(data.stat(name)[1])
    with rados.WriteOpCtx() as write:
        write.set_xattr("older", b"")
        data.operate_write_op(write, name, mtime=int(written - float(seconds)))
"""
FOLDERS: dict[str, Path] = {}  # of running servers, by address


def why_not() -> str:
    """Why there is no Ceph to start; empty where there is."""
    missing = [command for command in COMMANDS if not shutil.which(command)]
    packages = "radosgw ceph-mon ceph-osd ceph-common"
    return f"no {missing[0]} (Debian: apt install --no-install-recommends {packages})" if missing else ""


@contextmanager
def served() -> Iterator[str]:
    """The address of a server, for as long as the body runs."""
    with TemporaryDirectory(prefix="ceph-") as name, ExitStack() as running:
        folder, fsid, monitor, gateway = Path(name), str(uuid.uuid4()), free_port(), free_port()
        address = f"http://127.0.0.1:{gateway}"
        (folder / "ceph.conf").write_text(CONFIG.format(fsid=fsid, folder=folder, monitor=monitor, gateway=gateway))
        (folder / "osd").mkdir()
        known = folder / "monmap"
        run(folder, *f"monmaptool --create --fsid {fsid} --addv a [v2:127.0.0.1:{monitor}] {known}".split())
        run(folder, *f"ceph-mon --mkfs -i a --monmap {known}".split())
        running.enter_context(daemon_of(folder, "ceph-mon", "-i", "a"))
        run(folder, "ceph", "osd", "create")
        run(folder, "ceph-osd", "--mkfs", "-i", "0")
        running.enter_context(daemon_of(folder, "ceph-osd", "-i", "0"))
        keys = f"--access-key={KEYS['AWS_ACCESS_KEY_ID']} --secret-key={KEYS['AWS_SECRET_ACCESS_KEY']}"
        run(folder, *f"radosgw-admin user create --uid=em --display-name=em --max-buckets=0 {keys}".split())
        server = running.enter_context(daemon_of(folder, "radosgw", "-n", "client.rgw"))
        deadline = time.monotonic() + STARTS_WITHIN
        while not answers(address):
            assert time.monotonic() < deadline, "the gateway does not answer"
            assert server.poll() is None, (folder / "client.rgw.log").read_text()[-2000:]
            time.sleep(0.05)
        FOLDERS[address] = folder
        try:
            yield address
        finally:
            del FOLDERS[address]


def make_older(address: str, bucket: str, key: str, seconds: float) -> None:
    """Let an object have been written so many seconds earlier: the gateway tells the times of RADOS."""
    folder = FOLDERS[address]
    found = run(folder, "radosgw-admin", "bucket", "stats", f"--bucket={bucket}")
    run(folder, "/usr/bin/python3", "-I", "-c", OLDER, json.loads(found)["marker"], key, str(seconds))


def run(folder: Path, *words: str) -> str:
    """What a command says that has to succeed."""
    settings = os.environ | {"CEPH_CONF": str(folder / "ceph.conf")}
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=STARTS_WITHIN, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def daemon_of(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs while the body does, and is killed when this one is."""
    command, quiet = ["setpriv", "--pdeathsig=KILL", *words, "-f", "-c", f"{folder}/ceph.conf"], subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()  # there is nothing to keep


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


if __name__ == "__main__":
    with served() as address:
        print(address, flush=True)
        input()
