"""Files in memory, with a clock that stands still: the whole of what another back end of the store has to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Lock


class MemoryFiles:
    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}
        self.touched: dict[str, float] = {}
        self.now_seconds, self.lock = 0.0, Lock()

    def create_once(self, name: str, content: bytes) -> bool:
        with self.lock:
            if name in self.pieces:
                return False
            self.pieces[name], self.touched[name] = content, self.now_seconds
            return True

    def replace(self, name: str, content: bytes) -> None:
        self.pieces[name], self.touched[name] = content, self.now_seconds

    def replace_by(self, name: str, write: Callable[[Path], None]) -> None:
        with TemporaryDirectory() as folder:
            write(Path(folder) / "piece")
            self.replace(name, (Path(folder) / "piece").read_bytes())

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            (Path(folder) / "piece").write_bytes(self.read(name))
            yield Path(folder) / "piece"

    def read(self, name: str) -> bytes:
        self.require(name)
        return self.pieces[name]

    def exists(self, name: str) -> bool:
        return name in self.pieces

    def list(self, folder: str) -> list[str]:
        depth = len(PurePosixPath(folder).parts)
        inside = [PurePosixPath(name).parts for name in self.pieces if PurePosixPath(name).is_relative_to(folder)]
        return sorted({parts[depth] for parts in inside if len(parts) > depth and not parts[depth].startswith(".")})

    def age(self, name: str) -> float:
        self.require(name)
        return self.now_seconds - self.touched[name]

    def now(self) -> float:
        return self.now_seconds

    def touch(self, name: str) -> None:
        self.require(name)
        self.touched[name] = self.now_seconds

    def move(self, name: str, to: str) -> None:
        self.replace(to, self.read(name))
        self.remove(name)

    def remove(self, name: str) -> None:
        for piece in [piece for piece in self.pieces if PurePosixPath(piece).is_relative_to(name)]:
            del self.pieces[piece]

    def where(self, name: str) -> str:
        return f"memory/{name}"

    def require(self, name: str) -> None:
        if name not in self.pieces:
            raise FileNotFoundError(name)
