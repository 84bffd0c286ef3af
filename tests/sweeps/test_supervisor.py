"""The driver between its source and its queue, without Ray: records come from a store that has them all."""

import time
from collections.abc import Callable
from threading import Event
from types import SimpleNamespace

import pytest

from em.errors import InputError
from em.store import Store
from em.store.record import Status
from em.store.states import States
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.plan import plan
from sweeps.protocol import Order, Result
from sweeps.queue import Queue
from sweeps.source import source_of
from sweeps.supervisor import VAIN_SECONDS, SpentError, Supervisor
from tests.memory import MemoryFiles
from tests.sweeps.test_decided import DECIDED, WORDS, truth
from tests.synthetic import fill

DONE = Result(Status.done, 1.0)
BOARD = SimpleNamespace(about={}, answer=lambda do: None, post=lambda *said, over=False: None)


class Driven:
    """A launch of these words; `whole` has the record of whatever it may want."""

    def __init__(self, *words: str, whole: Store | None = None) -> None:
        self.config = compose_launch([*words, "tracking=quiet"])
        self.store, self.whole = Store("none", MemoryFiles(), decides=True), whole
        source = source_of(self.config, self.store)
        planned = plan(self.config, self.store, source)
        self.queue = Queue(planned.todo, 3, planned.attempts, is_open=source.follows_results)
        self.queue.join("0")

        def call(method: str, *arguments: object) -> object:
            return getattr(self.queue, method)(*arguments)

        shown: list[object] = [BOARD, None, None]
        self.supervisor = Supervisor(self.config, source, self.store, call, *shown)  # type: ignore[arg-type]

    def work(self) -> bool:
        """Until there is nothing, and the source is asked; whether the lane goes on."""
        while isinstance(leases := self.queue.exchange("0"), list):
            for lease in leases:
                name = f"records/{lease.unit.id}.parquet"
                if self.whole:
                    self.store.files.create_once(name, self.whole.files.read(name))
                self.queue.finish("0", lease.unit.id, DONE)
        self.supervisor.ask_source(self.queue.snapshot())
        return leases is Order.wait

    def end(self) -> None:
        for _ in range(100):
            if not self.work():
                return
        raise AssertionError("the launch waits for ever")

    def watch(self, meanwhile: Callable[[], object]) -> Launch:
        """The driver's loop, of two turns."""
        ended = Event()
        turns = iter([meanwhile, ended.set])
        ended.wait = lambda timeout=None: bool(next(turns)())  # type: ignore[method-assign]
        return self.supervisor.watch(SimpleNamespace(ended=ended, error=None, release_lanes_that_wait_for_room=list))


@pytest.fixture(scope="module")
def whole() -> Store:
    store = Store("none", MemoryFiles())
    fill(store, compose_launch(WORDS), truth)
    return store


@pytest.mark.parametrize(("first", "then"), [(DECIDED, WORDS), ([*WORDS, "sweep.seeds=2"], DECIDED)])
def test_what_is_added_may_stop_seeds_or_let_them_be(whole, first, then):
    launch = Driven(*first, whole=whole)
    launch.supervisor.do("add", then)
    launch.end()
    assert plan(compose_launch(then), launch.store).todo == []


def test_another_sweep_that_grows_is_not_added_in_part(whole):
    launch = Driven(*WORDS, whole=whole)
    with pytest.raises(InputError, match="sweep=other: what it wants follows from its results; launch it by itself"):
        launch.supervisor.do("add", [*DECIDED, "sweep.name=other"])


def test_what_is_added_may_be_tried_more_often():
    launch = Driven("sweep=smoke", "sweep.seeds=1")
    [unit] = [unit for unit in expand.units(launch.config) if unit.trial.is_base]
    launch.queue.add([], False, {unit.id: 3})
    launch.supervisor.do("add", ["sweep=smoke", "sweep.seeds=1", "sweep.max_attempts=4"])
    leases = launch.queue.exchange("0")
    assert isinstance(leases, list)
    assert (leases[0].unit.id, leases[0].attempt) == (unit.id, 4)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_budget_that_ends_with_the_last_unit_leaves_nothing(seeds):
    launch = Driven("sweep=smoke", f"sweep.seeds={seeds}", "sweep.axes=[]", "sweep.figures=[]", "budget.wall_hours=1")
    launch.queue.finish("0", launch.queue.exchange("0")[0].unit.id, DONE)  # type: ignore[index]
    [held] = launch.queue.exchange("0")  # type: ignore[misc]
    launch.supervisor.began -= 3600
    launch.supervisor.keep_budget(launch.queue.snapshot())

    def finish() -> None:
        launch.queue.exchange("0", [(held.unit.id, DONE)])

    if seeds == 1:
        assert launch.watch(finish) is launch.config
    else:
        with pytest.raises(SpentError):
            launch.watch(finish)


def test_kept_weights_stay_while_results_may_want_more_that_starts_there(monkeypatch):
    words = ["phase=em_after_grpo", "rollout.temperature=0.5,1.0", "sweep.seeds=8", "stopping=decided"]
    launch, dropped = Driven(*words), list[tuple[str, int]]()
    monkeypatch.setattr(States, "drop_end", lambda states, *start: dropped.append(start))
    while isinstance(leases := launch.queue.exchange("0"), list):
        launch.queue.finish("0", leases[0].unit.id, DONE)
    launch.supervisor.drop_states(launch.queue.snapshot())
    assert launch.queue.snapshot().unneeded
    assert dropped == []
    launch.queue.expect(is_open=False, max_attempts=3)
    launch.supervisor.drop_states(launch.queue.snapshot())
    assert sorted(dropped) == sorted(launch.queue.snapshot().unneeded)


def test_a_source_that_knows_no_further_stops_the_launch(monkeypatch):
    launch = Driven(*DECIDED)

    def fails(*arguments: object) -> None:
        raise InputError("search: no point can be trained")

    monkeypatch.setattr("sweeps.supervisor.plan", fails)
    launch.queue.finish("0", launch.queue.exchange("0")[0].unit.id, DONE)  # type: ignore[index]
    launch.supervisor.ask_source(launch.queue.snapshot())
    assert launch.queue.snapshot().stopped == "search: no point can be trained"


def test_records_that_show_late_are_waited_for(whole, monkeypatch):
    """A folder of a network may be seen as it was a minute ago."""
    launch, now = Driven(*DECIDED, whole=whole), [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    late = launch.store.files.list

    def listed(folder: str) -> list[str]:
        return late(folder)[:-1] if folder == "records" else late(folder)

    monkeypatch.setattr(launch.store.files, "list", listed)
    for _ in range(50):
        assert launch.work()
        now[0] += VAIN_SECONDS / 100
    monkeypatch.setattr(launch.store.files, "list", late)
    launch.end()
    assert plan(compose_launch(DECIDED), launch.store).todo == []


def test_records_that_never_show_are_not_waited_for_for_ever(whole, monkeypatch):
    launch, now = Driven(*DECIDED), [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert launch.work()
    now[0] += VAIN_SECONDS + 1
    launch.work()
    assert not launch.work()
