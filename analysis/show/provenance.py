"""Where the records of one trial were made, what failed, and how to run it again, for the terminal."""

import json
import shlex
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.show.terminal import listed, printable
from analysis.show.trial import OneTrial
from em.errors import InputError
from em.store import Store
from em.store.provenance import code_version
from em.store.record import Provenance, Record, Status
from em.store.recorded import unit_of

LATEST = 5  # failed attempts that are shown
PYTHON = ".venv/bin/python"


def records(of: OneTrial) -> Group | None:
    """For each record what it holds and how it was made; an environment once for all that share it."""
    if not of.records:
        return None
    parts: list[RenderableType] = []
    before = None
    for record in of.records:
        made, table = record.provenance, Table.grid(padding=(0, 2, 0, 0))
        for name, value in facts(record, is_new=made.environment != before):
            table.add_row(Text(f"  {name}", style="dim"), Text(value, overflow="fold"))
        parts += [Text(record.unit_id, style="bold" if record is of.record else ""), table]
        before = made.environment
    return Group(*parts)


def facts(record: Record, is_new: bool) -> Iterator[tuple[str, str]]:
    """Name and value of all that is told of a record; `is_new`: its environment is not the one before."""
    made, steps = record.provenance, listed(result.step for result in record.evaluations)
    measured = f"{len(record.evaluations)} evaluations" + (f" after step {steps}" if steps else "")
    yield "holds", f"{record.status}, {len(record.steps)} steps, {measured}"
    lane = f"lane {made.lane}" if made.lane else "without Ray"
    attempt = f"attempt {record.attempt} ({made.attempt_id})"
    yield "made", f"{when(made)}, {made.seconds:.1f} s, node {made.node}, {lane}, {attempt}"
    yield "code", made.code_version
    if is_new:
        yield "on", environment(made)
    if record.schema_version is None:
        yield "schema", "version 1: what was to be measured, and replays, are not recorded"
    if made.replayed:
        yield "replayed", f"trained on the tokens of attempt {made.replayed}, its digests equal"
    if made.resumed is not None:
        yield "resumed", f"went on from the state after step {made.resumed}"
    if made.model_commit:
        yield "model", f"commit {made.model_commit}"


def when(made: Provenance) -> str:
    return f"{made.started[:19].replace('T', ' ')} UTC"


def environment(made: Provenance) -> str:
    """`cpu AVX512, x86_64, python 3.11.7, torch 2.13.0`"""
    known: Mapping[str, str] = json.loads(made.environment)
    plain = [known[name] for name in ("device", "machine") if name in known]
    versions = [f"{name} {version}" for name, version in known.items() if name not in ("device", "machine")]
    return printable(", ".join([*plain, *versions])) or "environment not recorded"


def attempts(of: OneTrial, everything: bool) -> Group | None:
    """A line for each failed attempt, the earliest first: the last line of its error."""
    if not of.attempts:
        return None
    shown = of.attempts if everything else of.attempts[-LATEST:]
    lines = [Text(f"and {len(of.attempts) - len(shown)} before", style="dim")] * (len(shown) < len(of.attempts))
    for attempt in shown:
        made, error = attempt.provenance, (attempt.error or "").strip().splitlines()
        cause = Text(printable(error[-1]) if error else "no error recorded", style="yellow")
        lines.append(Text(f"{when(made)}, node {made.node}, attempt {attempt.attempt} ({made.attempt_id})"))
        lines.append(Text("  ").append_text(cause))
    return Group(*lines)


def again(of: OneTrial, store: Store) -> Text:
    """The commands that train and measure exactly this unit of work again, and that give its weights, or why there is
    none."""
    record, code = of.record, of.record.provenance.code_version
    try:
        unit = unit_of(record)
    except InputError as error:
        return Text(f"not by this version of the code: {error} ({code})", style="yellow")
    if record.status is not Status.failed and not store.is_recorded(unit.id):
        return Text("its file lies in no store; put it into records/ of one", style="yellow")
    notes = ["its other records: with their ids in place of this one"] if len(of.records) > 1 else []
    if code != (now := code_version()):
        notes.append(f"the code was {code} and is {now}: numbers may differ")
    lines = [Text(line) for line in commands(record, unit.id, store)]
    return Text("\n").join([*lines, *(Text(note, style="dim") for note in notes)])


def commands(record: Record, unit_id: str, store: Store) -> Iterator[str]:
    """What is recorded is made anew into a store beside this one; weights are those of the last recorded digest."""
    root, failed = store.address, record.status is Status.failed
    words = [f"store={root}"] if root != "results" else []
    yield f"{PYTHON} -m em.rerun {shlex.join([unit_id, *words, *([] if failed else [f'to={root}-again'])])}"
    last = max((digest.step for digest in record.digests), default=0)
    if last and not failed:
        yield f"{PYTHON} -m em.rebuild {shlex.join([record.trial_id, f'step={last}', 'out=model', *words])}"
