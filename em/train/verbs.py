"""What the ranks of a group say to each other, and how a rank does what all of them do."""

import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from em.trial.model import Model
from em.trial.rollout import EngineConfig

if TYPE_CHECKING:
    from em.rollout import Completion


@dataclass(frozen=True)
class Setup:
    """What a rank is told as its first message."""

    rank: int
    ranks: int
    port: int  # of the store by which they find each other
    folder: Path
    model: Model
    engine: EngineConfig


@dataclass(frozen=True)
class Part:
    """The samples of one of the requests that a rank was given."""

    index: int
    samples: "list[Completion]"


@dataclass(frozen=True)
class Done:
    """How a verb ended."""

    result: Any = None
    error: str = ""  # a traceback


class Member:
    """A rank's own policy, by verbs; what its contexts enter and leave are verbs too."""

    def __init__(self, setup: Setup, store: Any = None) -> None:
        """`store`: of rank 0, which serves it.  Returns when all ranks have joined, and opened their engines."""
        import torch
        import torch.distributed as dist
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        from em.train.local import LocalPolicy

        store = store or TCPStore("127.0.0.1", setup.port, setup.ranks, is_master=False)
        # vLLM finds this group and takes each rank for an engine of its own, which asks the others for nothing.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=setup.rank, world_size=setup.ranks)
        self.policy = LocalPolicy(setup.folder, setup.model, setup.engine)
        self.inside = ExitStack()

    def do(self, verb: str, *arguments: Any) -> Any:
        if verb == "averaged":
            return self.inside.enter_context(self.policy.averaged())
        if verb == "as_before":
            return self.inside.close()
        return getattr(self.policy, verb)(*arguments)


def send(connection: Connection, message: Any) -> None:
    """Not by Connection.send, by which torch would have two processes share a tensor's memory."""
    connection.send_bytes(pickle.dumps(message))


def listen(connection: Connection, hear: Callable[[Any], None], closed: Callable[[], None]) -> None:
    """In a thread: call `hear` with each message, and `closed` when the other end is closed."""

    def read() -> None:
        try:
            while True:
                hear(pickle.loads(connection.recv_bytes()))
        except (EOFError, OSError):
            closed()

    Thread(target=read, daemon=True).start()
