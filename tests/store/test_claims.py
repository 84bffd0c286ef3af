"""Claims: one worker at a unit of work, until it is done or shows no more life."""

import json
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from em.store.claims import claim
from em.store.files import Files
from tests.store.conftest import make_older

HOUR = 3600.0
UNIT = "claims/unit"


def claim_of(files: Files, node: str = "elsewhere", pid: int = 1, age: float = 0.0) -> None:
    files.replace(f"{UNIT}.0", json.dumps({"node": node, "pid": pid, "lane": "3"}).encode())
    make_older(files, f"{UNIT}.0", age)


def test_a_claim_is_one_workers_until_it_is_released(files: Files) -> None:
    first = claim(files, UNIT, "0", HOUR)
    assert first is not None
    with first:
        assert claim(files, UNIT, "1", HOUR) is None
    assert files.list("claims") == []
    assert claim(files, UNIT, "1", HOUR)
    assert json.loads(files.read(f"{UNIT}.0")) == {"node": socket.gethostname(), "pid": os.getpid(), "lane": "1"}


@pytest.mark.parametrize("void", [False, True])
def test_of_many_one_gets_it_also_where_a_void_one_is_in_the_way(files: Files, void: bool) -> None:
    if void:
        claim_of(files, age=2 * HOUR)
    barrier = threading.Barrier(16)

    def take(lane: int) -> bool:
        barrier.wait()
        return claim(files, UNIT, str(lane), HOUR) is not None

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(take, range(16)))
    assert won.count(True) == 1


def test_who_took_over_clears_the_void_ones_away(files: Files) -> None:
    claim_of(files, age=2 * HOUR)
    for _ in range(2):
        second = claim(files, UNIT, "1", HOUR)
        make_older(files, f"{UNIT}.1", 2 * HOUR)
        third = claim(files, UNIT, "2", HOUR)
        assert second is not None
        assert third is not None
        with third:
            assert files.list("claims") == ["unit.0", "unit.1", "unit.2"]
        assert files.list("claims") == []
        claim_of(files, age=2 * HOUR)


@pytest.mark.parametrize(("age", "free"), [(0.5 * HOUR, False), (1.1 * HOUR, True)])
def test_a_claim_of_another_machine_is_void_without_signs_of_life(files: Files, age: float, free: bool) -> None:
    claim_of(files, age=age)
    assert (claim(files, UNIT, "0", HOUR) is not None) is free


def test_a_claim_of_a_process_of_this_machine_that_is_gone_is_void_at_once(files: Files) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    claim_of(files, socket.gethostname(), process.pid)
    assert claim(files, UNIT, "0", HOUR)


def test_signs_of_life_keep_a_claim(files: Files) -> None:
    mine = claim(files, UNIT, "0", 0.06)
    assert mine is not None
    make_older(files, f"{UNIT}.0", HOUR)
    with mine:
        deadline = time.monotonic() + 60
        while files.age(f"{UNIT}.0") > HOUR / 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert files.age(f"{UNIT}.0") < HOUR / 2


def test_a_claim_that_is_gone_is_not_an_error(files: Files) -> None:
    mine = claim(files, UNIT, "0", 0.06)
    assert mine is not None
    with mine:
        files.remove(f"{UNIT}.0")
        time.sleep(0.05)
