"""Where a cluster keeps checkpoints for itself: a folder or a bucket of OWNER/NAME, or OWNER/NAME@REVISION.

A folder is read in place.  What lies in a bucket is copied once to each node, into the user's cache, where it stays.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from em.errors import InputError, UnavailableError
from em.model.cache import Tell, cache_folder, one_at_a_time, watched
from em.model.files import Checkpoint
from em.model.hub import SMALL, kind_of
from em.paths import expanded
from em.trial.identity import content_id
from em.trial.model import Model

RETRY_SECONDS = 30  # of Google's client, which would try for 15 minutes


def is_bucket(where: str) -> bool:
    return "://" in where


def names(model: Model) -> tuple[str, str]:
    """As what a model may lie there, the first found first."""
    return f"{model.path}@{model.revision}", model.path


def folder(model: Model, where: str, tell: Tell | None = None) -> Path | None:
    """The folder of a model that lies there, from a bucket as a copy on this node; None where it does not."""
    if not where:
        return None
    found = local(model, where)
    if found or not is_bucket(where):
        return found
    with reading(where):
        bucket = Bucket(where)
        name = next((name for name in names(model) if bucket.holds(name)), None)
        if name is None:
            return None
        place, doing = copies(where) / name, f"copying {model.label} from {where}"
        partial = place.with_name(f"{place.name}.partial")
        with one_at_a_time(f"{content_id(where)}-{name}", doing, tell):
            if not place.is_dir():
                shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
                partial.mkdir(parents=True)
                watched(lambda: bucket.copy(name, partial, weights=True), partial, doing, tell)
                partial.rename(place)
    return place


def check(model: Model, where: str) -> bool:
    """Whether a model lies there; raises InputError where it cannot be trained.  Copies no weights."""
    if not where:
        return False
    given = f"model.path={model.path}: cluster.models={where}"
    if found := local(model, where):
        Checkpoint(found, given).check()
        return True
    if is_bucket(where):
        with reading(where), TemporaryDirectory() as small:
            bucket = Bucket(where)
            for name in names(model):
                if bucket.holds(name):
                    bucket.copy(name, Path(small), weights=False)
                    Checkpoint(Path(small), given).check_small()
                    return True
    return False


def local(model: Model, where: str) -> Path | None:
    """The folder of a model that needs no copy, or has been copied."""
    if is_bucket(where):
        root = copies(where)
    else:
        root = expanded(where)
        if not root.is_dir():
            remedy = "name one that all nodes see, or a bucket (s3://..., gs://...)"
            raise UnavailableError(f"cluster.models={where}: no such folder on this node; {remedy}")
    return next((root / name for name in names(model) if (root / name).is_dir()), None)


def copies(where: str) -> Path:
    return cache_folder() / "models" / content_id(where)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What a bucket's client raises, as one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, ImportError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)[:300]
        remedy = "check the address and this node's credentials, or leave it out"
        raise UnavailableError(f"cluster.models={where}: cannot be read ({said}); {remedy}") from None


class Bucket:
    def __init__(self, where: str) -> None:
        from pyarrow.fs import FileSystem

        if where.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in where:
            where += f"{'&' if '?' in where else '?'}retry_limit_seconds={RETRY_SECONDS}"
        self.files, self.root = FileSystem.from_uri(where)

    def holds(self, name: str) -> bool:
        from pyarrow.fs import FileType

        return self.files.get_file_info(f"{self.root}/{name}").type is FileType.Directory

    def copy(self, name: str, folder: Path, weights: bool) -> None:
        """The files of a checkpoint that are read, into a folder of this node."""
        from pyarrow.fs import FileSelector, LocalFileSystem, copy_files

        listed: dict[str, Any] = {
            item.base_name: item for item in self.files.get_file_info(FileSelector(f"{self.root}/{name}"))
        }
        wanted = [*SMALL, *(kind_of(listed) if weights else [])]
        for base_name, item in listed.items():
            if item.is_file and any(Path(base_name).match(pattern) for pattern in wanted):
                copy_files(
                    item.path,
                    str(folder / base_name),
                    source_filesystem=self.files,
                    destination_filesystem=LocalFileSystem(),
                )
