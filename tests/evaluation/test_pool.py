"""The grading pool: what hangs or dies is counted, the next answer is graded, nothing stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from em.evaluation.graders import GRADERS, TIMEOUT, Entry, Grade
from em.evaluation.pool import GradingPool, grade_of
from tests.evaluation import bad_graders

MODULE = bad_graders.__name__


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[GradingPool]:
    """With graders that misbehave; the processes of the pool find them by their name."""
    for name in ("hangs", "dies", "raises", "raises_any", "tells_where"):
        monkeypatch.setitem(GRADERS, name, Entry(f"{MODULE}:{name}"))
    monkeypatch.setitem(GRADERS, "at_once", Entry(f"{MODULE}:raises_any", instant=True))
    monkeypatch.setitem(GRADERS, "missing", Entry(f"{MODULE}:no_such_grader"))
    made = GradingPool(processes=1, hard_seconds=6.0)
    yield made
    made.close()


def test_what_takes_microseconds_is_graded_on_the_spot(pool):
    assert pool.submit("boxed", r"so \boxed{4}", "4").result() == Grade(True, "4")
    assert pool.pool is None


def test_each_answer_ends_within_the_hard_limit_and_the_pass_goes_on(pool):
    answers = [pool.submit(name, "text", "1") for name in ("hangs", "dies", "raises", "tells_where")]
    hung, died, raised, told = [grade_of(answer) for answer in answers]
    assert hung == Grade(None, None, error=TIMEOUT)
    assert died.correct is None
    assert "ProcessExpired" in str(died.error)
    assert raised == Grade(None, None, error="ZeroDivisionError: division by zero")
    assert told.correct


ERRORS = {
    "base": "TimedOut: after 5 s",
    "library": TIMEOUT,
    "timeout": TIMEOUT,
    "exit": "SystemExit: 3",
    "generator": "GeneratorExit",
    "memory": "MemoryError",
    "long": "UntoldError: " + "x" * 487,
    "untold": "UntoldError",
    "unpickled": "UntoldError",
}


@pytest.mark.parametrize("name", ["raises_any", "at_once"])
def test_whatever_a_grader_raises_is_counted_and_the_next_answer_is_graded(pool, name):
    asked = [*ERRORS, "fine", *ERRORS, "fine"]
    grades = [grade_of(pool.submit(name, text, "1")) for text in asked]
    assert grades == [Grade(True, text) if text == "fine" else Grade(None, None, error=ERRORS[text]) for text in asked]


def test_an_interrupt_is_the_graders_in_its_process_and_ours_in_this_one(pool):
    assert grade_of(pool.submit("raises_any", "interrupt", "1")) == Grade(None, None, error="KeyboardInterrupt")
    assert grade_of(pool.submit("raises_any", "fine", "1")) == Grade(True, "fine")
    with pytest.raises(KeyboardInterrupt):
        pool.submit("at_once", "interrupt", "1")


def test_an_interrupt_while_we_wait_goes_its_way(pool):
    waiting = pool.submit("hangs", "text", "1")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            grade_of(waiting)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_grader_that_is_not_there_is_counted(pool):
    error = grade_of(pool.submit("missing", "text", "1")).error
    assert error is not None
    assert error.startswith("AttributeError: ")


def test_graders_run_on_the_main_thread_of_a_process_that_leaves_interrupts_to_others(pool):
    where = pool.submit("tells_where", "text", "1").result().extracted
    pid, thread, interrupts = str(where).split()
    assert int(pid) != os.getpid()
    assert (thread, interrupts) == ("MainThread", str(signal.SIG_IGN))


def test_an_unknown_grader_is_named(pool):
    with pytest.raises(ValueError, match="unknown grader 'boxd': did you mean 'boxed'"):
        pool.submit("boxd", "", "")


ORPHANS = """
import os, signal
from em.evaluation.graders import GRADERS, Entry
from em.evaluation.pool import GradingPool
if __name__ == "__main__":
    GRADERS["tells_where"] = Entry("MODULE:tells_where")
    pool = GradingPool(processes=2)
    pids = {pool.submit("tells_where", str(n), "1").result().extracted.split()[0] for n in range(20)}
    print(*pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_the_one_that_grades(tmp_path):
    """`kill -9` of a worker, or the `os._exit` with which it ends."""
    script = tmp_path / "script.py"
    script.write_text(ORPHANS.replace("MODULE", MODULE))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    pids = run.stdout.split()
    assert pids
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"left behind: {pids}"
        time.sleep(0.05)


RAY = """
import ray
from em.evaluation.pool import GradingPool

@ray.remote(num_cpus=1)
class Lane:
    def grade(self):
        pool = GradingPool(processes=1)
        grades = [pool.submit("maths", f"so it is $\\\\boxed{{{n}}}$", "7").result().correct for n in (6, 7)]
        pool.close()
        return grades

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
print(ray.get(Lane.remote().grade.remote()))
"""


def test_works_inside_a_ray_actor():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-W", "ignore", "-c", RAY]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.splitlines()[-1] == "[False, True]"
