"""How two trials, units of work or attempts differ: config, environment, and the first place where they part.

    python -m analysis.why 1d71 8500 store=results

A and B are the beginning (4 characters or more) of a trial id, of a unit id (a file's name in results/records) or of a
failed attempt's file name in results/failed, or the path of such a file, of any store.  Of a trial with several records
the one that goes furthest is taken, of a trial without a record its latest failed attempt.

What happened in a step, in this order: samples are drawn from the weights of the step before, metrics are computed on
them, weights are updated; then, where the step is measured, weights are digested and problems answered.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from em.compose import run_command
from em.errors import require, require_known
from em.record import Record, Status
from em.schema import read, schema_of
from em.store import Store

SHORTEST, CANDIDATES = 4, 5  # characters of an id that is given; ids that an error lists
SHOWN = 44  # characters of a value
PROMPTS, SAMPLES, METRICS, WEIGHTS, ANSWERS = "prompts", "samples", "metrics", "weights", "answers"
PHASES = (PROMPTS, SAMPLES, METRICS, WEIGHTS, ANSWERS)  # of a step, in the order that they happen; prompts: of step 0
ALWAYS = (PROMPTS, SAMPLES, METRICS)  # recorded of every step; weights and answers only where they are measured
TRAINING = ("model", "objective", "optimizer", "rollout", "seed")
ENGINE = ("rollout.engine", "rollout.gpu_memory_utilization", "rollout.max_num_seqs", "rollout.max_model_len")
BARE = re.compile(r"[\w./+:-]+( [\w./+:-]+)*", re.ASCII)  # strings that need no quotes
ANSWER = {  # column of an evaluation -> what it is of one answer
    "texts": "text",
    "extracted": "extracted",
    "lengths": "tokens",
    "truncated": "truncated",
    "correct": "correct",
}

Row = dict[str, Any]  # a record as it is read from its file


class Word(str):
    """A value that is none of the data's own, so that it is shown without quotes."""


ABSENT, ENDS, YES, NO = Word("(absent)"), Word("(ends here)"), Word("yes"), Word("no")


class Change(NamedTuple):
    name: str
    a: Any
    b: Any


class Place(NamedTuple):
    """A part of a trajectory that is compared as one."""

    step: int
    phase: str
    evaluation: str = ""  # its id, of answers

    def __str__(self) -> str:
        if self.phase == PROMPTS:
            return self.phase
        return f"{self.phase} {'after' if self.phase in (WEIGHTS, ANSWERS) else 'of'} step {self.step}"


@dataclass(frozen=True)
class Parting:
    """The first difference of two trajectories; or, with `ended`, that one of them ends before they differ."""

    place: Place
    where: str  # within the place: "sample 3, token 17"; counted from 0
    changes: tuple[Change, ...]
    extent: str = ""  # "3 of 64 samples of the step differ": one token flipped, or other random numbers
    ended: str = ""  # "A" or "B"


@dataclass
class Shared:
    """What was compared and is the same."""

    prompts: int = 0
    samples: int = 0
    tokens: int = 0  # of the samples
    metrics: list[int] = field(default_factory=list)  # steps
    weights: list[int] = field(default_factory=list)  # steps
    evaluations: int = 0
    answers: int = 0

    def add(self, place: Place, content: Any) -> None:
        if place.phase == PROMPTS:
            self.prompts = len(content)
        elif place.phase == SAMPLES:
            self.samples += len(content)
            self.tokens += sum(len(sample["token_ids"]) for sample in content)
        elif place.phase == ANSWERS:
            self.evaluations += 1
            self.answers += content["problems"] * content["samples"]
        else:
            getattr(self, place.phase).append(place.step)


@dataclass(frozen=True)
class Difference:
    config: list[Change]  # dotted paths of the trial's config
    evaluations: list[Change]  # of what was measured: "samples (sum, max at temperature 1)"
    environment: list[Change]  # libraries and device, "code", "node"
    parting: Parting | None  # None: nothing differs in what both recorded, and both end alike
    shared: Shared  # until they part
    unshared: dict[str, list[Place]]  # "A", "B": what only that one measured, until they part


def compare(a: Row, b: Row) -> Difference:
    configs = [json.loads(row.get("trial") or "{}") for row in (a, b)]
    evaluations = [json.loads(row.get("evaluations_config") or "{}") for row in (a, b)]
    return Difference(
        list(changes(*configs)),
        evaluation_changes(*evaluations),
        list(changes(environment(a), environment(b))),
        *parting(a, b),
    )


