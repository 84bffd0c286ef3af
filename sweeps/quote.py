"""What a launch would cost, before it starts: wall time, hours by part, tokens, storage, W&B runs, money.

Needs neither Ray nor torch nor vLLM.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import stdev

import polars as pl
from rich.filesize import decimal

from em.model.checkpoint import cache_folder
from em.store import Store
from em.tiny import recipe
from em.trial.model import Model
from em.trial.unit import Unit
from sweeps import expand
from sweeps.amounts import Amounts, storage, tokens, work_of
from sweeps.board import notices
from sweeps.config import Launch, fitting
from sweeps.costs import Costs, Observation, observations
from sweeps.plan import Plan
from sweeps.progress import duration
from sweeps.requests import Requests, requests
from sweeps.stated import ANSWER, GPUS, PARTS, Seconds, Stated

DRIFT = 0.2  # of a machine's speed from one hour to the next: as a share, nine times in ten
UNKNOWN = 0.35  # standard deviation of one trial's time, as a share, where only one is recorded
GUESSED = 1.5  # half the interval of what is stated and not measured, as a share
COMMAND_SECONDS, START_SECONDS, END_SECONDS = 2.0, 15.0, 0.5  # before the launch, until it works, and after its work
FIGURE_SECONDS = 1.5  # to draw one
PRETRAIN_SECONDS = 70.0  # of a tiny model, on one core


@dataclass(frozen=True)
class Quote:
    """Hours are a lane's; where lanes have GPUs, of so many GPUs each."""

    units: int
    lanes: int
    gpus: float  # of a lane; 0: it has none
    seconds: Seconds  # of all lanes together
    wall: float  # seconds
    spread: float  # of the interval: from wall / (1 + spread) to wall * (1 + spread)
    measured: int  # units that are like recorded ones
    guess: str  # what the others are reckoned from
    work: dict[str, int]  # trials, steps and so on
    tokens: dict[str, int]  # at most, by what is done with them
    storage: dict[str, float]  # bytes, by kind
    runs: int  # of W&B
    price: float  # of a GPU-hour
    advice: str
    requests: Requests | None = None  # to the store, where that is a bucket
    requests_price: float = 0.0

    @property
    def gpu_hours(self) -> float:
        return self.seconds.total / 3600 * self.gpus

    @property
    def interval(self) -> tuple[float, float]:
        """Seconds of wall time."""
        return self.wall / (1 + self.spread), self.wall * (1 + self.spread)


def quote(launch: Launch, planned: Plan, store: Store) -> Quote:
    """What is left of a plan would take, judged by what the store holds by now."""
    gpu, todo, amounts = launch.budget.gpu, planned.todo, Amounts()
    records, _ = store.records()
    seen = observations(store, records, planned.wanted)
    costs = Costs(seen, Stated(GPUS[gpu]), amounts)
    recorded = dict(records.select("unit_id", pl.col("steps").list.len()).iter_rows())
    replayed = [recorded.get(unit.source, 0) for unit in todo]
    each = [costs.of(unit, steps) for unit, steps in zip(todo, replayed, strict=True)]
    lanes, gpus = lanes_of(launch, len(todo))
    models = {unit.trial.base.id: unit.trial.model for unit in todo}
    loads = sum(costs.stated.load(model) for model in models.values()) * math.ceil(lanes / max(1, len(models)))
    seconds = sum(each, Seconds()) + Seconds(turnover=loads)
    measured = sum(map(costs.is_measured, todo))
    start, end = around(store, records)
    figures = sum(1 if part.sweep.figures is None else len(part.sweep.figures) for part in launch.sweeps)
    tail = 0.5 * max((cost.total for cost in each), default=0.0) * (lanes > 1)
    switches = loads * (1 - 1 / max(1, len(models)))  # the first load of a lane is part of its start
    busy = max((sum(cost.total for cost in each) + switches) / lanes + tail, longest_way(todo, each))
    busy += pretraining(models.values())
    wall = COMMAND_SECONDS + (start + busy + end if todo else 0.0) + FIGURE_SECONDS * figures
    asked = requests(launch, len(todo), seconds.total, wall)
    return Quote(
        units=len(todo),
        lanes=lanes,
        gpus=gpus,
        seconds=seconds,
        wall=wall,
        spread=spread(seen, costs, measured / max(1, len(todo))),
        measured=measured,
        guess="" if measured == len(todo) else said_of(models.values(), gpu),
        work=work_of(todo, replayed, amounts),
        tokens=tokens(todo, replayed, amounts),
        storage=storage(launch, todo, amounts, lanes),
        runs=sum(map(runs, launch.sweeps)),
        price=launch.budget.price,
        advice=advice(launch, seconds, amounts),
        requests=asked,
        requests_price=asked.price(launch) if asked else 0.0,
    )


