"""Units that start where others end: they wait for these, lanes go on from there, and nothing waits for ever."""

from collections import Counter

import polars as pl
import pytest

from em.store import index
from em.store.record import Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.config import compose_launch
from sweeps.plan import compare, waits
from sweeps.protocol import Order, Result
from sweeps.queue import Queue

NOTHING, NO_FAILURES = pl.DataFrame(schema=index.SCHEMA), Counter[str]()  # recorded
DONE, FAILED = Result(Status.done, 1.0), Result(Status.failed, error="RuntimeError: no weights")


def units(*words: str) -> list[Unit]:
    return expand.units(compose_launch(["phase=em_after_grpo", *words]))


def queue_of(wanted: list[Unit], lanes: int = 2, max_attempts: int = 2) -> Queue:
    queue = Queue(wanted, max_attempts, clock=lambda: 0.0)
    for lane in range(lanes):
        queue.join(str(lane))
    return queue


def leased(queue: Queue, lane: str) -> Unit:
    given = queue.exchange(lane)
    assert not isinstance(given, Order), given
    [lease] = given
    return lease.unit


def test_sixteen_seeds_wait_for_the_phase_that_they_start_from() -> None:
    wanted = units("seed=range(0,16)")
    base, rl, *trained = wanted
    assert [unit.start for unit in trained] == [(rl.trial.id, 20)] * 16
    assert rl.ends == (20,)
    queue = queue_of(wanted)
    assert (leased(queue, "0"), leased(queue, "1")) == (base, rl)
    queue.finish("0", base.id, DONE)
    assert queue.exchange("0") is Order.wait
    assert queue.snapshot().left == 17
    queue.finish("1", rl.id, DONE)
    assert {leased(queue, "0").id, leased(queue, "1").id} == {unit.id for unit in trained[:2]}
    assert queue.snapshot().unneeded == []
    for unit in trained:
        for lane in ("0", "1"):
            queue.finish(lane, unit.id, DONE)
            queue.exchange(lane)
    assert queue.snapshot().left == 0
    assert queue.snapshot().unneeded == [(rl.trial.id, 20)]


def test_a_lane_stays_with_a_model_whose_units_wait_for_the_one_that_it_holds() -> None:
    base, rl, trained, *_ = units()
    other = units("model.pretrain.seed=1")[0]
    queue = queue_of([base, rl, trained, other], lanes=1)
    assert leased(queue, "0") == base
    queue.finish("0", base.id, DONE)
    assert leased(queue, "0") == rl
    assert queue.look_ahead("0") is None
    queue.finish("0", rl.id, DONE)
    assert leased(queue, "0") == trained
    ahead = queue.look_ahead("0")
    assert ahead is not None
    assert ahead.unit == other


def test_what_waits_for_a_phase_that_is_given_up_is_given_up_with_it() -> None:
    """Each would train that phase for itself, and fail alike; a later plan does not try them either."""
    wanted = units("seed=range(0,3)")
    _, rl, *trained = wanted
    queue = queue_of(wanted, lanes=1)
    queue.finish("0", leased(queue, "0").id, DONE)
    for _ in range(2):
        assert leased(queue, "0") == rl
        queue.finish("0", rl.id, FAILED)
    assert queue.exchange("0") is Order.end
    now = queue.snapshot()
    assert (now.given_up, now.failed, now.left) == (4, 2, 0)
    planned = compare(wanted[1:], NOTHING, queue.failures, [], max_attempts=2)
    assert planned.todo == []
    assert planned.given_up == [rl, *trained]


def test_a_diverged_phase_lets_them_go_on_and_diverge_alike() -> None:
    base, rl, first, *_ = units("seed=range(0,2)")
    queue = queue_of([base, rl, first])
    assert (leased(queue, "0"), leased(queue, "1")) == (base, rl)
    queue.finish("1", rl.id, Result(Status.diverged, 1.0))
    assert leased(queue, "1") == first


def test_a_lane_goes_on_with_the_weights_that_it_has() -> None:
    """Two models that reinforcement learning made: each lane stays at one, as long as there is work for it."""
    one = units("seed=range(0,4)")
    two = units("seed=range(0,4)", "before=[{phase: grpo, seed: 1}]")
    queue = queue_of([*one[1:2], *two[1:2], *one[2:], *two[2:]])
    assert (leased(queue, "0"), leased(queue, "1")) == (one[1], two[1])
    queue.finish("0", one[1].id, DONE)
    queue.finish("1", two[1].id, DONE)
    taken: dict[str, list[Unit]] = {"0": [], "1": []}
    for _ in range(4):
        for lane in taken:
            unit = leased(queue, lane)
            taken[lane].append(unit)
            queue.finish(lane, unit.id, DONE)
    assert [len({unit.start for unit in of_lane}) for of_lane in taken.values()] == [1, 1]


