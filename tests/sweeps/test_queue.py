"""Leases: each unit is given to one lane at a time, comes back when a lane is gone, is given up when it cannot be."""

from dataclasses import dataclass

import pytest

from em.store.record import Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.health import ALIKE, ANYHOW
from sweeps.protocol import Lease, Order, Result
from sweeps.queue import BATCH_SECONDS, ELSEWHERE_SECONDS, LOSSES, SPARE, STARTS, Queue

DONE, FAILED = Result(Status.done, 1.0), Result(Status.failed, error="RuntimeError: no weights")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def units(count: int, *overrides: str) -> list[Unit]:
    return expand.units(compose_launch(["sweep=smoke", "sweep.seeds=40", *overrides]))[:count]


def two_models(seeds: int) -> list[Unit]:
    """First all units of one model (its base and its seeds), then all of the other."""
    axes = "sweep.axes=[{field:model.pretrain.seed,values:[0,1]}]"
    wanted = expand.units(compose_launch(["sweep=smoke", axes, "sweep.figures=[]", f"sweep.seeds={seeds}"]))
    return sorted(wanted, key=lambda unit: unit.trial.model.label)


def queue_of(wanted: list[Unit], lanes: int = 1, **settings: object) -> Queue:
    queue = Queue(wanted, **({"max_attempts": 3, "clock": Clock()} | settings))  # type: ignore[arg-type]
    for lane in range(lanes):
        queue.join(str(lane))
    return queue


def next_of(queue: Queue, lane: str = "0") -> Lease | Order:
    """What the lane is given; one unit, since these take long."""
    given = queue.exchange(lane)
    if isinstance(given, Order):
        return given
    [lease] = given
    return lease


def leased(queue: Queue, lane: str = "0") -> Unit:
    lease = next_of(queue, lane)
    assert isinstance(lease, Lease)
    return lease.unit


def work(queue: Queue, outcome: Result = DONE, lane: str = "0") -> Unit:
    """Take the next unit and end it so."""
    unit = leased(queue, lane)
    queue.finish(lane, unit.id, outcome)
    return unit


def test_units_are_leased_in_order_and_once() -> None:
    wanted = units(3)
    queue = queue_of(wanted, lanes=2)
    assert [next_of(queue, "0"), next_of(queue, "1")] == [Lease(wanted[0], 1), Lease(wanted[1], 1)]
    queue.finish("0", wanted[0].id, Result(Status.done, 1.5))
    assert next_of(queue, "0") == Lease(wanted[2], 1)
    queue.finish("0", wanted[2].id, Result(Status.diverged, 0.5))
    assert next_of(queue, "0") is Order.wait  # lane 1 may still fail
    queue.finish("1", wanted[1].id, DONE)
    assert next_of(queue, "0") is Order.end
    now = queue.snapshot()
    assert (now.planned, now.done, now.diverged, now.failed, now.running, now.recorded) == (3, 2, 1, 0, 0, 3)
    assert now.unit_seconds == [1.5, 0.5, 1.0]


def test_lanes_that_wait_for_the_last_units_end_but_for_some_that_take_what_is_lost() -> None:
    clock, wanted, count = Clock(), units(12), SPARE + 4
    queue = queue_of(wanted, lanes=count, clock=clock)
    given = {str(lane): leased(queue, str(lane)) for lane in range(count)}
    assert len(given) == len(wanted)
    for lane in range(2, count):
        queue.finish(str(lane), given[str(lane)].id, DONE)
    waiting = [next_of(queue, str(lane)) for lane in range(2, count)]
    assert waiting == [Order.wait] * SPARE + [Order.end] * 2
    assert next_of(queue, "2") is Order.wait  # it asks again, and is one of those
    queue.take_back("0")
    assert leased(queue, "2") == given["0"]
    assert next_of(queue, "3") is Order.wait
    assert queue.add(units(13)) == -1  # too late for most lanes


