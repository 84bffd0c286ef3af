"""The study as Optuna keeps studies, for `optuna-dashboard` and other readers: a journal file, or a database by URL.

It is a copy.  The search never reads it, so a database that is slow or gone costs no trial, and one that was killed,
damaged or thrown away is written anew.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from analysis.search import OBJECTIVES, untroubled
from em.errors import InputError, first_line
from em.masking import masked
from em.store import Store
from sweeps.search.study import Study

SAME = ("params", "values", "state", "user_attrs")


def place(store: Store, name: str, url: str) -> str:
    """Where the study lies, for messages and for `optuna-dashboard`; without a password."""
    return masked(url) if url else str(journal(store, name))


def journal(store: Store, name: str) -> Path:
    return store.root / "studies" / f"{name}.journal"


def write(study: Study, name: str, store: Store) -> None:
    """Bring the copy up to what the study knows.  Raises InputError where that cannot be written."""
    url, trials, path = study.search.storage, study.trials(), journal(store, name)
    try:
        if url:
            with database(url) as storage:
                copied(study, name, storage, trials)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            copied(study, name, JournalStorage(JournalFileBackend(str(path))), trials)
        except OSError:
            raise
        except Exception:  # whatever Optuna says of a file that was cut short, or is no journal
            path.unlink(missing_ok=True)
            copied(study, name, JournalStorage(JournalFileBackend(str(path))), trials)
    except InputError:
        raise
    except Exception as error:  # of a database there are many kinds, and it is only a copy
        said = f"the study cannot be written there: {first_line(error)}"
        raise InputError(f"search.storage={place(store, name, url)}: {said}") from None


@contextmanager
def told(url: str) -> Iterator[None]:
    """Raises InputError for what is wrong with a URL, or with what lies there."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        remedy = "give a URL such as postgresql+psycopg://..."
        raise InputError(f"search.storage={masked(url)}: {first_line(error)}; {remedy}") from None


def check(url: str, is_written: bool) -> None:
    """Raise InputError unless a URL names a kind of database that there is and, where it is written to, that has its
    driver here.  Nothing is connected to."""
    from sqlalchemy.engine import make_url

    with told(url):
        dialect = make_url(url).get_dialect()
        if is_written:
            dialect.import_dbapi()


@contextmanager
def database(url: str) -> Iterator[RDBStorage]:
    """Its storage, without a connection left behind; raises InputError where it cannot be opened."""
    with told(url):
        storage = RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def copied(study: Study, name: str, storage: BaseStorage, trials: Sequence[FrozenTrial]) -> None:
    """Add what the copy lacks and end what has ended; where it holds anything else, write it anew."""
    copy = study.optuna_study(storage, name=name)
    there = copy.get_trials(deepcopy=False)
    if any(differs(old, new) for old, new in zip(there, trials, strict=False)) or len(there) > len(trials):
        optuna.delete_study(study_name=name, storage=storage)
        copy, there = study.optuna_study(storage, name=name), []
    with untroubled():
        copy.set_metric_names([OBJECTIVES[of].label for of in study.search.objectives])
    for old, new in zip(there, trials, strict=False):
        if new.state.is_finished() and not old.state.is_finished():
            end(copy, old, new)
    copy.add_trials(trials[len(there) :])


def differs(old: FrozenTrial, new: FrozenTrial) -> bool:
    """Whether what the copy holds of a trial is not what it would hold on the way to what it is now."""
    if old.params != new.params:
        return True
    return old.state.is_finished() and any(getattr(old, name) != getattr(new, name) for name in SAME)


def end(copy: optuna.Study, old: FrozenTrial, new: FrozenTrial) -> None:
    trial = Trial(copy, old._trial_id)
    for key, value in new.user_attrs.items():
        trial.set_user_attr(key, value)
    for name, lack in new.constraints.items():
        trial.set_constraint(name, lack)
    for seed, score in new.intermediate_values.items():
        trial.report(score, seed)
    values: dict[str, Any] = {"values": new.values} if new.state is TrialState.COMPLETE else {}
    copy.tell(old.number, state=new.state, **values)
