"""Before a big launch: checks the store and every node that can hold a lane, and has each of these make one trial.

    python -m sweeps.doctor sweep=temperature

One table says what was found, and what to do about it.  The exit status is 1 where anything in it is a FAIL.
"""

import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from em.cli.command import run_command, terminal
from em.errors import InputError, require
from em.quiet import quiet_libraries
from em.store import Store
from em.trial.unit import Unit
from sweeps import checkpoints
from sweeps.amounts import Amounts, record_bytes
from sweeps.config import Cluster, compose_launch, fitting
from sweeps.doctor.canary import SILENT_SECONDS, Canary, canary_of, fly
from sweeps.doctor.checks import Facts, look
from sweeps.doctor.verdicts import Node, Row, judge_all
from sweeps.join import address_of
from sweeps.launch import connected, termination_interrupts
from sweeps.plan import plan
from sweeps.protocol import last_line

FACTS_SECONDS = 120.0  # for a node to start and say what it finds
CANARY_SECONDS = SILENT_SECONDS + 60
TEMP_BYTES = 2**30  # for Ray's session and logs
COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


@contextmanager
def own_folder(store: Store) -> Iterator[str]:
    """A folder in the store for the time of the checks; raises InputError where there can be none."""
    name = f".doctor-{uuid.uuid4().hex[:8]}"
    try:
        store.files.create_once(f"{name}/driver", b"")
    except OSError as error:
        raise InputError(f"store={store.address}: cannot be written: {error.strerror}") from None
    try:
        yield f"{store.place}/{name}"
    finally:
        store.files.remove(name)


def ask_nodes(cluster: Cluster, units: int, folder: str, unit: Unit) -> list[Node]:
    room = ray.cluster_resources()
    bundle = cluster.bundle(room.get("GPU", 0))
    nodes = nodes_with_room(ray.nodes(), bundle, cluster.lanes_in(room, max(1, units)))
    require(bool(nodes), "cluster", bundle, "no node alone has room for a lane")
    for node, said in zip(nodes, ask(nodes, bundle, FACTS_SECONDS, look, folder, unit.trial.model), strict=True):
        node.facts = said
    able = [node for node in nodes if isinstance(node.facts, Facts) and not node.facts.store]
    gpus = float(bundle.get("GPU", 0))
    for node, said in zip(able, ask(able, bundle, CANARY_SECONDS, fly, unit, gpus, cluster.models_place), strict=True):
        node.canary = Canary(said) if isinstance(said, str) else said
    return nodes


def nodes_with_room(known: Sequence[Mapping[str, Any]], bundle: Mapping[str, float], lanes: int) -> list[Node]:
    """Those that can hold a lane."""
    nodes = [
        Node(node["NodeID"], node["NodeManagerHostname"].partition(".")[0], node["Resources"], min(fit, lanes))
        for node in known
        if node["Alive"] and (fit := fitting(bundle, node["Resources"]))
    ]
    return sorted(nodes, key=lambda node: node.name)


def ask(
    nodes: Sequence[Node], bundle: Mapping[str, float], seconds: float, function: Callable[..., Any], *arguments: Any
) -> list[Any]:
    """What `function` returns on each node, in a lane's place there, or why it did not, as text."""
    tasks, said = [], []
    for node in nodes:
        here: Any = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote: Any = ray.remote(
            num_cpus=bundle["CPU"], num_gpus=bundle.get("GPU", 0), max_retries=0, scheduling_strategy=here
        )
        tasks.append(remote(function).remote(*arguments))
    ray.wait(tasks, num_returns=len(tasks), timeout=seconds)
    for task in tasks:
        try:
            said.append(ray.get(task, timeout=0))
        except GetTimeoutError:
            said.append(f"no answer in {seconds:.0f} s")
        except RayError as error:
            said.append(last_line(str(error)))
    return said


def printed(rows: Mapping[Row, Sequence[str]], nodes: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("check", "node", "found", "", "what to do"):
        table.add_column(heading, overflow="fold")
    for row, names in rows.items():
        verdict = Text(row.verdict, style=COLOURS[row.verdict])
        table.add_row(row.check, named(names, nodes, row.verdict), Text(row.finding), verdict, row.fail or row.warn)
    return table


def named(names: Sequence[str], of: int, verdict: str) -> str:
    """Nodes with which something is wrong are named one by one."""
    if len(names) == of > 1:
        return f"all {of}"
    return f"{len(names)} of {of}" if len(names) > 1 and verdict == "ok" else ", ".join(names)


def main(arguments: list[str]) -> None:
    quiet_libraries()
    config = compose_launch(arguments)
    store, console = Store(config.store), terminal()
    planned = plan(config, store)
    unit = canary_of(planned.wanted)
    address_of(config.cluster.address)
    needed = {"store": len(planned.todo) * record_bytes(planned.wanted[-1], Amounts()), "temp": TEMP_BYTES}
    with own_folder(store) as folder, termination_interrupts():
        here = look(folder, unit.trial.model)
        checkpoints.prepare([unit.trial.model], config.cluster.models_place, console)
        console.print("starting Ray; each node tries one trial", style="dim")
        with connected(config.cluster):
            nodes = ask_nodes(config.cluster, len(planned.todo), folder, unit)
    rows = judge_all(nodes, here, needed)
    console.print(printed(rows, len(nodes)), highlight=False)
    for node in nodes:
        if node.canary and node.canary.log:
            console.print(f"\nthe canary's log on {node.name}:\n{node.canary.log}", highlight=False, markup=False)
    counts = Counter(row.verdict for row in rows)
    console.print(f"\n{', '.join(f'{counts[verdict]} {verdict}' for verdict in COLOURS)}", highlight=False)
    if counts["FAIL"]:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, __doc__)