def test_the_more_is_at_stake_the_more_lanes_wait() -> None:
    queue = queue_of(units(121), lanes=150)
    for lane in range(121):
        leased(queue, str(lane))
    waiting = [next_of(queue, str(lane)) for lane in range(121, 150)]
    assert waiting == [Order.wait] * 13 + [Order.end] * 16  # of 121 units a tenth, rounded up


def test_no_lane_ends_early_where_more_may_come() -> None:
    clock, wanted = Clock(), units(12)
    for settings, pause in (({"is_open": True}, False), ({}, True)):
        queue = queue_of(wanted, lanes=12 + 2 * SPARE, clock=clock, **settings)
        for lane in range(12 - pause):
            leased(queue, str(lane))
        if pause:
            queue.pause()
        assert [next_of(queue, str(lane)) for lane in range(12, 12 + 2 * SPARE)] == [Order.wait] * 2 * SPARE


def test_lanes_that_are_gone_are_not_counted_among_those_that_wait() -> None:
    clock = Clock()
    queue = queue_of(units(1), lanes=SPARE + 2, clock=clock, lease_seconds=60.0)
    leased(queue)
    assert [next_of(queue, str(lane)) for lane in range(1, SPARE + 1)] == [Order.wait] * SPARE
    clock.now += 61
    queue.beat("0", "step 1")
    assert next_of(queue, str(SPARE + 1)) is Order.wait


def test_a_lane_goes_on_with_the_model_that_it_has_loaded_and_lanes_spread_over_models() -> None:
    wanted = two_models(seeds=3)
    queue = queue_of(wanted, lanes=2)
    first = [leased(queue, lane).trial.model.label for lane in ("0", "1")]
    assert first == ["tiny-0", "tiny-1"]
    for _ in range(3):
        for lane, label in (("0", "tiny-0"), ("1", "tiny-1")):
            queue.finish(lane, next(iter(queue.leases[lane])), DONE)
            assert leased(queue, lane).trial.model.label == label


def test_a_lane_whose_model_has_nothing_left_helps_another() -> None:
    wanted = two_models(seeds=3)
    queue = queue_of([*wanted[:1], *wanted[4:]])
    models = [work(queue).trial.model.label for _ in range(5)]
    assert models == ["tiny-1", "tiny-1", "tiny-0", "tiny-1", "tiny-1"]  # seed 0 of all before seed 1 of any


def test_what_a_dead_lane_held_comes_back_first_and_is_no_failure() -> None:
    wanted = units(3)
    queue = queue_of(wanted)
    leased(queue)
    queue.join("0")
    assert next_of(queue, "0") == Lease(wanted[0], 1)
    assert (queue.snapshot().lost, queue.snapshot().failed) == (1, 0)


def test_a_unit_that_is_lost_with_its_lane_again_and_again_has_failed() -> None:
    wanted = units(2)
    queue = queue_of(wanted)
    for _ in range(LOSSES):
        assert next_of(queue, "0") == Lease(wanted[0], 1)
        queue.join("0")
    assert next_of(queue, "0") == Lease(wanted[0], 1, lost=True)
    queue.finish("0", wanted[0].id, FAILED)
    assert [next_of(queue, "0")] == [Lease(wanted[1], 1)]


def test_a_lease_expires_without_signs_of_life_and_its_late_end_counts_once() -> None:
    wanted, clock = units(1), Clock()
    queue = queue_of(wanted, lanes=2, clock=clock, lease_seconds=60.0)
    leased(queue, "0")
    clock.now = 59
    assert queue.beat("0", "step 3") is Order.go_on
    clock.now = 118
    assert next_of(queue, "1") is Order.wait
    clock.now = 120
    assert next_of(queue, "1") == Lease(wanted[0], 1)
    queue.finish("0", wanted[0].id, DONE)  # it was only slow: the record is made, lane 1 will find it
    queue.finish("1", wanted[0].id, Result(Status.done))
    assert (queue.snapshot().recorded, queue.snapshot().left, next_of(queue, "0")) == (1, 0, Order.end)


