"""Which record, or failed attempt, a word of the command line names."""

from em.errors import require
from em.store import Store
from em.store.files import files_at
from em.store.record import Record
from em.store.schema import load

LISTED = 5  # trials that an error lists


def resolve(store: Store, name: str, word: str) -> Record:
    """The record or, where there is none, the failed attempt that `word` names; `name` is that of the argument.

    A word is the beginning of a file's name in records/ (of a trial's id, say) or, where none begins so, in failed/; or
    the path of such a file, of any store.  Of several files of one trial the one that goes furthest is taken, of these
    the latest.
    """
    if word.endswith(".parquet"):
        piece = word.rpartition("/")[2]
        files = files_at(word.removesuffix(piece) or ".")
        require(files.exists(piece), name, word, "is not a file")
        return load(Record, files.read(piece), word)
    units = sorted(unit for unit in store.recorded_units() if unit.startswith(word))
    attempts = store.failures(word) if not units else []
    trials = sorted({unit.partition("-")[0] for unit in units} | {attempt.trial_id for attempt in attempts})
    require(bool(trials), name, word, f"no record and no failed attempt in {store.address} begins so")
    some = ", ".join(trials[:LISTED]) + " ..." * (len(trials) > LISTED)
    require(len(trials) == 1, name, word, f"{len(trials)} trials begin so, give more of {some}")
    return max([*map(store.record, units), *attempts], key=reach)


def reach(record: Record) -> tuple[int, int, str]:
    return len(record.steps), len(record.evaluations), record.provenance.started
