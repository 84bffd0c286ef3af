"""Claims: one worker at a unit of work, until it is done or shows no more life; clocks of machines do not matter."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em.store.claims import claim, held

HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claims" / "unit"


def claim_of_another_machine(path: Path, age: float) -> None:
    claim(path, "0", HOUR)
    path.write_text(json.dumps({"node": "elsewhere", "pid": 1, "lane": "3"}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_claim_is_one_workers_until_it_is_released(path: Path) -> None:
    assert claim(path, "0", HOUR)
    with held(path, HOUR):
        assert not claim(path, "1", HOUR)
    assert claim(path, "1", HOUR)
    assert json.loads(path.read_text()) == {"node": socket.gethostname(), "pid": os.getpid(), "lane": "1"}


def test_of_many_one_gets_it_also_where_a_void_one_is_in_the_way(path: Path) -> None:
    claim_of_another_machine(path, age=2 * HOUR)
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda lane: claim(path, str(lane), HOUR), range(16)))
    assert won.count(True) == 1
    assert [file.name for file in path.parent.iterdir()] == ["unit"]


@pytest.mark.parametrize(("age", "free"), [(0.5 * HOUR, False), (1.1 * HOUR, True)])
def test_a_claim_of_another_machine_is_void_without_signs_of_life(path: Path, age: float, free: bool) -> None:
    claim_of_another_machine(path, age)
    assert claim(path, "0", HOUR) is free


def test_a_claim_of_a_process_of_this_machine_that_is_gone_is_void_at_once(path: Path) -> None:
    code = "import sys; from pathlib import Path; from em.store.claims import claim\n"
    code += "print(claim(Path(sys.argv[1]), '7', 9))"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert claim(path, "0", HOUR)


def test_signs_of_life_keep_a_claim(path: Path) -> None:
    claim(path, "0", 3)
    path.write_text(json.dumps({"node": "elsewhere", "pid": 1, "lane": "3"}))
    with held(path, 3):
        time.sleep(4)
        assert not claim(path, "1", 3)


def test_a_clock_that_is_wrong_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are differences of times that the store's file system wrote."""
    claim_of_another_machine(path, age=0)
    now = time.time()
    for wrong in (now - 1e6, now + 1e6):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert not claim(path, "0", HOUR)


def test_a_claim_that_was_taken_over_is_not_an_error(path: Path) -> None:
    claim(path, "0", 0.06)
    with held(path, 0.06):
        path.unlink()
        time.sleep(0.05)
