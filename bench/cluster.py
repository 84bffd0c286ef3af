"""A thousand lanes: a simulated sweep of 134,400 trials among preemptions, and what driver and queue cost at its rate.

The simulation has the real queue and a clock of its own: 125 nodes of 8 lanes, half of which join within the first half
hour; a tenth leave for an hour; each minute 1% of the nodes are preempted, and come back.  What lanes and queue say to
each other is pickled, as Ray does.  Then, in real time, a real queue's actor and a real supervisor serve as many calls
a second for half a minute.
"""

import heapq
import os
import pickle
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from bench.processes import cpu_seconds, resident_mib
from bench.rows import Row, at_least, at_most
from em.errors import InputError
from em.store import Store
from em.store.record import Status
from em.trial.unit import Unit
from sweeps import expand
from sweeps.board import Board
from sweeps.config import Launch, compose_launch
from sweeps.launch import BEATS_A_SECOND, connected
from sweeps.progress import Display
from sweeps.protocol import IDLE, Order, Result
from sweeps.queue import Queue
from sweeps.source import source_of
from sweeps.supervisor import Supervisor

TRIALS, NODES, LANES_A_NODE, TEMPERATURES = 134_400, 125, 8, 8
LANES = NODES * LANES_A_NODE
BEAT_SECONDS = LANES / BEATS_A_SECOND
IDLE_SECONDS = IDLE * BEAT_SECONDS
TRIAL_SECONDS, SPREAD = 300.0, 0.5  # mean, and standard deviation of the logarithm
LOAD_SECONDS = 45.0  # from a lane's start to its first trial
NOTICED_SECONDS = 10.0  # until a node's loss is known
PREEMPTED, AWAY_SECONDS = 0.01 / 60, 120.0  # nodes a second; until one is back
LEAVING, LEFT_SECONDS = 0.1, 3600.0
LIVE_SECONDS = 30.0


def launch_of(trials: int, store: Path) -> Launch:
    words = ["sweep=temperature", f"sweep.seeds={trials // TEMPERATURES}", "model.pretrain.steps=30", f"store={store}"]
    return compose_launch([*words, "tracking.progress=plain"])


class Simulation:
    def __init__(self, units: list[Unit], seed: int) -> None:
        self.random, self.now = random.Random(seed), 0.0
        self.queue = Queue(units, max_attempts=3, clock=lambda: self.now)
        self.seconds = {unit.id: self.random.lognormvariate(0, SPREAD) for unit in units}
        scale = TRIAL_SECONDS * len(units) / sum(self.seconds.values())
        self.seconds = {unit: scale * seconds for unit, seconds in self.seconds.items()}
        self.events: list[tuple[float, int, str, int, int]] = []  # when, order, what, lane or node, life of the lane
        self.order, self.cpu, self.calls = 0, 0.0, Counter[str]()
        self.life = [0] * LANES  # of each lane; what was meant for an earlier one is void
        self.up = [0.0] * LANES  # since when; 0: it is not
        self.available = 0.0  # seconds of lanes that were up
        self.records = Counter[str]()
        for node in range(NODES):
            self.at(1.0 if node < NODES // 2 else self.random.uniform(1, 1800), "start", node)
            if self.random.random() < LEAVING:
                self.at(self.random.uniform(3600, 7200), "leave", node)
        self.at(self.random.expovariate(PREEMPTED * NODES), "preempt", 0)
        self.at(BEAT_SECONDS, "beats", 0)

    def at(self, when: float, what: str, who: int, life: int = 0) -> None:
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what, who, life))

    def call(self, verb: str, *arguments: Any) -> Any:
        """A call of the queue, as it comes by a pipe."""
        begun = time.process_time()
        answer = getattr(self.queue, verb)(*pickle.loads(pickle.dumps(arguments, -1)))
        answer = pickle.loads(pickle.dumps(answer, -1))
        self.cpu += time.process_time() - begun
        self.calls[verb] += 1
        return answer

    def run(self) -> None:
        while len(self.records) < len(self.seconds):
            self.now, _, what, who, life = heapq.heappop(self.events)
            getattr(self, what)(who, life)
        for lane in range(LANES):
            self.stop(lane)

    def start(self, node: int, _: int) -> None:
        for lane in lanes_of(node):
            self.life[lane] += 1
            self.up[lane] = self.now
            self.call("join", str(lane), f"node-{node}")
            self.at(self.now + LOAD_SECONDS, "ask", lane, self.life[lane])

    def stop(self, lane: int) -> None:
        if self.up[lane]:
            self.available += self.now - self.up[lane]
        self.up[lane] = 0.0
        self.life[lane] += 1

    def away(self, node: int, seconds: float) -> None:
        if self.up[node * LANES_A_NODE]:
            for lane in lanes_of(node):
                self.stop(lane)
            self.at(self.now + NOTICED_SECONDS + seconds, "start", node)

    def leave(self, node: int, _: int) -> None:
        self.away(node, LEFT_SECONDS)

    def preempt(self, _: int, __: int) -> None:
        self.away(self.random.randrange(NODES), self.random.expovariate(1 / AWAY_SECONDS))
        self.at(self.now + self.random.expovariate(PREEMPTED * NODES), "preempt", 0)

    def ask(self, lane: int, life: int, ended: tuple[tuple[str, Result], ...] = ()) -> None:
        if life != self.life[lane]:
            return
        answer = self.call("exchange", str(lane), ended)
        if answer is Order.end:
            self.stop(lane)
        elif answer is Order.wait:
            self.at(self.now + IDLE_SECONDS, "ask", lane, life)
        else:
            [lease] = answer
            self.at(self.now + self.seconds[lease.unit.id], "end", lane, life)

    def end(self, lane: int, life: int) -> None:
        """The lane's unit is recorded, by whoever comes first."""
        if life == self.life[lane]:
            [unit] = self.queue.leases[str(lane)] or [""]
            self.records[unit] += 1
            self.ask(lane, life, ((unit, Result(Status.done, self.seconds[unit])),))

    def beats(self, _: int, __: int) -> None:
        for lane in range(LANES):
            if self.up[lane]:
                self.call("beat", str(lane), "tiny-0 0123456789abcdef  step 3/10")
        self.at(self.now + BEAT_SECONDS, "beats", 0)


