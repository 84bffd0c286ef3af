"""Leases: each unit is given to one lane at a time, comes back when a lane dies, and is given up when it cannot be."""

from em.config import Unit
from em.record import Status
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.queue import ALIKE_FAILURES, Queue


def units(count: int) -> list[Unit]:
    return expand.units(compose_launch(["sweep=smoke"]))[:count]


def test_units_are_leased_in_order_and_once() -> None:
    wanted = units(3)
    queue = Queue(wanted, max_attempts=3)
    queue.join("0")
    queue.join("1")
    first, second = queue.lease("0"), queue.lease("1")
    assert (first, second) == ((wanted[0], 1), (wanted[1], 1))
    queue.finish("0", Status.done, 1.5)
    assert queue.lease("0") == (wanted[2], 1)
    queue.finish("0", Status.diverged, 0.5)
    assert queue.lease("0") is None
    now = queue.snapshot()
    assert (now.planned, now.done, now.diverged, now.failed, now.running, now.recorded) == (3, 1, 1, 0, 1, 2)
    assert now.unit_seconds == [1.5, 0.5]


def test_what_a_dead_lane_held_counts_as_an_attempt_and_comes_back_last() -> None:
    wanted = units(2)
    queue = Queue(wanted, max_attempts=3)
    assert queue.join("0") is None
    queue.lease("0")
    assert queue.join("0") == (wanted[0], 1)  # its process is new: the old one died
    queue.finish("0", Status.failed, 0.0)
    assert queue.lease("0") == (wanted[1], 1)
    queue.finish("0", Status.done, 1.0)
    assert queue.lease("0") == (wanted[0], 2)
    assert queue.join("0") == (wanted[0], 2)


def test_attempts_are_capped_and_earlier_launches_count() -> None:
    [unit] = units(1)
    queue = Queue([unit], max_attempts=3, failed_before={unit.id: 1})
    queue.join("0")
    for attempt in (2, 3):
        assert queue.lease("0") == (unit, attempt)
        queue.finish("0", Status.failed, 1.0)
    assert queue.lease("0") is None
    now = queue.snapshot()
    assert (now.given_up, now.failed, now.recorded) == (1, 2, 0)


def test_a_sweep_in_which_nothing_succeeds_is_stopped() -> None:
    wanted = units(7)
    queue = Queue(wanted, max_attempts=3)
    queue.join("0")
    for _ in range(ALIKE_FAILURES):
        assert queue.lease("0") is not None
        queue.finish("0", Status.failed, 1.0, "OSError: no weights")
    assert queue.lease("0") is None
    reason = f"the first {ALIKE_FAILURES} attempts all failed, the last with: OSError: no weights"
    assert queue.snapshot().stopped == reason


def test_one_success_keeps_a_sweep_going() -> None:
    queue = Queue(units(7), max_attempts=3)
    queue.join("0")
    queue.lease("0")
    queue.finish("0", Status.done, 1.0)
    for _ in range(2 * ALIKE_FAILURES):
        assert queue.lease("0") is not None
        queue.finish("0", Status.failed, 1.0)


def test_stopping_leases_nothing_more_and_keeps_the_first_reason() -> None:
    queue = Queue(units(2), max_attempts=3)
    queue.join("0")
    queue.lease("0")
    queue.stop("first")
    queue.stop("second")
    queue.finish("0", Status.done, 1.0)
    assert queue.lease("0") is None
    assert queue.snapshot().stopped == "first"
