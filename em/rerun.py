"""One unit of work again, alone, in this process: its traceback in the terminal, its record where it succeeds.

    python -m em.rerun UNIT_ID store=results                      one that has failed
    python -m em.rerun UNIT_ID store=results to=results-again     any, also one that is recorded, into another store

A recorded unit is made anew from its config alone, and then compared with its record.  Exit status 0: all that both
hold is equal, bit by bit; 1: it is not, and `make why` says where they part.
"""

import sys
from dataclasses import replace

from em.cli.command import read_words, run_command, terminal
from em.cli.inputs import with_weights
from em.cli.local import run
from em.errors import InputError, require
from em.store import Store
from em.store.record import EvaluationResult, Record
from em.store.recorded import unit_of

# Of answers, whoever grades them.
SAID = ("asked", "lengths", "truncated", "ended", "texts", "entropies", "probabilities")
GRADED = ("correct", "extracted", "paper_rules")


def found(store: Store, unit_id: str, is_anew: bool) -> Record:
    """What says which unit to run: its record, where it is to be made anew, else its latest failed attempt."""
    is_recorded = store.is_recorded(unit_id)
    if is_anew and is_recorded:
        return store.record(unit_id)
    attempts = store.failures(unit_id)
    if not attempts and is_recorded:
        raise InputError(f"{unit_id}: is recorded in {store.where('records')}; to=FOLDER makes it anew, and compares")
    if not attempts:
        raise InputError(f"{unit_id}: no failed attempt in {store.where('failed')}; `make failures` lists them")
    return attempts[-1]


def unequal(a: Record, b: Record) -> list[str]:
    """What two records of one unit hold otherwise, in the order in which it happens; none where they are equal.

    Compared are steps that both have, digests of weights that both have, grades where one grader gave them.
    """
    x, y = happened(a, b), happened(b, a)
    return [name for name in x if repr(x[name]) != repr(y[name])]  # NaN is NaN


def happened(record: Record, other: Record) -> dict[str, object]:
    """What of a record the other should hold too, by name; without timings and where it was made."""
    last = min(len(record.steps), len(other.steps))
    digested = {(digest.step, digest.kind) for digest in other.digests}
    versions = [result.grader_version for result in by_key(record)] == [it.grader_version for it in by_key(other)]
    return {
        "outcome": (record.status, record.error),
        "prompts": record.prompts,
        "samples": [sample for sample in record.rollouts if sample.step <= last],
        "metrics": [metric for metric in (*record.steps, *record.metrics) if metric.step <= last],
        "weights": [digest for digest in record.digests if (digest.step, digest.kind) in digested],
        "answers": [(it.step, it.evaluation_id, *(getattr(it, name) for name in SAID)) for it in by_key(record)],
        "grades": [[getattr(it, name) for name in GRADED] for it in by_key(record)] if versions else [],
    }


def by_key(record: Record) -> list[EvaluationResult]:
    return sorted(record.evaluations, key=lambda result: (result.step, result.evaluation_id))


def compared(now: Record, store: Store, target: Store) -> str:
    """Whether a record is that of the other store again; ends the process with status 1 where it is not."""
    recorded = store.record(now.unit_id)
    differing = unequal(now, recorded)
    before, after = (at.where(f"records/{now.unit_id}.parquet") for at in (store, target))
    if differing:
        sys.exit(
            f"{now.unit_id}: recorded in {target.where('records')}; differs from {before} in {', '.join(differing)}; "
            f"where they part: make why A={before} B={after}"
        )
    digests = ", ".join(str(digest.step) for digest in now.digests if digest in recorded.digests)
    weights = f"weights after step {digests}, " if digests else ""
    return f"equal, bit by bit, to {before}: {weights}samples, metrics, answers"


def main(arguments: list[str]) -> None:
    names, options = read_words(arguments, ["store", "to"])
    if len(names) != 1:
        raise InputError(
            f"{' '.join(arguments)!r}: give the id of one unit of work (and store=... of a store elsewhere)"
        )
    store = Store(options.get("store", "results"))
    target = Store(options.get("to", store.address))
    is_anew = "to" in options
    require(not is_anew or target.place != store.place, "to", target.address, "is the store itself")
    unit = unit_of(found(store, names[0], is_anew))
    if target.is_recorded(unit.id):
        again = f"name another folder with to={target.address}-2" if is_anew else "to=FOLDER makes it anew"
        sys.exit(f"{unit.id}: has succeeded since, in {target.where('records')}; {again}")
    unit = replace(unit, trial=with_weights(unit.trial))
    run([unit], target, terminal())
    print(f"{unit.id}: recorded in {target.where('records')}")
    if is_anew and store.is_recorded(unit.id):
        print(compared(target.record(unit.id), store, target))


if __name__ == "__main__":
    run_command(main, __doc__)
