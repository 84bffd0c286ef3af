"""The store in a bucket of S3, or of what speaks its protocol: every piece is an object.

What only records and claims need, that a name is created once, is a conditional write (`If-None-Match: *`).  Ages are
the store's own, in whole seconds: `LastModified` against that of an object that is written to learn the time.
"""

import errno
import re
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from os import pwrite
from pathlib import Path, PurePosixPath
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from em.model.cache import cache_folder
from em.store.access import access, mistake
from em.store.pieces import Pieces
from em.trial.identity import content_id

CLOCK_SECONDS = 300.0  # for which the store's time goes on by this process's clock
LISTED_SECONDS = 60.0  # for which a listing tells what an unchanging piece holds
UNCHANGING = {"records", "grades", "index"}  # folders of pieces that are written once
PART_BYTES = 16 * 2**20  # of a large piece, that travel at once
PARALLEL = 8  # parts
RETRIES: Any = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=20),  # who has more patience calls again
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
CLOCK = ".clock"
WRITER = "writer"  # names who created an object, where an answer was lost


class BucketFiles:
    """Objects below `s3://bucket/prefix`.  An error of the store is an OSError after 20 s of tries at most."""

    def __init__(self, url: str) -> None:
        """Raises InputError where the address cannot be one, there are no credentials, or they are of no use here;
        OSError where the store cannot be reached."""
        self.url, (bucket, prefix, options) = url.rstrip("/"), access(url)
        self.objects = S3Store(bucket, prefix=prefix, retry_config=RETRIES, **options)
        self.asked, self.clock = -float("inf"), 0.0
        self.pieces = Pieces(cache_folder() / "pieces" / content_id([self.url, options.get("endpoint")]))
        self.listed: dict[str, tuple[float, str]] = {}  # when, and with which ETag, unchanging pieces were listed
        self.unsure: dict[tuple[str, bytes], str] = {}  # writers of creations of which no answer came
        self.requests = Counter[str]()  # by method, as S3 counts them
        try:
            self.list(CLOCK)  # where nothing lies
        except OSError as error:
            raise mistake(url, str(error.strerror)) or error from None

    def create_once(self, name: str, content: bytes) -> bool:
        self.listed.pop(name, None)
        key = name, sha256(content).digest()
        writer = self.unsure.pop(key, "") or uuid.uuid4().hex
        with self._speaking(name, "PUT"):
            try:
                obstore.put(
                    self.objects, name, content, mode="create", attributes={WRITER: writer}, use_multipart=False
                )
            except AlreadyExistsError:
                return self._writer_of(name) == writer  # a try before this one got through, and its answer was lost
            except BaseError:
                self.unsure[key] = writer
                raise
        return True

    def replace(self, name: str, content: bytes) -> None:
        self._put(name, content)

    def replace_by(self, name: str, write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="em-piece-") as folder:
            path = Path(folder, PurePosixPath(name).name)
            write(path)
            self._put(name, path)

    def read(self, name: str) -> bytes:
        if name.partition("/")[0] not in UNCHANGING:
            return self._get(name)[0]
        when, etag = self.listed.get(name, (0.0, ""))
        kept = self.pieces.get(name, etag) if etag and time.monotonic() - when < LISTED_SECONDS else None
        if kept is not None:
            return kept
        content, etag = self._get(name)
        self.pieces.put(name, etag, content)
        return content

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="em-piece-") as folder:
            path = Path(folder, PurePosixPath(name).name)
            found = self._head(name)
            parts = range(0, found["size"], PART_BYTES)
            with path.open("wb") as file, ThreadPoolExecutor(PARALLEL) as pool, self._speaking(name, "GET", len(parts)):

                def fetch(start: int) -> None:
                    end = min(start + PART_BYTES, found["size"])
                    options: Any = {"range": (start, end), "if_match": found["e_tag"]}
                    pwrite(file.fileno(), obstore.get(self.objects, name, options=options).bytes(), start)

                list(pool.map(fetch, parts))
            yield path

    def exists(self, name: str) -> bool:
        try:
            self._head(name)
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str) -> list[str]:
        with self._speaking(folder, "LIST"):
            found = obstore.list_with_delimiter(self.objects, folder or None)
        more = max(0, len(found["objects"]) + len(found["common_prefixes"]) - 1) // 1000
        self.requests["LIST"] += more  # pages
        if folder in UNCHANGING:
            now = time.monotonic()
            self.listed = {name: of for name, of in self.listed.items() if not name.startswith(f"{folder}/")}
            self.listed |= {str(item["path"]): (now, str(item["e_tag"])) for item in found["objects"]}
        paths = [*(item["path"] for item in found["objects"]), *found["common_prefixes"]]
        names = {PurePosixPath(path).name for path in paths}
        return sorted(name for name in names if not name.startswith("."))

    def age(self, name: str) -> float:
        touched = self._head(name)["last_modified"].timestamp()
        return max(0.0, self.now() - touched)

    def touch(self, name: str) -> None:
        """Write what it holds once more, unless it was removed or replaced meanwhile."""
        seen = ""
        while (found := self._get(name))[1] != seen:
            content, seen = found
            if self._put_over(name, seen, content):
                return
        raise OSError(errno.EIO, "is not replaced, though it is as it was read", self.where(name))

    def move(self, name: str, to: str) -> None:
        """Of several at once one moves it, the others find it missing; nothing that is written meanwhile is lost."""
        content, etag = self._get(name)
        self._put(to, content)
        if not self._put_over(name, etag, uuid.uuid4().bytes):
            raise FileNotFoundError(errno.ENOENT, "was moved or replaced meanwhile", self.where(name))
        self._delete(name, [name])

    def remove(self, name: str) -> None:
        with self._speaking(name, "LIST"):
            inside = [str(item["path"]) for found in obstore.list(self.objects, name) for item in found]
        self._delete(name, inside or [name])

    def where(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    def now(self) -> float:
        """The store's time, seconds since 1970; that of this machine where nothing can be written."""
        if time.monotonic() - self.asked > CLOCK_SECONDS:
            try:
                self._put(CLOCK, b"")
                self.clock = self._head(CLOCK)["last_modified"].timestamp()
            except OSError:
                return time.time()
            self.asked = time.monotonic()
        return self.clock + time.monotonic() - self.asked

    def _get(self, name: str) -> tuple[bytes, str]:
        """What a piece holds, and its ETag."""
        with self._speaking(name, "GET"):
            found = obstore.get(self.objects, name)
            return bytes(found.bytes()), str(found.meta["e_tag"])

    def _head(self, name: str) -> Any:
        with self._speaking(name, "HEAD"):
            return obstore.head(self.objects, name)

    def _writer_of(self, name: str) -> str:
        try:
            with self._speaking(name, "HEAD"):
                return str(obstore.get(self.objects, name, options={"head": True}).attributes.get(WRITER, ""))
        except FileNotFoundError:  # it was removed meanwhile
            return ""

    def _put(self, name: str, content: bytes | Path) -> None:
        self.listed.pop(name, None)
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        parts = -(-size // PART_BYTES)
        with self._speaking(name, "PUT", 1 if parts < 2 else parts + 2):
            obstore.put(
                self.objects,
                name,
                content,
                use_multipart=parts > 1,
                chunk_size=PART_BYTES,
                max_concurrency=PARALLEL,
            )

    def _put_over(self, name: str, etag: str, content: bytes) -> bool:
        """Write a piece if it still is as it was read."""
        for form in dict.fromkeys([etag, etag.strip('"')]):  # Ceph compares it without the quotes that it gives it
            with self._speaking(name, "PUT"), suppress(PreconditionError):
                obstore.put(self.objects, name, content, mode={"e_tag": form}, use_multipart=False)
                return True
        return False

    def _delete(self, name: str, names: Sequence[str]) -> None:
        with self._speaking(name, "DELETE"):
            obstore.delete(self.objects, names[0] if len(names) == 1 else list(names))

    @contextmanager
    def _speaking(self, name: str, method: str, requests: int = 1) -> Iterator[None]:
        """Count a request, and let what it raises be an OSError; FileNotFoundError where the name is missing."""
        self.requests[method] += requests
        try:
            yield
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and "<Code>NoSuchBucket" not in str(error):
                raise FileNotFoundError(errno.ENOENT, "no such piece", self.where(name)) from None
            raise OSError(errno.EIO, said(error), self.where(name)) from None


def said(error: BaseException) -> str:
    """What the store answered, or why there is no answer, in one line."""
    text = str(error).partition("\n\nDebug source")[0]
    if answer := re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL):
        return ": ".join(filter(None, answer.groups()))[:300]
    return text.strip().splitlines()[0].rpartition("Error performing ")[2][:300]