def lanes_of(launch: Launch, units: int) -> tuple[int, float]:
    """How many lanes, and the GPUs of each: as `cluster` says, else as this machine has room."""
    cluster = launch.cluster
    room = cluster.asked or {"CPU": os.cpu_count() or 1, "GPU": 0 if cluster.address else gpus_here()}
    tiny = all(variant.config.model.pretrain for part in launch.sweeps for variant in part.variants)
    bundle = cluster.bundle(room["GPU"] or not tiny)
    return cluster.lanes or max(1, min(fitting(bundle, room), units)), bundle.get("GPU", 0.0)


def gpus_here() -> int:
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def around(store: Store, records: pl.DataFrame) -> tuple[float, float]:
    """Seconds from a launch's start to its first unit's, and from its last unit's end to its own.

    Half of what the last launches of this store took at best (the first one on a machine fills caches, and says little
    of the next), half of what is usual.
    """
    spans = [(stamp(made["started"]), made["seconds"]) for made in records["provenance"]]
    starts, ends = list[float](), list[float]()
    for notice in notices(store)[-5:]:
        if notice.said["over"] and "ended" in notice.said:
            began, ended = stamp(notice.said["started"]), notice.said["ended"]
            own = [(at, at + seconds) for at, seconds in spans if began <= at <= ended]
            if own:
                starts.append(min(at for at, _ in own) - began)
                ends.append(max(0.0, ended - max(at for _, at in own)))
    seen = (min(starts), min(ends)) if starts else (START_SECONDS, END_SECONDS)
    return (START_SECONDS + seen[0]) / 2, (END_SECONDS + seen[1]) / 2


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pretraining(models: Iterable[Model]) -> float:
    """Seconds until tiny models that are not there yet are."""
    missing = [model for model in models if model.pretrain and not recipe.path(model.pretrain, cache_folder()).exists()]
    return PRETRAIN_SECONDS * math.ceil(len(missing) / (os.cpu_count() or 1))


def longest_way(todo: Sequence[Unit], each: Sequence[Seconds]) -> float:
    """Seconds of the unit that takes longest, with those that it waits for."""
    both = list(zip(todo, each, strict=True))
    ends = {(unit.trial.id, step): cost.total for unit, cost in both for step in unit.ends}
    return max((cost.total + (ends.get(unit.start, 0.0) if unit.start else 0.0) for unit, cost in both), default=0.0)


def spread(seen: Sequence[Observation], costs: Costs, measured: float) -> float:
    """Half the width of the interval, as a share: of the mean of what was observed, of the machine's speed, and of
    what is not measured."""
    if not measured:
        return GUESSED
    from scipy.special import stdtrit  # Student's quantile; takes a fifth of a second to load

    ratios = [ratio for item in seen if (ratio := costs.ratio(item)) is not None]
    count = max(1, len(ratios))
    deviation = stdev(ratios) if count > 1 else UNKNOWN
    of_mean = float(stdtrit(max(1, count - 1), 0.95)) * deviation / math.sqrt(count)
    return measured * math.hypot(min(of_mean, GUESSED), DRIFT) + (1 - measured) * GUESSED


def said_of(models: Iterable[Model], gpu: str) -> str:
    """What is reckoned with where nothing alike is recorded."""
    if all(model.pretrain for model in models):
        return "what the tiny model takes on one core of a server"
    return f"operations and bytes of an {gpu} (budget.gpu), answers of {ANSWER:.0%} of their token limit"