def test_attempts_are_capped_and_earlier_launches_count() -> None:
    [unit] = units(1)
    queue = queue_of([unit], failed_before={unit.id: 1})
    for attempt in (2, 3):
        assert next_of(queue, "0") == Lease(unit, attempt)
        queue.finish("0", unit.id, FAILED)
    assert next_of(queue, "0") is Order.end
    now = queue.snapshot()
    assert (now.given_up, now.failed, now.recorded, now.left) == (1, 2, 0, 0)


def test_a_mistake_in_the_config_is_not_tried_again() -> None:
    wanted = units(2)
    queue = queue_of(wanted)
    work(queue, Result(Status.failed, error="InputError: too long", final=True))
    assert [work(queue).id, next_of(queue, "0")] == [wanted[1].id, Order.end]
    assert queue.snapshot().given_up == 1


def test_what_a_source_waits_for_is_given_up_by_what_is_recorded() -> None:
    """Only attempts are recorded: the source would wait for a unit that the queue alone has given up."""
    queue = queue_of(units(1), is_open=True)
    for _ in range(3):
        assert queue.snapshot().given_up == 0
        work(queue, Result(Status.failed, error="InputError: too long", final=True))
    assert queue.snapshot().given_up == 1


def test_a_sweep_in_which_everything_fails_alike_is_stopped() -> None:
    queue = queue_of(units(20), lanes=2)
    work(queue)
    for number in range(2 * ALIKE):
        assert queue.snapshot().stopped == ""
        failed = Result(Status.failed, error=f"worker {number:04x} killed in step {number}/10")
        work(queue, failed, lane=str(number % 2))
    reason = f"the last {2 * ALIKE} trials all failed alike: worker 0005 killed in step 5/10"
    assert (queue.snapshot().stopped, next_of(queue, "0")) == (reason, Order.end)


def test_causes_that_differ_stop_a_sweep_later() -> None:
    queue = queue_of(units(40))
    for number in range(ANYHOW):
        assert queue.snapshot().stopped == ""
        work(queue, Result(Status.failed, error=["red", "green"][number % 2]))
    assert queue.snapshot().stopped == f"the last {ANYHOW} trials all failed: green"


def test_one_bad_node_that_comes_first_stops_no_sweep() -> None:
    """Neither by trials that fail nor by a lane that cannot start, while others are on their way."""
    clock = Clock()
    queue = queue_of(units(20), clock=clock, lanes_expected=2)
    for _ in range(2 * ALIKE):
        work(queue, FAILED)
    for _ in range(STARTS):
        queue.beat("0", "OSError: no space left")
        queue.join("0")
    assert queue.snapshot().stopped == ""
    queue.join("1")
    work(queue, lane="1")
    for _ in range(2 * ALIKE):
        work(queue, FAILED)
    assert queue.snapshot().stopped.startswith(f"the last {2 * ALIKE} trials all failed alike")


def test_lanes_that_do_not_come_are_not_waited_for() -> None:
    clock = Clock()
    queue = queue_of(units(20), clock=clock, lanes_expected=2)
    clock.now += queue.lease_seconds + 1
    for _ in range(ALIKE):
        assert queue.snapshot().stopped == ""
        work(queue, FAILED)
    assert queue.snapshot().stopped


def test_an_attempt_counts_once_whoever_tells_of_it_first() -> None:
    """The driver may have read of it in the store before the lane says how it ended."""
    [wanted] = units(1)
    queue = queue_of([wanted], is_open=True)
    for attempt in (1, 2, 3):
        assert queue.snapshot().given_up == 0
        lease = next_of(queue)
        assert isinstance(lease, Lease)
        assert lease.attempt == attempt
        queue.add([wanted], False, {wanted.id: attempt})
        queue.finish("0", wanted.id, FAILED)
    assert queue.snapshot().given_up == 1


def test_what_the_store_says_has_failed_too_often_is_not_tried_again() -> None:
    """The source goes by that: it counts attempts of lanes that were thought gone, and of other launches."""
    first, second = units(2)
    queue = queue_of([first, second], is_open=True)
    queue.add([], False, {first.id: 3})
    assert leased(queue) is second
    assert queue.snapshot().given_up == 1
    queue.add(units(3)[2:], False, {units(3)[2].id: 3})
    queue.expect(is_open=True, max_attempts=4)
    assert leased(queue).id == units(3)[2].id


