"""What this machine has read of a bucket, so that it is read once: pieces that do not change, by name and ETag.

Several processes may read and write at once.  What is damaged or gone is read from the bucket again.
"""

import os
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

MOST_BYTES = 20 * 2**30  # that are kept of a store; of more, what was not used for longest goes
CHECKED = 500  # pieces, between two looks at how much is kept
DIGEST_BYTES = 32


class Pieces:
    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes, self.written = folder, most_bytes, 0

    def get(self, name: str, etag: str) -> bytes | None:
        """A piece as it was with this ETag; None where it is not kept."""
        path = self._path(name, etag)
        try:
            kept = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        content = kept[DIGEST_BYTES:]
        return content if sha256(content).digest() == kept[:DIGEST_BYTES] else None

    def put(self, name: str, etag: str, content: bytes) -> None:
        """Keep a piece; where that cannot be, it is read again."""
        path = self._path(name, etag)
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(sha256(content).digest() + content)
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)
            if self.written % CHECKED == 0:
                self._make_room()
            self.written += 1

    def _path(self, name: str, etag: str) -> Path:
        key = sha256(f"{name} {etag}".encode()).hexdigest()
        return self.folder / key[:2] / key

    def _make_room(self) -> None:
        """Delete what was not used for longest, until a tenth is free."""
        kept = []
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):  # deleted by another process
                kept.append((path.stat().st_mtime, path.stat().st_size, path))
        size = sum(bytes_ for _, bytes_, _ in kept)
        if size <= self.most_bytes:
            return
        for _, bytes_, path in sorted(kept):
            path.unlink(missing_ok=True)
            size -= bytes_
            if size <= 0.9 * self.most_bytes:
                return