def test_a_phase_that_comes_back_from_a_dead_lane_is_waited_for() -> None:
    base, rl, first, *_ = units()
    queue = queue_of([base, rl, first])
    queue.finish("0", leased(queue, "0").id, DONE)
    assert leased(queue, "0") == rl
    queue.join("0")
    assert leased(queue, "0") == rl
    queue.finish("0", rl.id, DONE)
    assert leased(queue, "0") == first


def test_what_is_added_waits_as_well_and_what_is_covered_is_not_waited_for() -> None:
    """More seeds, and a longer phase before, in place of the one that waits."""
    wanted = units("seed=range(0,2)")
    base, rl, *trained = wanted
    queue = queue_of([base, rl, trained[0]], lanes=1)
    assert queue.add(wanted) == 1
    longer = expand.units(compose_launch(["phase=grpo", "eval.steps=[20,30]", "seed=range(0,1)"]))[1]
    assert longer.trial.id == rl.trial.id
    assert queue.add([longer]) == 1  # it covers the one that waited
    queue.finish("0", leased(queue, "0").id, DONE)
    taken = leased(queue, "0")
    assert (taken.id, taken.ends) == (longer.id, (20,))  # what others start from is kept all the same
    assert queue.exchange("0") is Order.wait
    queue.finish("0", longer.id, DONE)
    assert {leased(queue, "0").id} <= {unit.id for unit in trained}


def test_more_of_a_phase_whose_end_is_recorded_is_not_waited_for() -> None:
    """Nor does giving it up give up what starts from that end."""
    *_, first = units()
    longer = expand.units(compose_launch(["phase=grpo", "eval.steps=[30]", "seed=range(0,1)"]))[1]
    queue = queue_of([longer, first], lanes=2)
    assert {leased(queue, "0").id, leased(queue, "1").id} == {longer.id, first.id}
    assert compare([longer, first], NOTHING, Counter({longer.id: 3}), [], 3).todo == [first]


def test_what_is_asked_for_first_stays_first_when_its_phase_is_done() -> None:
    other = units("seed=range(0,3)", "optimizer.lr=2e-3")
    base, rl, *trained = units("seed=range(0,2)")
    queue = queue_of([base, rl, *other[2:]], lanes=1)
    queue.add(trained, first=True)
    for done in (base, rl):
        assert leased(queue, "0") == done
        queue.finish("0", done.id, DONE)
    assert [leased(queue, "0"), leased(queue, "0")] == trained


def test_a_recorded_phase_is_not_waited_for() -> None:
    *_, first = units()
    assert leased(queue_of([first]), "0") == first


def test_the_plan_says_which_units_wait_for_which() -> None:
    wanted = units("seed=range(0,16)")
    rl = wanted[1]
    said = f"16 of these start from trial {rl.trial.id} after step 20, which is "
    assert waits(compare(wanted, NOTHING, NO_FAILURES, [], 3)) == [said + "trained first"]
    assert waits(compare(wanted[2:], NOTHING, NO_FAILURES, [], 3)) == [said + "recorded"]


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (["phase=em,grpo", "eval.steps=[5,10]"], [None, None]),
        (["phase=em_after_grpo,grpo_after_em", "eval.steps=[5]"], ["grpo", "em"]),
    ],
)
def test_orders_of_phases_are_an_axis(words: list[str], starts: list[str | None]) -> None:
    cells = expand.cells(compose_launch(words))
    before = [cell.trials[0].before for cell in cells]
    assert [earlier[0].phase.objective.name if earlier else None for earlier in before] == starts


def test_a_trial_that_others_start_from_is_one_unit_whatever_else_is_measured_of_it() -> None:
    wanted = expand.units(compose_launch(["phase=grpo,em_after_grpo", "eval.steps=[10,20]"]))
    assert [(unit.last_step, unit.ends) for unit in wanted] == [(0, ()), (20, (20,)), (20, ())]
    assert len(wanted[1].measurements) == 12