def test_a_success_in_between_and_second_attempts_stop_nothing() -> None:
    wanted = units(2 * ALIKE + 1)
    queue = queue_of(wanted)
    for unit in wanted:  # every other trial is poison; at the end only these are left, and tried again
        work(queue, FAILED if wanted.index(unit) % 2 else DONE)
    while next_of(queue, "0") is not Order.end:
        queue.finish("0", next(iter(queue.leases["0"])), FAILED)
    now = queue.snapshot()
    assert (now.stopped, now.given_up, now.recorded) == ("", ALIKE, ALIKE + 1)


def test_a_store_that_cannot_be_written_stops_the_sweep_and_costs_no_attempt() -> None:
    wanted = units(2)
    queue = queue_of(wanted)
    work(queue, Result(None, unwritable="No space left on device"))
    now = queue.snapshot()
    assert (now.stopped, now.failed) == ("the store cannot be written: No space left on device", 0)
    assert queue.failures[wanted[0].id] == 0


def test_what_another_launch_is_at_is_looked_at_again_later() -> None:
    wanted, clock = units(2), Clock()
    queue = queue_of(wanted, clock=clock)
    work(queue, Result(None))
    assert work(queue).id == wanted[1].id
    assert next_of(queue, "0") is Order.wait
    clock.now = ELSEWHERE_SECONDS
    assert work(queue).id == wanted[0].id
    assert next_of(queue, "0") is Order.end


def test_what_one_that_died_was_at_is_done_before_what_waits_once_its_claim_has_run_out() -> None:
    wanted, clock = units(5), Clock()
    queue = queue_of(wanted, clock=clock, lease_seconds=60.0)
    assert work(queue, Result(None)).id == wanted[0].id
    clock.now = 59
    assert work(queue).id == wanted[1].id
    clock.now = 60
    assert work(queue, Result(None)).id == wanted[0].id  # somebody is still at it
    assert work(queue).id == wanted[2].id
    clock.now = 120
    assert [work(queue).id for _ in range(3)] == [wanted[0].id, wanted[3].id, wanted[4].id]
    assert next_of(queue) is Order.end


def test_no_lane_loads_another_model_for_it_while_its_own_has_work() -> None:
    wanted, clock = two_models(seeds=1), Clock()
    queue = queue_of(wanted, clock=clock)
    assert work(queue, Result(None)).id == wanted[0].id
    assert [work(queue).id for _ in range(2)] == [unit.id for unit in wanted[1:3]]
    clock.now = 1000
    assert [work(queue).id for _ in range(2)] == [wanted[3].id, wanted[0].id]


def test_lanes_that_start_and_start_stop_the_sweep() -> None:
    queue = queue_of(units(2))
    for _ in range(STARTS):
        assert queue.snapshot().stopped == ""
        queue.beat("0", "ImportError: nothing there")
        queue.join("0")
    assert queue.snapshot().stopped == (
        f"lanes started {STARTS + 1} times without finishing anything, the last one said: ImportError: nothing there"
    )


def test_a_pause_leases_nothing_until_it_is_over() -> None:
    queue = queue_of(units(2))
    queue.pause()
    assert (next_of(queue, "0"), queue.snapshot().lanes["0"].doing) == (Order.wait, "paused")
    queue.resume()
    assert leased(queue)


def test_what_is_added_comes_last_or_first_and_once() -> None:
    wanted = units(6)
    queue = queue_of(wanted[:3])
    assert work(queue).id == wanted[0].id
    assert queue.add(wanted[:5]) == 2
    assert queue.add([wanted[4], wanted[5]], first=True) == 1
    assert [work(queue).id for _ in range(5)] == [wanted[at].id for at in (4, 5, 1, 2, 3)]
    assert (next_of(queue, "0"), queue.snapshot().planned) == (Order.end, 6)


