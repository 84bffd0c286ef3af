"""How two trials, units of work or attempts differ: config, environment, and the first place where they part.

    python -m analysis.why 1d71 8500 store=results

A and B are the beginning of a file's name in results/records (of a trial's id, say) or, where none begins so, in
results/failed; or the path of such a file, of any store.  Of several files of one trial the one that goes furthest is
taken, of these the latest.
"""

from collections.abc import Sequence

from analysis.difference import PHASES, Change, Difference, Place, acting, alike, compare
from analysis.find import resolve
from em.cli.command import read_words, run_command, terminal
from em.errors import require
from em.store import Store
from em.store.record import Record

SHOWN = 44  # characters of a value


def report(a: Record, b: Record) -> list[str]:
    """All that is told of two records, a line each; lines that do not begin with a space are headings."""
    difference = compare(a, b)
    lines = [*told("A", a), *told("B", b), ""]
    for name in ("config", "evaluations", "environment"):
        differing = getattr(difference, name)
        lines += [f"{name}: {'different' if differing else 'same'}", *in_columns(differing)]
    return [*lines, "", *verdict(difference)]


def told(name: str, record: Record) -> list[str]:
    """What a record is, and where it was made."""
    made, did = record.provenance, f"{len(record.steps)} steps, {len(record.evaluations)} evaluations"
    lane = f"lane {made.lane}" if made.lane else "without Ray"
    when = f"{made.started[:19].replace('T', ' ')} UTC, {made.seconds:.1f} s"
    return [
        f"{name}  {record.unit_id}  {record.status}, attempt {made.attempt_id}",
        f"   {did}, {when}, node {made.node}, {lane}, code {made.code_version}",
        *([f"   {record.error.strip().splitlines()[-1]!r}"] if record.error else []),
    ]


def in_columns(rows: Sequence[Change]) -> list[str]:
    """Name, value in A and value in B, in columns."""
    cells = [("", "A", "B"), *((name, *shown(a, b)) for name, a, b in rows)]
    widths = [max(len(cell[column]) for cell in cells) for column in range(3)]
    return ["  " + "  ".join(map(str.ljust, cell, widths)).rstrip() for cell in cells] if rows else []


def shown(a: object, b: object) -> list[str]:
    """Two values as text; long ones from shortly before their first difference."""
    texts = ["{...}" if isinstance(value, dict) else repr(value) for value in (a, b)]
    start = max(0, alike(*texts) - SHOWN // 4) if max(map(len, texts)) > SHOWN else 0
    end = start + SHOWN
    return ["..." * (start > 0) + text[start:end] + "..." * (end < len(text)) for text in texts]


def verdict(difference: Difference) -> list[str]:
    """Where they part, what is the same before, and what of the differences can act there."""
    at = difference.parting
    if at is None:
        only = [f"  only in {name}: {summary(places)}" for name, places in difference.only.items() if places]
        return ["they part in nothing that both recorded", f"  the same: {summary(difference.same)}", *only]
    can = [change.name for change in difference.config if change.name.startswith(acting(at.place))]
    can += [change.name for change in difference.environment]
    item = f": {at.item}, counted from 0 ({at.extent} differ)" if at.item else ""
    return [
        f"they part in the {summary([at.place])}{item}",
        *in_columns(at.changes),
        f"  the same before: {summary(difference.same)}",
        f"  differs and can act there: {', '.join(can)}" if can else "  nothing of what is recorded explains it",
    ]


def summary(places: Sequence[Place]) -> str:
    """`samples of step 1, 2; weights after step 0`"""
    parts = []
    for phase in PHASES:
        steps = ", ".join(map(str, dict.fromkeys(place.step for place in places if place.phase == phase)))
        when = "after" if phase in ("weights", "answers") else "of"
        parts += [f"{phase} {when} step {steps}"] if steps else []
    return "; ".join(parts) or "nothing"


def main(arguments: list[str]) -> None:
    words, options = read_words(arguments, ["store"])
    require(len(words) == 2, "A B", " ".join(words), "name two: python -m analysis.why A B [store=results]")
    store = Store(options.get("store", "results"))
    a, b = (resolve(store, name, word) for name, word in zip("AB", words, strict=True))
    require(a.provenance != b.provenance, "B", words[1], f"is the same attempt as A, at {a.unit_id}")
    console = terminal()
    for line in report(a, b):
        style = "bold" if line and not line.startswith(" ") else None
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(main, __doc__)
