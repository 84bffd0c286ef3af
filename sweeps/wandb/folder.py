"""Where W&B runs lie until they are sent, and what is known of them: the listing is all the state there is.

    <store>/wandb/<project>/offline-run-<run id>.<generation>/     a whole run, as `wandb sync` takes it
        run-<run id>.wandb, files/                                 wandb's own
        run-<run id>.wandb.synced                                  W&B has it (`wandb sync` marks it so)
        run.json                                                   what it was made of
    <store>/wandb/<project>.2/ ...                                 where there are too many for one project
    <store>/wandb/<project>.lock                                   who writes or sends holds it
    <store>/wandb/<project>.writing/                               what is being written; left over: thrown away
    <store>/wandb/<project>.staging/                               copies of tables, until they are sent
    <store>/wandb/<project>-<sweep>.jsonl                          rows of the monitor run (sweeps.wandb.monitor)
    <store>/wandb/<project>.log                                    of the exporter beside a sweep

A run appears by `rename`, whole; its generation tells it from what was written of the same run before, and only the
newest stays.  So whatever is killed, nothing is half there, and the next exporter writes what is not listed.
The name of a sweep's own project has no dot (sweeps.config): `<project>.2` is of no other sweep.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from em.errors import InputError
from em.store import Store
from sweeps.wandb.runs import Run

PREFIX = "offline-run-"  # `wandb sync` takes others for runs that were sent while they ran
LOCK_SECONDS = 600.0


class Folder:
    """The runs of a project, and of those that it goes on in."""

    def __init__(self, store: Store, project: str) -> None:
        self.root, self.project = store.root / "wandb", project
        self.writing = self.root / f"{project}.writing"
        self.staging = self.root / f"{project}.staging"
        self.lock = FileLock(self.root / f"{project}.lock")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process writes or sends these runs; what one that died was writing is thrown away."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise InputError(f"{self.lock.lock_file}: another process has been at these runs for minutes") from None
        except OSError as error:
            raise InputError(f"{self.root}: cannot be written: {error.strerror}") from None
        try:
            shutil.rmtree(self.writing, ignore_errors=True)
            self.writing.mkdir()
            yield
        finally:
            shutil.rmtree(self.writing, ignore_errors=True)
            self.lock.release()

    def names(self) -> Iterator[str]:
        """The names of the projects that its runs fill one after another: without end."""
        yield self.project
        yield from (f"{self.project}.{number}" for number in count(2))

    def projects(self) -> list[str]:
        """The projects that have runs."""
        return list(takewhile(lambda name: (self.root / name).is_dir(), self.names()))

    def runs(self) -> dict[str, Path]:
        """Run id and folder of every run that is written."""
        paths = [path for project in self.projects() for path in (self.root / project).glob(f"{PREFIX}*")]
        return {path.name.removeprefix(PREFIX).rpartition(".")[0]: path for path in paths}

    def waiting(self) -> list[Path]:
        """The runs that W&B does not have yet."""
        return [path for path in self.runs().values() if not any(path.glob("*.wandb.synced"))]

    def place(self, run: Run) -> Path:
        return self.root / run.project / f"{PREFIX}{run.id}.{run.generation}"

    def commit(self, written: Path, run: Run) -> None:
        """Take in a run's folder, in place of what there is of the same run."""
        (written / "run.json").write_text(json.dumps(vars(run)))
        place = self.place(run)
        place.parent.mkdir(exist_ok=True)
        before = list(place.parent.glob(f"{PREFIX}{run.id}.*"))
        written.rename(place)
        for path in before:
            shutil.rmtree(path, ignore_errors=True)


def generation_of(path: Path) -> str:
    return path.name.rpartition(".")[2]


def run_of(path: Path) -> Run:
    """What a run's folder was made of."""
    return Run(**json.loads((path / "run.json").read_text()))