def runs(part: Launch) -> int:
    """W&B runs: one for each cell (or trial), a monitor, a curve for each axis."""
    return len((expand.trials if part.tracking.by_trial else expand.cells)(part)) + 1 + len(part.sweep.varied)


def advice(launch: Launch, seconds: Seconds, amounts: Amounts) -> str:
    """The dearest part, and the setting that would make it cheaper."""
    part = max(PARTS, key=lambda name: getattr(seconds, name))
    own = getattr(seconds, part)
    said = f"dearest is {part}, {own / seconds.total if seconds.total else 0.0:.0%}"
    samples = max((of.eval.samples for of in launch.sweeps if any(of.eval.temperatures)), default=1)
    counted = [len(of.seeds) for of in launch.sweeps if not any(axis.field == "seed" for axis in of.sweep.axes)]
    seeds = max(counted, default=1)
    if part == "evaluation" and samples > 1:
        return f"{said}: eval.samples={samples // 2} instead of {samples} would save some {duration(own / 2)}"
    if part == "turnover":
        return f"{said}: fewer models at a time would save most of it, such as model=NAME"
    if part == "evaluation":
        measured = {name: of for sweep in launch.sweeps for name, of in sweep.benchmarks.items()}
        largest = max(measured, key=lambda name: amounts.problems(measured[name]) * measured[name].max_new_tokens)
        return f"{said}: benchmarks.{largest}.limit=N measures fewer problems"
    if seeds > 1:
        saved = duration(seconds.total / 2)
        return f"{said}: sweep.seeds={seeds // 2} instead of {seeds} would save some {saved} of all"
    return f"{said}: fewer values on an axis, or rollout.max_new_tokens=N, would save most"


def said(made: Quote, bound: str = "") -> list[str]:
    """The quote in words, a line a fact; `bound`, "at most " or "at least ": where results may make it another."""
    if not made.units:
        return ["quote: nothing is left to do"]
    low, high = made.interval
    lanes = f"{made.lanes} lane{'s' * (made.lanes != 1)}"
    on = f"{lanes} of {made.gpus:g} GPU{'s' * (made.gpus != 1)}" if made.gpus else f"{lanes} without GPU"
    lines = [
        f"quote: {bound}{duration(made.wall)} of wall time "
        f"(90%: {duration(low)} to {duration(high)}) on {on}; cluster.lanes=N quotes another number"
    ]
    parts = (f"{name} {duration(getattr(made.seconds, name))}" for name in PARTS)
    lines.append(f"  lane time {duration(made.seconds.total)}: {', '.join(parts)}")
    if made.gpus:
        hours = f"  {made.gpu_hours:,.1f} GPU-hours"
        money = f", {made.gpu_hours * made.price:,.0f} at {made.price:g} an hour" if made.price else ""
        lines.append(f"{hours}{money or '; budget.price=N says what that is in money'}")
    if made.guess:
        like = f"  {made.measured:,} of {made.units:,} units are like recorded ones; the others from {made.guess}"
        lines.append(f"{like}; pilot=3 runs three and measures")
    else:
        lines.append("  from recorded timings of like trials")
    work = (f"{count:,} {name}" for name, count in made.work.items() if count or name != "replayed")
    lines.append(f"  to do: {', '.join(work)}")
    counts = (f"{name} {count / 1e6:,.3g} M" for name, count in made.tokens.items())
    lines.append(f"  tokens at most: {', '.join(counts)}")
    states = f", states {decimal(int(made.storage['states']))} at a time" if made.storage["states"] else ""
    records = decimal(int(made.storage["records"]))
    lines.append(f"  storage: records {records} at most, kept{states}; {made.runs:,} W&B runs if wanted")
    if made.requests:
        puts, gets = f"{made.requests.puts:,.0f} PUT and LIST", f"{made.requests.gets:,.0f} GET"
        prices = "by budget.put_price and budget.get_price"
        lines.append(f"  requests to the store: {puts}, {gets}: ${made.requests_price:,.2f} {prices}")
    lines.append(f"  {made.advice}")
    return lines
