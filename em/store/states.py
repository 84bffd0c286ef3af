"""States of weights beside the records, which save work and prove nothing: the record's digests do that.

    states/ends/<trial id>-<step>.safetensors          where other trials start: kept while a launch has such trials
    states/unfinished/<unit id>/<way>.parquet          how far a unit of work has come, on which way: the id of the
                                                       record whose tokens it trains on, or `sampled` ...
    states/unfinished/<unit id>/<way>-<step>.safetensors     ... and the state to go on from

A state that is not there, or cannot be read, costs the time to train it again, and nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from em.errors import InputError
from em.store import schema
from em.store.files import Files
from em.trial.unit import Unit

FOLDER, SUFFIX = "states", ".safetensors"
T = TypeVar("T")

Write = Callable[[Path], None]


class States:
    """Nothing here raises where files cannot be written, or are gone: what is lost is time."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def keep_end(self, trial_id: str, step: int, write: Write) -> None:
        """Keep the weights that a trial has after a step."""
        with suppress(OSError):
            self.files.replace_by(_end(trial_id, step), write)

    @contextmanager
    def end(self, trial_id: str, step: int) -> Iterator[Path | None]:
        """The file of these weights; None where they are not kept."""
        with self._opened(_end(trial_id, step)) as path:
            yield path

    def drop_end(self, trial_id: str, step: int) -> None:
        with suppress(OSError):
            self.files.remove(_end(trial_id, step))

    def keep_unfinished(self, unit: Unit, step: int, progress: object, write: Write) -> None:
        """Keep how far a unit has come (a dataclass of what a record holds), and the state to go on from."""
        folder, way = _unfinished(unit)
        state = f"{way}-{step}{SUFFIX}"
        with suppress(OSError):
            self.files.replace_by(f"{folder}/{state}", write)
            content = schema.parquet(schema.frame([progress]))
            self.files.replace(f"{folder}/{way}.parquet", content)  # from here on it counts
            for name in self.files.list(folder):
                if name.startswith(f"{way}-") and name != state:
                    self.files.remove(f"{folder}/{name}")

    @contextmanager
    def unfinished(self, unit: Unit, kind: type[T], step_of: Callable[[T], int]) -> Iterator[tuple[T, Path] | None]:
        """How far a unit has come, as that dataclass, and the file of its state; None where nothing is kept of it."""
        folder, way = _unfinished(unit)
        name = f"{folder}/{way}.parquet"
        try:
            progress = schema.load(kind, self.files.read(name), name)
        except (OSError, InputError):
            yield None
            return
        with self._opened(f"{folder}/{way}-{step_of(progress)}{SUFFIX}") as path:
            yield None if path is None else (progress, path)

    def drop_unfinished(self, unit_id: str) -> None:
        """The unit is finished, or begins anew."""
        with suppress(OSError):
            self.files.remove(f"{FOLDER}/unfinished/{unit_id}")

    def unfinished_units(self) -> list[str]:
        """The ids of the units of which something is kept."""
        return self.files.list(f"{FOLDER}/unfinished")

    @contextmanager
    def _opened(self, name: str) -> Iterator[Path | None]:
        try:
            opened = self.files.opened(name)
            path = opened.__enter__()
        except OSError:
            yield None
            return
        try:
            yield path
        finally:
            opened.__exit__(None, None, None)


def _unfinished(unit: Unit) -> tuple[str, str]:
    """The folder of a unit, and the beginning of its files there."""
    return f"{FOLDER}/unfinished/{unit.id}", unit.source or "sampled"


def _end(trial_id: str, step: int) -> str:
    return f"{FOLDER}/ends/{trial_id}-{step}{SUFFIX}"