def lanes_of(node: int) -> range:
    return range(node * LANES_A_NODE, (node + 1) * LANES_A_NODE)


def rows(folder: Path, trials: int = TRIALS) -> Iterator[Row]:
    config = launch_of(trials, folder / "store")
    units = expand.units(config)
    simulated = Simulation(units, seed=0)
    simulated.run()
    useful = sum(simulated.seconds.values()) / simulated.available
    twice = sum(count != 1 for count in simulated.records.values())
    calls = ", ".join(f"{count:,} {verb}" for verb, count in simulated.calls.most_common())
    hours, lost = simulated.now / 3600, simulated.queue.lost
    print(f"simulated: {len(units):,} units of work in {hours:.1f} h, {lost:,} lost; {calls}")
    print(
        f"of the queue's own work {simulated.cpu:.0f} s of CPU, {simulated.cpu / simulated.now:.4f} cores", flush=True
    )
    yield Row(f"{LANES} lanes: utilisation", useful, "", at_least(0.95))
    yield Row("units recorded", len(simulated.records), "", at_least(len(units)))
    yield Row("units recorded not once", twice, "", at_most(0))
    per_second = {verb: count / simulated.now for verb, count in simulated.calls.items()}
    del simulated
    cores, mib = live(config, units, per_second, Store(folder / "store"))
    yield Row("cores of driver and queue, live", cores, "", at_most(1))
    yield Row("memory of driver and queue, live", mib, "MiB", at_most(2048))


def live(config: Launch, units: list[Unit], rates: dict[str, float], store: Store) -> tuple[float, float]:
    """Cores and MiB of this process, as a supervisor, and of a queue's actor, called so many times a second."""
    with connected(config.cluster):
        import ray

        queue: Any = ray.remote(num_cpus=0)(Queue).remote(units, 3)
        ray.get([queue.join.remote(str(lane), f"node-{lane // LANES_A_NODE}") for lane in range(LANES)])
        lanes: Any = ray.remote(num_cpus=0)(Lanes).remote(queue)
        board, display = Board(store, "temperature", []), Display("temperature", 0)

        def call(method: str, *arguments: Any) -> Any:
            return ray.get(getattr(queue, method).remote(*arguments))

        supervisor = Supervisor(
            config, source_of(config, store), store, call, board, display, Console(file=StringIO()), gpus=LANES
        )
        tune = SimpleNamespace(ended=threading.Event(), error=None)
        done = lanes.call.remote(rates, LIVE_SECONDS)
        watched = [os.getpid(), ray.get(queue.__ray_call__.remote(lambda _: os.getpid()))]
        before, begun = sum(map(cpu_seconds, watched)), time.monotonic()
        threading.Timer(LIVE_SECONDS, tune.ended.set).start()
        with suppress(InputError):  # units are left
            supervisor.watch(tune)
        used, seconds = sum(map(cpu_seconds, watched)) - before, time.monotonic() - begun
        made: int = ray.get(done)
        print(f"live: {made / seconds:.0f} calls a second of {sum(rates.values()):.0f} wanted", flush=True)
        return used / seconds, sum(map(resident_mib, watched))


class Lanes:
    """All lanes' calls, in one process."""

    def __init__(self, queue: Any) -> None:
        self.queue, self.held = queue, [""] * LANES

    def call(self, rates: dict[str, float], seconds: float) -> int:
        """Spread over the seconds; returns how many were made."""
        import ray

        begun, made, lane = time.monotonic(), Counter[str](), 0
        while (now := time.monotonic() - begun) < seconds:
            waiting = []
            for verb in ("beat", "exchange"):
                while made[verb] < rates[verb] * now:
                    lane, made[verb] = (lane + 1) % LANES, made[verb] + 1
                    waiting.append(self.say(verb, lane))
            ray.get(waiting)
            time.sleep(0.01)
        return sum(made.values())

    def say(self, verb: str, lane: int) -> Any:
        import ray

        if verb == "beat":
            return self.queue.beat.remote(str(lane), "tiny-0 0123456789abcdef  step 3/10")
        held = self.held[lane]
        answer = self.queue.exchange.remote(str(lane), [(held, Result(Status.done, TRIAL_SECONDS))] if held else [])
        self.held[lane] = ray.get(answer)[0].unit.id
        return answer
