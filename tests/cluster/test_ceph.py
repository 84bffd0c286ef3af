"""The store's tests, and sweeps, on a server of S3's protocol that shares no code with moto: Ceph's gateway."""

import inspect
from collections.abc import Iterator
from multiprocessing import get_context

import pytest

from em.store.files import Files, files_at
from tests import ceph_server, s3_server
from tests.store import test_bucket, test_claims, test_files, test_store
from tests.store.test_bucket import create_all, wire
from tests.store.test_store import store
from tests.sweeps import test_sweep_in_bucket
from tests.sweeps.conftest import nothing_left_running
from tests.sweeps.test_sweep_in_bucket import filled

__all__ = ["filled", "nothing_left_running", "store", "wire"]
pytestmark = [pytest.mark.root, pytest.mark.slow]
ON_A_SERVER = {"bucket", "files", "filled", "store"}  # fixtures
PROCESSES, ROUNDS = 8, 50

for module in (test_bucket, test_claims, test_files, test_store, test_sweep_in_bucket):
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    globals().update({name: it for name, it in tests.items() if ON_A_SERVER & {*inspect.signature(it).parameters}})


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    if reason := ceph_server.why_not():
        pytest.skip(reason)
    with ceph_server.served() as address, pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_server, "make_older", ceph_server.make_older)
        yield address


@pytest.fixture
def files(bucket: str) -> Files:
    return files_at(bucket)


def test_of_processes_that_create_a_name_at_once_one_does(bucket: str) -> None:
    spawned = get_context("spawn")
    with spawned.Manager() as manager, spawned.Pool(PROCESSES) as pool:
        ready = manager.Barrier(PROCESSES).wait
        won = pool.starmap(create_all, [(bucket, process, ROUNDS, ready) for process in range(PROCESSES)], chunksize=1)
    files = files_at(bucket)
    assert sorted(number for numbers in won for number in numbers) == list(range(ROUNDS))
    assert all(files.read(f"a/{number}") == b"%d" % process for process in range(PROCESSES) for number in won[process])
