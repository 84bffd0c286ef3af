"""What the store rests on: named pieces of bytes, each there as a whole or not at all."""

import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from em.paths import expanded
from em.store.access import is_url

CLOCK_SECONDS = 1.0  # for which the store's time goes on by this process's clock


class Files(Protocol):
    """Pieces of bytes below one root.  Names are relative, with "/" between folders; folders need not be made.

    Every back end guarantees:

    - A piece that can be read is whole.  `create_once` and `replace` return once it is on disk; a process killed before
      that leaves nothing that `list` shows.
    - Of several that `create_once` the same name, on whatever machines, one gets True.  This is all that records and
      claims rely on.  Of several that `replace` it, the last one wins.
    - Once a call has returned, every other process reads what it wrote.  `list` may be behind by a few seconds.
    - FileNotFoundError where a name is missing.  Whatever else goes wrong (a full disk, no permission, no network) is
      an OSError, after which the same call may be made again.

    `PosixFiles` needs hard links: local file systems, NFS and Lustre have them.  `em.store.bucket.BucketFiles` needs
    conditional writes: S3 and most servers of its protocol have them.
    """

    def create_once(self, name: str, content: bytes) -> bool:
        """Write a new piece; False, and nothing is written, where the name exists."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Write a piece, in place of what the name held."""
        ...

    def replace_by(self, name: str, write: Callable[[Path], None]) -> None:
        """`replace`, for what is too large to be held in memory: `write` writes it to the file that it is given."""
        ...

    def read(self, name: str) -> bytes: ...

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """A file of this machine that holds a piece, for as long as the body runs, and perhaps after a download."""
        ...

    def exists(self, name: str) -> bool: ...

    def list(self, folder: str) -> list[str]:
        """What lies directly in a folder, pieces and folders alike, by name, sorted; empty where there is no folder.

        Names that begin with a dot are left out.
        """
        ...

    def age(self, name: str) -> float:
        """Seconds since a piece was written or touched.

        Both times are the store's, so that clocks of machines do not matter; only where nothing can be written is the
        time now that of this machine.
        """
        ...

    def now(self) -> float:
        """The store's time, in seconds since 1970; that of this machine where nothing can be written."""
        ...

    def touch(self, name: str) -> None:
        """Make a piece's age 0."""
        ...

    def move(self, name: str, to: str) -> None:
        """Give a piece another name, in a place where nothing lies.  Its bytes are kept, whatever happens meanwhile."""
        ...

    def remove(self, name: str) -> None:
        """Take away a piece, or a folder with all that is in it; nothing happens where it is gone already."""
        ...

    def where(self, name: str) -> str:
        """Where a piece or a folder lies, for messages."""
        ...


def files_at(root: str | Path) -> Files:
    """The pieces of a folder, or of a bucket's `s3://bucket/prefix`.

    Raises InputError where a bucket cannot be used, OSError where it cannot be reached.
    """
    if not is_url(str(root)):
        return PosixFiles(expanded(root))
    from em.store.bucket import BucketFiles

    return BucketFiles(str(root))


class PosixFiles:
    """Files of a file system with hard links, local or shared by all nodes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked, self.clock = -math.inf, 0.0  # this process's time and the store's, when that was last asked for

    def create_once(self, name: str, content: bytes) -> bool:
        with self._written(name, content) as temporary, suppress(FileExistsError):
            os.link(temporary, self.root / name)  # fails where the name exists; a rename would overwrite
            return True
        return False

    def replace(self, name: str, content: bytes) -> None:
        with self._written(name, content) as temporary:
            temporary.rename(self.root / name)

    def replace_by(self, name: str, write: Callable[[Path], None]) -> None:
        with self._appearing(name) as temporary:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.rename(self.root / name)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        (self.root / name).stat()
        yield self.root / name

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def list(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def age(self, name: str) -> float:
        path = self.root / name
        with path.open("rb") as file:  # opening asks a network file system for the time as it is now
            touched = os.fstat(file.fileno()).st_mtime
        return self.now() - touched

    def now(self) -> float:
        """The store's time, which a new file has; one tells it for CLOCK_SECONDS, whatever is aged meanwhile."""
        if time.monotonic() - self.asked > CLOCK_SECONDS:
            probe = self._temporary(self.root / "clock")
            try:
                probe.touch()
                self.asked, self.clock = time.monotonic(), probe.stat().st_mtime
                probe.unlink()
            except OSError:  # one who may only read
                return time.time()
        return self.clock + time.monotonic() - self.asked

    def touch(self, name: str) -> None:
        os.utime(self.root / name)

    def move(self, name: str, to: str) -> None:
        (self.root / to).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).rename(self.root / to)

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def where(self, name: str) -> str:
        return str(self.root / name)

    @staticmethod
    def _temporary(path: Path) -> Path:
        return path.with_name(f".{uuid.uuid4().hex}.tmp")

    @contextmanager
    def _written(self, name: str, content: bytes) -> Iterator[Path]:
        """A temporary file on disk, beside the place where it is to appear."""
        with self._appearing(name) as temporary:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary

    @contextmanager
    def _appearing(self, name: str) -> Iterator[Path]:
        """The name of a temporary file, beside the place where it is to appear."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary(path)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
