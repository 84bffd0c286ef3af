"""How two records differ: config, evaluations, environment, and the first place where what happened parts.

What happened in a step, in this order: samples are drawn from the weights of the step before, metrics are computed on
them, weights are updated; then, where the step is measured, weights are digested and problems answered.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from em.store.record import EvaluationResult, Record

PHASES = ("prompts", "samples", "metrics", "weights", "answers")  # of a step, as they happen; prompts: of step 0
TRAINING = ("model", "objective", "optimizer", "rollout", "seed")
ENGINE = ("rollout.engine", "rollout.gpu_memory_utilization", "rollout.max_num_seqs", "rollout.max_model_len")
OF_ANSWERS = ("texts", "extracted", "lengths", "truncated", "correct")  # an entry for each answer of an evaluation

Fields = Mapping[str, Any]  # of an item that is compared, or of a config


class Word(str):
    """A value that is none of the data's own, so that it is shown without quotes."""

    __repr__ = str.__str__


ABSENT, ENDS = Word("(absent)"), Word("(ends here)")


class Change(NamedTuple):
    name: str
    a: Any
    b: Any


class Place(NamedTuple):
    """A part of a trajectory that is compared as one."""

    step: int
    phase: str
    of: str = ""  # an evaluation's id, of answers; what is hashed, of weights: two kinds cannot be compared


@dataclass(frozen=True)
class Parting:
    """The first difference of two trajectories."""

    place: Place
    item: str  # within the place: "sample 3", counted from 0; empty where it has one item
    changes: list[Change]
    extent: str  # "3 of 64" items differ: one token flipped, or other random numbers


@dataclass(frozen=True)
class Difference:
    config: list[Change]  # dotted paths of the trial's config
    evaluations: list[Change]  # of what was to be measured: "sum at temperature 1.samples"
    environment: list[Change]  # libraries and device, "code", "node", "replayed"
    parting: Parting | None  # None: nothing differs in what both recorded
    same: list[Place]  # until they part
    only: dict[str, list[Place]]  # "A", "B": what only that one recorded


def compare(a: Record, b: Record) -> Difference:
    x, y = trajectory(a), trajectory(b)
    both = [place for place in x if place in y]
    partings = (differing(place, x[place], y[place]) for place in both)
    parting = next(filter(None, partings), None)
    return Difference(
        config=list(changes(json.loads(a.trial), json.loads(b.trial))),
        evaluations=list(changes(evaluations(a), evaluations(b))),
        environment=list(changes(environment(a), environment(b))),
        parting=parting,
        same=both[: both.index(parting.place)] if parting else both,
        only={"A": [place for place in x if place not in y], "B": [place for place in y if place not in x]},
    )


def changes(a: Fields, b: Fields, prefix: str = "") -> Iterator[Change]:
    """What differs between nested mappings, by dotted path; a list is one value."""
    for name in {**a, **b}:
        x, y = a.get(name, ABSENT), b.get(name, ABSENT)
        if isinstance(x, Mapping) and isinstance(y, Mapping):
            yield from changes(x, y, f"{prefix}{name}.")
        elif differ(x, y):
            yield Change(prefix + name, x, y)


def differ(a: object, b: object) -> bool:
    return a != b and repr(a) != repr(b)  # NaN is NaN


def evaluations(record: Record) -> Fields:
    configs = json.loads(record.evaluations_config).values()
    return {f"{it['benchmark']['name']} at temperature {it['temperature']:g}": it for it in configs}


def environment(record: Record) -> Fields:
    made = record.provenance
    also = {"code": made.code_version, "node": made.node, "replayed": made.replayed}
    return json.loads(made.environment) | also


def trajectory(record: Record) -> dict[Place, dict[str, Fields]]:
    """What a record holds, in the order that it happened: the items of each place, by name, "" where there is one."""
    places: dict[Place, dict[str, Fields]] = defaultdict(dict)
    for index, token_ids in enumerate(record.prompts):
        places[Place(0, "prompts")][f"prompt {index}"] = {"token_ids": token_ids}
    for sample in record.rollouts:
        samples = places[Place(sample.step, "samples")]
        samples[f"sample {len(samples)}"] = vars(sample)
    for metrics in record.steps:
        known = {name: value for name, value in vars(metrics).items() if value is not None}
        places[Place(metrics.step, "metrics")][""] = known
    for digest in record.digests:
        places[Place(digest.step, "weights", digest.kind or "")][""] = vars(digest)
    for result in record.evaluations:
        places[Place(result.step, "answers", result.evaluation_id)] = answers(result)
    return dict(sorted(places.items(), key=lambda item: (item[0].step, PHASES.index(item[0].phase))))


def answers(result: EvaluationResult) -> dict[str, Fields]:
    """The answers of an evaluation, without the texts that were not kept."""
    title, items = f"{result.benchmark} at temperature {result.temperature:g}", {}
    lists = {name: entries for name in OF_ANSWERS if (entries := getattr(result, name))}
    for index in range(len(result.correct)):
        place, sample = divmod(index, result.samples)
        problem = result.asked[place] if result.asked else place
        answer = {name: entries[index] for name, entries in lists.items()}
        if answer.get("texts") is None:
            answer.pop("texts", None)
        items[f"{title}, problem {problem}, sample {sample}"] = answer
    return items


def differing(place: Place, a: Mapping[str, Fields], b: Mapping[str, Fields]) -> Parting | None:
    """The first difference within a place that both trajectories hold."""
    both = [item for item in a if item in b]
    unlike = {item: fields for item in both if (fields := list(item_changes(a[item], b[item])))}
    if unlike:
        item = next(iter(unlike))
        return Parting(place, item, unlike[item], f"{len(unlike)} of {len(both)}")
    return None if len(a) == len(b) else Parting(place, "", [Change("number", len(a), len(b))], "")


def item_changes(a: Fields, b: Fields) -> Iterator[Change]:
    """What differs in the fields that both have; of token ids the first."""
    for name, x in a.items():
        y = b.get(name, x)
        if name == "token_ids" and x != y:
            at = alike(x, y)
            yield Change(f"token {at}", *(ids[at] if at < len(ids) else ENDS for ids in (x, y)))
        elif differ(x, y):
            yield Change(name, x, y)


def alike(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many items the beginnings of two sequences share."""
    shorter = min(len(a), len(b))
    return next((index for index in range(shorter) if a[index] != b[index]), shorter)


def acting(place: Place) -> tuple[str, ...]:
    """The fields of a trial's config that can make a difference in a place when everything before it is the same."""
    if place.phase == "prompts":
        return "model", "prompts", *ENGINE  # one that is selected is so by the engine's samples
    if place.phase == "answers":
        return "model", *ENGINE
    if place.phase == "weights":
        return TRAINING if place.step else ("model",)
    if place.step > 1:
        return TRAINING
    return ("model", "rollout", "seed") if place.phase == "samples" else ("model", "objective")
