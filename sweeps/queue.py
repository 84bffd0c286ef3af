"""Who does what: units of work are leased to lanes, one each, and come back when a lane is gone.

A plain class, without Ray: `launch` makes an actor of it.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from em.store.record import Status
from em.trial.unit import Unit
from sweeps.health import Health, Running
from sweeps.pending import Ahead, Elsewhere, Pending, Start
from sweeps.protocol import Lease, Order, Result, cause
from sweeps.roster import Roster
from sweeps.snapshot import Snapshot

LOSSES = 3  # times that a unit is lost together with its lane before that counts as a failure: it may kill them
STARTS = 5  # starts in a row of a lane that finishes nothing, after which the sweep is stopped
BATCH_SECONDS = 0.5  # of work that a lane is given at once, where units are that short
SPARE, SPARE_SHARE = 8, 0.1  # lanes, or for each unit begun, that wait for what others lose or fail; further ones end
REPLACED_SECONDS = 600.0  # within which a lane that was lost with its node may start again on another
ELSEWHERE_SECONDS = 2.0  # after which a unit that another launch is at is looked at again, where nothing else waits


@dataclass(repr=False)  # Ray asks an actor for its repr at every call
class Queue:
    """Leases `units`: within a model in their order."""

    units: list[Unit]
    max_attempts: int
    failed_before: Mapping[str, int] = field(default_factory=dict)  # by unit id
    lease_seconds: float = 60.0  # without a sign of life of its lane, after which a unit comes back
    is_open: bool = False  # more may be added when results are in: lanes wait for it
    lanes_expected: int = 0  # as many as there is room for; nodes start one after the other
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.pending, self.urgent, self.ahead, self.elsewhere = Pending(), Pending(), Ahead(), Elsewhere()
        self.failures: Counter[str] = Counter(self.failed_before)
        self.losses: Counter[str] = Counter()
        self.health = Health()
        self.lost = 0
        self.leases: dict[str, dict[str, Lease]] = {}  # by lane and unit id
        self.lanes = Roster(self.lanes_expected, self.lease_seconds, self.clock)
        self.known: set[str] = set()
        self.first: set[str] = set()  # of those, what is to be done before everything else
        self.tried: set[str] = set()
        self.counts = dict.fromkeys(Status, 0)
        self.given_up = 0
        self.unit_seconds: deque[float] = deque(maxlen=64)
        self.paused, self.stopped, self.dropped = False, "", False
        self.ending = False  # a lane has been told that there is nothing more, and is gone
        self.add(self.units)

    def add(self, units: Iterable[Unit], first: bool = False, failed_before: Mapping[str, int] | None = None) -> int:
        """Take in what is new of these; `first`: do all of them before everything else.

        A unit that waits for less of a trial than a new one does is left out.  Returns how many are new; -1 where it is
        too late.
        """
        if self.ending or self.stopped:
            return -1
        units = list(units)
        self.failures |= Counter(failed_before or {})
        new = [unit for unit in units if unit.id not in self.known]
        measured = {unit.trial.id: {measurement.key for measurement in unit.measurements} for unit in new}

        def is_covered(unit: Unit) -> bool:
            keys = measured.get(unit.trial.id)
            return keys is not None and keys.issuperset(measurement.key for measurement in unit.measurements)

        covered = [unit for waiting in (self.pending, self.urgent, self.ahead) for unit in waiting.withdraw(is_covered)]
        ends = {unit.trial.id: unit.ends for unit in covered if unit.ends}
        new = [replace(unit, ends=tuple({*unit.ends, *ends.get(unit.trial.id, ())})) for unit in new] if ends else new
        self.known -= {unit.id for unit in covered}
        self.known.update(unit.id for unit in new)
        ready = self.ahead.add(new)
        for unit in covered:
            ready += self.ahead.over(unit)
        ids = {unit.id for unit in units}
        self.first |= ids if first else set()
        moved = self.pending.withdraw(lambda unit: unit.id in ids) if first else []
        (self.urgent if first else self.pending).put(moved + ready)
        return len(new)

    def join(self, lane: str, node: str = "", device: str = "") -> None:
        """A lane has started; what it held before it died comes back."""
        self.take_back(lane)
        said = self.lanes.start(lane, node, device)
        if self.lanes.starts > STARTS * len(self.lanes) and self.lanes.are_all and not self.running:
            starts = f"lanes started {self.lanes.starts} times without finishing anything"
            self.stop(f"{starts}, the last one said: {said}")

    def take_back(self, lane: str) -> None:
        """Put what the lane holds back to where it came from."""
        held = self.leases.setdefault(lane, {})
        self.losses.update(held.keys())
        self.lost += len(held)
        for lease in reversed(held.values()):
            self.pending.put_first(lease.unit)
        held.clear()

    def exchange(self, lane: str, ended: Iterable[tuple[str, Result]] = ()) -> list[Lease] | Order:
        """A lane says how units ended and gets the next: one or, where they are short, some for BATCH_SECONDS."""
        for unit_id, outcome in ended:
            self.finish(lane, unit_id, outcome)
        self.expire()
        self.lanes[lane].seen = self.clock()
        leases = [lease for _ in range(self.batch()) if (lease := self.lease(lane))]
        if leases:
            return leases
        over = bool(self.stopped) or self.is_spare(lane) or not (self.running or self.elsewhere or self.may_lease)
        self.ending = self.ending or over
        idle = "out of use" if self.health.is_broken(self.lanes[lane].device) else "waiting"
        self.lanes[lane].doing = "finished" if over else "paused" if self.paused else idle
        return Order.end if over else Order.wait

    @property
    def may_lease(self) -> bool:
        """Whether units wait or can come without that one is lost or fails."""
        return bool(self.is_open or self.pending or self.urgent or any(self.ahead.waiting.values()))

    def is_spare(self, lane: str) -> bool:
        """Whether the lane waits in vain, as far as can be known: at the end of a sweep long units leave many idle."""
        if self.may_lease:
            return False
        idle = [state for state in self.lanes.alive() if state.doing == "waiting" and state is not self.lanes[lane]]
        return len(idle) >= max(SPARE, SPARE_SHARE * (self.running + len(self.elsewhere)))

    def look_ahead(self, lane: str) -> Lease | None:
        """The lane's next unit where that is of another model, which may load while what the lane holds is graded.

        Nothing where the lane may go on with its model, maybe after what it holds.
        """
        state, waiting = self.lanes[lane], self.urgent or self.pending
        state.seen = self.clock()
        leads = any(lease.unit.leads_to(start) for lease in self.leases[lane].values() for start in self.ahead.waiting)
        stays = bool(waiting) and waiting.next_model(state.model, self.lanes_at())[1] == state.model
        return None if not waiting or leads or stays else self.lease(lane)

    def batch(self) -> int:
        """How many units a lane is given at once, so that what a call costs does not matter."""
        mean = max(0.001, sum(self.unit_seconds) / len(self.unit_seconds)) if self.unit_seconds else math.inf
        share = len(self.pending) // (2 * len(self.lanes))  # at the end none waits for the batch of another
        return max(1, min(int(BATCH_SECONDS / mean), share))

    def lease(self, lane: str) -> Lease | None:
        state = self.lanes[lane]
        if self.stopped or self.paused or self.health.is_broken(state.device):
            return None
        unit = self.next_unit(state.model, state.start)
        while unit and self.failures[unit.id] >= self.max_attempts:  # meanwhile, by what is recorded
            self.give_up(unit)
            unit = self.next_unit(state.model, state.start)
        if unit is None:
            return None
        if self.health.is_for_another(state.device, unit.id, (other.device for other in self.lanes.alive())):
            self.pending.put_last(unit)
            return None
        state.model, state.start, state.since = unit.trial.base.id, unit.end or unit.start, self.clock()
        lost = self.losses[unit.id] >= LOSSES
        if lost:
            del self.losses[unit.id]
        self.leases[lane][unit.id] = Lease(unit, self.failures[unit.id] + 1, lost)
        return self.leases[lane][unit.id]

    @property
    def running(self) -> int:
        """Lanes that hold work."""
        return sum(bool(leases) for leases in self.leases.values())

    def lanes_at(self) -> Counter[str]:
        """How many lanes are at work on each model."""
        return Counter(self.lanes[lane].model for lane, leases in self.leases.items() if leases)

    def next_unit(self, model: str, start: Start | None) -> Unit | None:
        lanes_at, now = self.lanes_at(), self.clock()
        if unit := self.urgent.take(model, start, lanes_at):
            return unit
        if self.pending:
            unit = self.elsewhere.take(now - self.lease_seconds, model)
            return unit or self.pending.take(model, start, lanes_at)
        return self.elsewhere.take(now - ELSEWHERE_SECONDS, None)

    def expire(self) -> None:
        """Take back the units of lanes that show no more life; stop where every GPU fails and no other has come."""
        for lane, leases in self.leases.items():
            if leases and self.clock() - self.lanes[lane].seen > self.lease_seconds:
                self.take_back(lane)
                self.lanes[lane].doing = "gone"
        devices = [state.device for state in self.lanes.alive(REPLACED_SECONDS)] if self.health.broken() else []
        if devices and self.lanes.are_all and all(map(self.health.is_broken, devices)):
            self.stop(f"every GPU fails, the last one said: {self.health.said}")

    def beat(self, lane: str, doing: str, started: int = 0, ended: Iterable[tuple[str, Result]] = ()) -> Order:
        """A sign of life of a lane: what it is doing, how many workers it has just started, how units ended."""
        for unit_id, outcome in ended:
            self.finish(lane, unit_id, outcome)
        state = self.lanes[lane]
        state.seen, state.doing = self.clock(), doing
        state.engines += started
        return Order.drop if self.dropped else Order.go_on

    def finish(self, lane: str, unit_id: str, outcome: Result) -> None:
        """The lane's unit has its record or a failed attempt, which puts it at the end of the queue again."""
        if unit_id not in self.leases[lane]:
            return  # its lease had expired: who has the unit now finds it recorded
        unit = (lease := self.leases[lane].pop(unit_id)).unit
        if outcome.unwritable:
            self.pending.put_first(unit)
            self.stop(f"the store cannot be written: {outcome.unwritable}")
        elif outcome.status is None:
            self.elsewhere.put(unit, self.clock())
        else:
            self.lanes.starts = 0
            self.counts[outcome.status] += 1
            state = self.lanes[lane]
            if outcome.status is Status.failed:
                self.fail(lease, outcome, state.device if outcome.on_device else "")
            else:
                state.done += 1
                self.health.worked(state.device)
                for ready in self.ahead.over(unit):
                    (self.urgent if ready.id in self.first else self.pending).put([ready])
                if outcome.seconds:  # else it was recorded already, and says nothing of what the next will take
                    self.unit_seconds.append(outcome.seconds)
                    self.health.took(unit.trial.base.id, state.node, outcome.seconds)
                self.health.row.clear()
        self.tried.add(unit.id)

    def fail(self, lease: Lease, outcome: Result, device: str) -> None:
        """`device`: that it is laid to, where it is."""
        unit = lease.unit
        self.failures[unit.id] = max(self.failures[unit.id], lease.attempt)  # `add` may know of it already
        final = outcome.final and not self.is_open  # a source goes by what is recorded, which is attempts
        if final or self.failures[unit.id] >= self.max_attempts:
            self.give_up(unit)
        else:
            self.pending.put_last(unit)
        if device:
            self.health.failed(device, unit.id, outcome.error)
        elif unit.id not in self.tried:
            self.health.row.append(cause(outcome.error))
        if self.lanes.are_all and (said := self.health.everything_fails(len(self.lanes))):
            self.stop(f"{said}: {outcome.error}")

    def give_up(self, unit: Unit) -> None:
        self.given_up += 1 + self.ahead.given_up(unit)

    def at_work(self) -> Iterator[Running]:
        """The units that lanes are at, where each has one."""
        for lane, leases in self.leases.items():
            state = self.lanes[lane]
            if len(leases) == 1:
                yield Running(state.model, state.node, self.clock() - state.since)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def expect(self, is_open: bool, max_attempts: int) -> None:
        """Whether more will be added, else lanes end when what is there is done; and when a unit is given up."""
        self.is_open, self.max_attempts = is_open, max_attempts

    def stop(self, reason: str, drop: bool = False) -> None:
        """Lease nothing more; lanes finish what they hold, or drop it."""
        self.stopped = self.stopped or reason
        self.dropped = self.dropped or drop

    def snapshot(self) -> Snapshot:
        self.expire()
        return Snapshot(
            planned=len(self.known),
            done=self.counts[Status.done],
            diverged=self.counts[Status.diverged],
            failed=self.counts[Status.failed],
            given_up=self.given_up,
            lost=self.lost,
            running=self.running,
            lanes=dict(self.lanes),
            unit_seconds=list(self.unit_seconds),
            paused=self.paused,
            stopped=self.stopped,
            is_open=self.is_open,
            slow=self.health.slow(self.at_work()),
            broken=self.health.broken(),
            unneeded=self.ahead.unneeded,
        )