@pytest.mark.parametrize(("drop", "word"), [(False, Order.go_on), (True, Order.drop)])
def test_stopping_leases_nothing_more_and_keeps_the_first_reason(drop: bool, word: Order) -> None:
    queue = queue_of(units(2))
    unit = leased(queue)
    queue.stop("first", drop=drop)
    queue.stop("second")
    assert queue.beat("0", "step 1") is word
    queue.finish("0", unit.id, DONE)
    assert (next_of(queue, "0"), queue.snapshot().stopped) == (Order.end, "first")


def test_worker_starts_are_counted() -> None:
    queue = queue_of(units(1))
    for started in (1, 0, 1):
        queue.beat("0", "", started)
    assert queue.snapshot().lanes["0"].engines == 2


def test_short_units_are_leased_by_the_batch_and_fairly() -> None:
    wanted = units(101)
    queue = queue_of(wanted, lanes=2)
    work(queue, Result(Status.done, BATCH_SECONDS / 8))
    given = queue.exchange("0")
    assert given == [Lease(unit, 1) for unit in wanted[1:9]]
    ended = [(unit.id, Result(Status.done, BATCH_SECONDS / 1000)) for unit in wanted[1:9]]
    given = queue.exchange("0", ended)
    assert given == [Lease(unit, 1) for unit in wanted[9 : 9 + 92 // 4]]  # half of what each of two lanes may expect
    queue.join("0")  # it died; all of them come back, in their order
    assert isinstance(again := queue.exchange("1"), list)
    assert [lease.unit for lease in again] == wanted[9 : 9 + 92 // 4]
    assert len(repr(queue)) < 200  # Ray asks for it at every call


def test_what_was_recorded_already_does_not_make_batches_long() -> None:
    """Else a launch that catches up with another one would hand a lane hundreds of long units at once."""
    queue = queue_of(units(101))
    work(queue, Result(Status.done, 60.0))
    for _ in range(64):
        work(queue, Result(Status.done))
    assert len(queue.exchange("0")) == 1  # type: ignore[arg-type]
    assert queue.snapshot().unit_seconds == [60.0]


def test_a_unit_that_waits_for_less_of_a_trial_than_what_is_added_is_left_out() -> None:
    short, long = units(6, "eval.steps=[1]"), units(6, "eval.steps=[1,2]")
    queue = queue_of(short)
    held = leased(queue)
    assert held == short[0]
    assert queue.add(long[1:4]) == 3
    assert queue.snapshot().planned == 6
    assert queue.exchange("0", [(held.id, DONE)]) == [Lease(long[1], 1)]
    assert [work(queue).id for _ in range(4)] == [unit.id for unit in (*long[2:4], *short[4:6])]


def test_a_lane_that_waits_for_grades_is_given_another_model_ahead() -> None:
    wanted = two_models(seeds=1)
    queue = queue_of(wanted, lanes=2)
    first, second = leased(queue), wanted[2]
    assert queue.look_ahead("0") is None  # its model has a unit left
    queue.finish("0", first.id, DONE)
    assert leased(queue) == wanted[1]
    assert queue.look_ahead("0") == Lease(second, 1)
    assert [*queue.leases["0"]] == [wanted[1].id, second.id]
    assert leased(queue, "1") == wanted[3]
    assert queue.look_ahead("0") is None
    queue.beat("0", "step 1", ended=[(wanted[1].id, DONE)])
    assert ([*queue.leases["0"]], queue.snapshot().done) == ([second.id], 2)


def test_both_units_of_a_lane_come_back_and_nothing_is_given_ahead_in_a_pause() -> None:
    wanted, clock = [two_models(seeds=1)[at] for at in (0, 2)], Clock()
    queue = queue_of(wanted, lanes=2, clock=clock, lease_seconds=60.0)
    assert leased(queue) == wanted[0]
    queue.pause()
    assert queue.look_ahead("0") is None
    queue.resume()
    assert queue.look_ahead("0") == Lease(wanted[1], 1)
    clock.now = 61
    assert {leased(queue, "1").id, leased(queue, "1").id} == {unit.id for unit in wanted}
    assert queue.snapshot().lost == 2