def changes(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> Iterator[Change]:
    """What differs between nested dictionaries, by dotted path; a list is one value."""
    for name in {**a, **b}:
        x, y = a.get(name, ABSENT), b.get(name, ABSENT)
        if isinstance(x, dict) and isinstance(y, dict):
            yield from changes(x, y, f"{prefix}{name}.")
        elif not same(x, y):
            yield Change(prefix + name, x, y)


def same(a: Any, b: Any) -> bool:
    """Equal bit by bit, as far as Python tells: NaN is NaN, and the number 1 is not True."""
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both_nan or (a == b and isinstance(a, bool) == isinstance(b, bool))


def evaluation_changes(a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    """What differs between evaluations of one benchmark and temperature; what several have in common once."""
    paired = [{(it["benchmark"]["name"], it["temperature"]): it for it in side.values()} for side in (a, b)]
    labels = sorted({**paired[0], **paired[1]})
    found: dict[tuple[str, str, str], list[tuple[str, float]]] = defaultdict(list)
    kept: dict[tuple[str, str, str], Change] = {}
    for label in labels:
        x, y = (side.get(label) for side in paired)
        one_sided = [Change("measured", YES if x else NO, YES if y else NO)]
        for change in changes(x, y) if x and y else one_sided:
            key = change.name, plain(change.a), plain(change.b)
            found[key].append(label)
            kept[key] = change
    whose = {key: "all" if len(of) == len(labels) else named(of) for key, of in found.items()}
    return [change._replace(name=f"{change.name} ({whose[key]})") for key, change in kept.items()]


def named(labels: Sequence[tuple[str, float]]) -> str:
    """`max, sum at temperature 0`: at most three names of a temperature."""
    by_temperature: dict[float, list[str]] = defaultdict(list)
    for name, temperature in labels:
        by_temperature[temperature].append(name)
    return "; ".join(
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''} at temperature {at:g}"
        for at, names in by_temperature.items()
    )


def environment(row: Row) -> dict[str, Any]:
    made = row.get("provenance") or {}
    found = {"code": made.get("code_version"), "node": made.get("node")}
    return json.loads(made.get("environment") or "{}") | found


def trajectory(row: Row) -> dict[Place, Any]:
    """What a record holds, in the order that it happened; nothing at all of an attempt whose process died."""
    found: dict[Place, Any] = {}
    for sample in row.get("rollouts") or []:
        found.setdefault(Place(sample["step"], SAMPLES), []).append(sample)
    for metrics in row.get("steps") or []:
        found[Place(metrics["step"], METRICS)] = metrics
    for digest in row.get("digests") or []:
        found[Place(digest["step"], WEIGHTS)] = digest["sha256"]
    for result in row.get("evaluations") or []:
        found[Place(result["step"], ANSWERS, result["evaluation_id"])] = result
    if found or row.get("prompts"):
        found[Place(0, PROMPTS)] = row.get("prompts") or []
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def order(place: Place) -> tuple[int, int]:
    return place.step, PHASES.index(place.phase)


def parting(a: Row, b: Row) -> tuple[Parting | None, Shared, dict[str, list[Place]]]:
    """The first difference, what is the same before it, and what only one of them measured before it."""
    held = {"A": trajectory(a), "B": trajectory(b)}
    ends = {
        name: max((order(place) for place in found if place.phase in ALWAYS), default=(-1, 0))
        for name, found in held.items()
    }
    shared, unshared = Shared(), {"A": [], "B": []}
    for place in sorted({**held["A"], **held["B"]}, key=order):
        holders = [name for name, found in held.items() if place in found]
        if len(holders) == 1:
            other = "B" if holders == ["A"] else "A"
            if place.phase in ALWAYS and ends[other] < order(place):
                return ended(other, a, b, held), shared, unshared
            unshared[holders[0]].append(place)
        elif found := differing(place, held["A"][place], held["B"][place]):
            return found, shared, unshared
        else:
            shared.add(place, held["A"][place])
    if a["status"] != b["status"]:
        return ended("B" if a["status"] == Status.done else "A", a, b, held), shared, unshared
    return None, shared, unshared


def ended(name: str, a: Row, b: Row, held: dict[str, dict[Place, Any]]) -> Parting:
    last = {name: list(found)[-1] if found else None for name, found in held.items()}
    texts = (Word(place or "nothing") for place in last.values())
    found = [Change("recorded up to", *texts), Change("status", a["status"], b["status"])]
    return Parting(last[name] or Place(0, PROMPTS), "", tuple(it for it in found if it.a != it.b), ended=name)


def differing(place: Place, a: Any, b: Any) -> Parting | None:
    """The first difference within a place that both trajectories hold."""
    if place.phase == WEIGHTS:
        return None if a == b else Parting(place, "", (Change("sha256", a, b),))
    if place.phase == METRICS:
        both = [name for name in a if a[name] is not None and b.get(name) is not None]
        found = tuple(Change(name, a[name], b[name]) for name in both if not same(a[name], b[name]))
        return Parting(place, "", found) if found else None
    title, noun, per_problem = "", place.phase, 0
    if place.phase == ANSWERS:
        title, per_problem = f"{a['benchmark']} at temperature {a['temperature']:g}", a["samples"]
        a, b = answers(a, b), answers(b, a)
    each = {PROMPTS: differing_prompt, SAMPLES: differing_sample, ANSWERS: differing_answer}[place.phase]
    found = [(index, *each(x, y)) for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    found = [item for item in found if item[-1]]
    if not found:
        return None if len(a) == len(b) else Parting(place, title, (Change(f"number of {noun}", len(a), len(b)),))
    index, token, changed = found[0]
    where = [title, f"{noun.rstrip('s')} {index}", token]
    if per_problem:
        where[1] = f"problem {index // per_problem}, sample {index % per_problem}"
    extent = f"{len(found)} of {min(len(a), len(b))} {noun} differ"
    return Parting(place, ", ".join(filter(None, where)), changed, extent)


def differing_prompt(a: list[int], b: list[int]) -> tuple[str, tuple[Change, ...]]:
    """The first token in which they differ, and its ids."""
    position = alike(a, b)
    found = (ids[position] if position < len(ids) else ENDS for ids in (a, b))
    return f"token {position}", (Change("token id", *found),)


def differing_sample(a: Row, b: Row) -> tuple[str, tuple[Change, ...]]:
    if a["prompt"] == b["prompt"] and a["token_ids"] != b["token_ids"]:
        return differing_prompt(a["token_ids"], b["token_ids"])
    return "", tuple(Change(name, a[name], b[name]) for name in ("prompt", "truncated") if a[name] != b[name])


def differing_answer(a: Row, b: Row) -> tuple[str, tuple[Change, ...]]:
    return "", tuple(Change(name, a[name], b[name]) for name in a if a[name] != b[name])


def answers(result: Row, other: Row) -> list[Row]:
    """The answers of an evaluation, one by one; of texts only those that `other` holds too."""
    columns = {name: result[column] for column, name in ANSWER.items() if result.get(column) and other.get(column)}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row, text in zip(rows, other.get("texts") or [], strict=False):
        if text is None or row.get("text") is None:
            row.pop("text", None)
    return rows


def alike(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many items the beginnings of two sequences share."""
    shorter = min(len(a), len(b))
    return next((index for index in range(shorter) if a[index] != b[index]), shorter)


def acting(place: Place) -> tuple[str, ...]:
    """The fields of a trial's config that can make a difference in a place when everything before it is the same."""
    if place.phase == PROMPTS:
        return "model", "prompts"
    if place.phase == ANSWERS:
        return "model", *ENGINE
    if place.phase == WEIGHTS:
        return TRAINING if place.step else ("model",)
    if place.step > 1:
        return TRAINING
    return ("model", "rollout", "seed") if place.phase == SAMPLES else ("model", "objective")


class Chosen(NamedTuple):
    path: Path
    row: Row
    note: str  # what it was chosen from, where there was a choice


def resolve(store: Store, name: str, word: str) -> Chosen:
    """The record or failed attempt that `word` names; `name` is "A" or "B".

    Raises InputError, with candidates, where no id begins so, or those of several trials do.
    """
    if word.endswith(".parquet"):
        require(Path(word).is_file(), name, word, "is not a file")
        return Chosen(Path(word), record(Path(word)), "")
    require(len(word) >= SHORTEST, name, word, f"give at least {SHORTEST} characters of an id")
    records, failed = (sorted(folder.glob("*.parquet")) for folder in (store.records, store.failed))
    require(bool(records or failed), "store", store.root, "holds no record and no failed attempt")
    held, lost = ([path for path in paths if path.stem.startswith(word)] for paths in (records, failed))
    stems = [path.stem for path in (held + lost or records + failed)]
    # A trial's id where no dash is given, else the whole name.
    known = {stem.partition("-")[0] if "-" not in word else stem for stem in stems}
    listed = listing(known, word)
    require(bool(held or lost), name, word, f"no id in {store.root} begins so; the nearest are {listed}")
    trials = {stem.partition("-")[0] for stem in stems}
    require(len(trials) == 1, name, word, f"{len(trials)} trials begin so, give more of {listed}")
    if held:
        path, row = max(((path, record(path)) for path in held), key=lambda item: reach(item[1]))
        return Chosen(path, row, f"the one that goes furthest of {len(held)} records" if len(held) > 1 else "")
    path, row = max(((path, record(path)) for path in lost), key=lambda item: item[1]["provenance"]["started"])
    return Chosen(path, row, f"the latest of {len(lost)} failed attempts" if len(lost) > 1 else "")


def listing(ids: set[str], word: str) -> str:
    """At most five of the ids, those first that have the longest beginning in common with `word`."""
    nearest = sorted(ids, key=lambda it: (-alike(it, word), it))
    rest = len(nearest) - CANDIDATES
    return ", ".join(nearest[:CANDIDATES]) + (f" and {rest} more" if rest > 0 else "")


def record(path: Path) -> Row:
    return read(path, schema_of(Record)).row(0, named=True)


def reach(row: Row) -> tuple[int, int]:
    """The furthest step of a record, and how much was evaluated."""
    return max((place.step for place in trajectory(row)), default=0), len(row.get("evaluations") or [])


def report(a: Chosen, b: Chosen) -> list[str]:
    """All that is told of two records, a line each; lines that do not begin with a space are headings."""
    found = compare(a.row, b.row)
    lines = [*told("A", a), *told("B", b), ""]
    count = len(found.config)
    lines += [f"config: {count} field{'s' * (count != 1)} differ{'s' * (count == 1)}" if count else "config: same"]
    lines += table(found.config)
    lines += [f"evaluations: {'differ' if found.evaluations else 'same'}", *table(found.evaluations)]
    lines += [environment_line(found.environment, a.row), *table(found.environment), ""]
    return lines + verdict(found, failed=Status.failed in (a.row["status"], b.row["status"]))


def told(name: str, chosen: Chosen) -> list[str]:
    """What a record is, a few lines."""
    row, made = chosen.row, chosen.row.get("provenance") or {}
    config, evaluations = json.loads(row.get("trial") or "{}"), row.get("evaluations") or []
    steps = len(row.get("steps") or [])
    at = numbers(dict.fromkeys(result["step"] for result in evaluations))
    did = [
        label(config.get("model") or {}),
        f"seed {config.get('seed')}" if (config.get("prompts") or {}).get("texts") else "untrained",
        f"{steps} step{'s' * (steps != 1)}",
        f"{len(evaluations)} evaluations after step {at}" if evaluations else "no evaluation",
    ]
    when = [
        f"{str(made.get('started'))[:19].replace('T', ' ')} UTC",
        f"{made.get('seconds') or 0:.1f} s",
        f"node {made.get('node')}",
        f"lane {made.get('lane')}" if made.get("lane") else "without Ray",
        *([f"tokens replayed from attempt {made['replayed']}"] if made.get("replayed") else []),
    ]
    status = f"{row['status']}, attempt {row.get('attempt') or 1}, id {made.get('attempt_id')}"
    lines = [f"{name}  {row['unit_id']}  {status}{chosen.note and f'  ({chosen.note})'}"]
    lines += ["   " + ", ".join(did), "   " + ", ".join(when)]
    ends = {"error": row.get("error"), "last output": row.get("log")}
    return lines + [f"   {what}: {last_line(text)}" for what, text in ends.items() if text and text.strip()]


def last_line(text: str) -> str:
    """Without control characters: a terminal obeys them."""
    return "".join(filter(str.isprintable, text.strip().splitlines()[-1]))


def label(model: dict[str, Any]) -> str:
    """As em.config.Model.label, of its JSON."""
    recipe = model.get("pretrain")
    return f"tiny-{recipe.get('seed')}" if recipe else str(model.get("path", "")).rstrip("/").rsplit("/", 1)[-1]


def environment_line(found: list[Change], row: Row) -> str:
    """Which of libraries and device, code and node are the same."""
    here, differing = environment(row), {change.name for change in found}
    code, node = here["code"], here["node"]
    caution = ": changes that were not committed are not compared" if str(code).endswith("-dirty") else ""
    return "; ".join(
        [
            f"environment: {'differs' if differing - {'code', 'node'} else 'same'}",
            "code differs" if "code" in differing else f"code same ({code}{caution})",
            "node differs" if "node" in differing else f"node same ({node})",
        ]
    )


def table(rows: Sequence[Change], deltas: bool = False) -> list[str]:
    """Name, value in A, value in B and, with `deltas`, B - A, in columns."""
    if not rows:
        return []
    cells = [("", "A", "B", "B - A" if deltas else "")]
    for name, a, b in rows:
        delta = f"{b - a:+.2g}" if deltas and math.isfinite(b - a) else ""
        cells.append((name, *shown(a, b), delta))
    widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
    return ["  " + "  ".join(map(str.ljust, cell, widths)).rstrip() for cell in cells]


def shown(a: Any, b: Any) -> tuple[str, str]:
    """Two values as text; long ones from shortly before their first difference."""
    texts = [plain(a), plain(b)]
    if any(text[:1] in ("'", '"') for text in texts):  # one is quoted: then both are
        texts = [repr(value) if type(value) is str else text for value, text in zip((a, b), texts, strict=True)]
    start = alike(*texts) - SHOWN // 4 if max(map(len, texts)) > SHOWN else 0
    return cut(texts[0], start), cut(texts[1], start)


def plain(value: Any) -> str:
    """As JSON, but strings that look like names or numbers without quotes."""
    if isinstance(value, str):
        return str(value) if isinstance(value, Word) or BARE.fullmatch(value) else repr(value)
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def cut(text: str, start: int) -> str:
    begin, end = ("..." if start > 0 else ""), max(start, 0) + SHOWN
    return begin + text[max(start, 0) : end] + ("..." if end < len(text) else "")


def verdict(found: Difference, failed: bool) -> list[str]:
    """Where they part, what is the same before, and what of the differences can act there."""
    at = found.parting
    if at is None:
        partly = failed or any(found.unshared.values())
        much = "what both recorded" if partly else "everything that a run must reproduce"
        return [f"nothing parts: they are identical in {much}", *same_until(found)]
    if at.ended:
        return [f"nothing parts until {at.ended} ends", *table(at.changes), *same_until(found)]
    where = f": {at.where}{at.extent and ' (counted from 0)'}" if at.where else ""
    lines = [f"they part in the {at.place}{where}", *table(at.changes, deltas=at.place.phase == METRICS)]
    lines += [f"  {at.extent}"] if at.extent else []
    fields = [change.name for change in found.config]
    can = [name for name in fields if name.startswith(acting(at.place))]
    cannot = [name for name in fields if name not in can]
    can += [change.name for change in found.environment]
    why = f"differs and can act there: {', '.join(can)}" if can else "nothing of what is recorded explains it"
    idle = f"  differs, but cannot act there: {', '.join(cannot)}"
    return [*lines, *same_until(found), f"  {why}", *([idle] if cannot else [])]


def same_until(found: Difference) -> list[str]:
    """What was compared and is the same; what could not be compared."""
    shared, steps = found.shared, len(found.shared.metrics)
    parts = [
        f"{shared.prompts} prompt{'s' * (shared.prompts > 1)}" * bool(shared.prompts),
        f"{shared.samples:,} samples ({shared.tokens:,} tokens)" * bool(shared.samples),
        f"metrics of {steps} step{'s' * (steps > 1)}" * bool(steps),
        f"weights after step {numbers(shared.weights)}" * bool(shared.weights),
        f"{shared.answers:,} answers of {shared.evaluations} evaluations" * bool(shared.answers),
    ]
    differ = found.parting is not None and not found.parting.ended
    lines = [f"  the same{' before' * differ}: {', '.join(filter(None, parts)) or 'nothing'}"]
    if differ:
        return lines
    if not shared.weights:
        lines.append("  not compared: weights, which were digested after no step in both")
    for name, places in found.unshared.items():
        if steps := numbers(dict.fromkeys(place.step for place in places if place.phase == ANSWERS)):
            count = sum(place.phase == ANSWERS for place in places)
            lines.append(f"  only {name} measured: {count} evaluations after step {steps}")
    return lines


def numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


def main(arguments: list[str]) -> None:
    options = dict(word.split("=", 1) for word in arguments if "=" in word and not word.endswith(".parquet"))
    for option in options:
        require_known("option", option, ["store"])
    words = [word for word in arguments if "=" not in word or word.endswith(".parquet")]
    require(len(words) == 2, "A B", " ".join(words), "name two: python -m analysis.why A B [store=results]")
    store = Store(options.get("store", "results"))
    a, b = resolve(store, "A", words[0]), resolve(store, "B", words[1])
    two = a.path.resolve() != b.path.resolve()
    require(two, "B", words[1], f"is the same record as A, {a.path.stem}; give more of the id of another")
    console = Console()
    for line in report(a, b):
        style = "bold" if line and not line.startswith(" ") else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(main, __doc__)
