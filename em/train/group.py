"""A policy of several ranks: processes that share the model (`em.train.shards`), each with an engine of its own.

This process is rank 0, and the others do with it what it does.  All of them compute one step together.  Sampling is
divided: sample i of a request draws from the stream `seed + i`, wherever it is sampled.  If a rank dies, this process
ends, since what waits for the dead rank cannot be interrupted; if this process dies, so do the others.
"""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Queue
from threading import Event
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from em.errors import require
from em.evaluation.statistics import AnswerStatistics
from em.memory.device import gpus_of_lane
from em.rollout import Completion, Request
from em.store.provenance import ROOT
from em.train.local import LocalPolicy
from em.train.policy import Policy, Update
from em.train.verbs import Done, Member, Part, Setup, listen, send
from em.train.weights import LATEST
from em.trial.method import Method
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample

PATIENCE = 60.0  # seconds that another rank may still be at what one has failed at; then it waits for that one


def open_policy(folder: Path, model: Model, engine: EngineConfig) -> Policy:
    """The policy of `model.ranks` processes, of one for each GPU of the lane where that is 0."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    ranks = model.ranks or max(1, int(gpus_of_lane()))
    remedy = f"each needs a GPU, and this process sees {gpus}; set cluster.gpus_per_lane={ranks}, or model.ranks=0"
    require(not gpus or ranks <= gpus, "model.ranks", ranks, remedy)
    return Group(folder, model, engine, ranks) if ranks > 1 else LocalPolicy(folder, model, engine)


class Group(Policy):
    def __init__(self, folder: Path, model: Model, engine: EngineConfig, ranks: int) -> None:
        self.heard = Queue[tuple[int, Part | Done]]()  # and of which rank
        self.alone = Event()  # this rank is at nothing that waits for others
        self.ended = False
        store = TCPStore("127.0.0.1", 0, ranks, is_master=True, wait_for_workers=False)
        setup = Setup(0, ranks, store.port, folder.absolute(), model, engine)
        self.others = {rank: self._start(replace(setup, rank=rank)) for rank in range(1, ranks)}
        try:
            self.own = Member(setup, store)
            self._finish()
        except BaseException:
            self._end()
            raise
        self.alone.set()
        self.can_save = self.own.policy.can_save
        self.context, self.device = self.own.policy.context, f"{ranks} x {self.own.policy.device}"

    def _start(self, setup: Setup) -> tuple[Connection, subprocess.Popen[bytes]]:
        ours, theirs = Pipe()
        popen = subprocess.Popen(
            [sys.executable, "-m", "em.train.rank", str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ | own_gpu(setup.rank),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        send(ours, setup)

        def hear(message: Part | Done) -> None:
            self.heard.put((setup.rank, message))
            if isinstance(message, Done) and message.error and not self.alone.wait(PATIENCE):
                self._die(f"rank {setup.rank} of {setup.ranks} has failed, and others wait for it:\n{message.error}")

        def closed() -> None:
            status = popen.wait()
            if not self.ended:
                self._die(f"rank {setup.rank} of {setup.ranks} has ended with status {status}")

        listen(ours, hear, closed)
        return ours, popen

    def _die(self, why: str) -> None:
        print(f"{why}; the group ends", file=sys.stderr, flush=True)
        os._exit(1)

    def _end(self) -> None:
        """The other ranks end; nothing more can be done with this policy."""
        self.ended = True
        for _, popen in self.others.values():
            popen.kill()

    def _tell(self, rank: int, *message: Any) -> None:
        if self.ended:
            raise RuntimeError("the group of ranks has ended, after an error at which they could not go on together")
        with suppress(OSError):  # it is dead, and so is this process in a moment
            send(self.others[rank][0], message)

    def _finish(self, seconds: float | None = None) -> list[Any]:
        """What the others' verbs returned, once all have ended; raises RuntimeError where one of them raised.

        Raises Empty where that takes longer.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        results = dict[int, Any]()
        while len(results) < len(self.others):
            rank, message = self.heard.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            results[rank] = message
        for rank, done in sorted(results.items()):
            if done.error:
                raise RuntimeError(f"rank {rank} failed:\n{done.error}")
        return [results[rank].result for rank in self.others]

    def _together(self, verb: str, *arguments: Any) -> list[Any]:
        """What a verb returns at each rank.  After an exception all are where they were, or the group has ended."""
        for rank in self.others:
            self._tell(rank, verb, *arguments)
        self.alone.clear()
        try:
            result = self.own.do(verb, *arguments)
        except Exception:
            self.alone.set()
            try:
                self._finish(PATIENCE)
            except RuntimeError:  # they failed alike
                pass
            except Empty:
                self._end()
            raise
        self.alone.set()
        return [result, *self._finish()]

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        parts = [divided(request, index, len(self.others) + 1) for index, request in enumerate(requests)]
        given = defaultdict[int, list[tuple[int, Request]]](list)
        for index, of_request in enumerate(parts):
            for rank, part in of_request.items():
                given[rank].append((index, part))
        answers: list[dict[int, list[Completion]]] = [{} for _ in requests]

        def complete(rank: int, place: int, samples: list[Completion]) -> Iterator[tuple[int, list[Completion]]]:
            index = given[rank][place][0]
            answers[index][rank] = samples
            if len(answers[index]) == len(parts[index]):
                yield index, [sample for of_rank in sorted(answers[index]) for sample in answers[index][of_rank]]

        for rank in self.others:
            self._tell(rank, "stream", [request for _, request in given[rank]], logprobs)
        at_work, errors = set(self.others), list[str]()
        own = self.own.policy.stream([request for _, request in given[0]], logprobs)
        sampling = True
        try:
            while sampling or at_work:
                if sampling:
                    sampling = (found := next(own, None)) is not None
                    if found is not None:
                        yield from complete(0, *found)
                while at_work and not (sampling and self.heard.empty()):
                    rank, message = self.heard.get()
                    if isinstance(message, Part):
                        yield from complete(rank, message.index, message.samples)
                        continue
                    at_work.remove(rank)
                    errors += [f"rank {rank} failed:\n{message.error}"] if message.error else []
        finally:
            while at_work:  # whoever reads has stopped
                rank, message = self.heard.get()
                at_work -= {rank} if isinstance(message, Done) else set()
        if errors:
            raise RuntimeError(errors[0])

    def fingerprint(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Those of all engines, one after another."""
        ids, logprobs = zip(*self._together("fingerprint"), strict=True)
        return sum(ids, ()), sum(logprobs, ())

    @property
    def between_updates(self) -> bool:
        return self.own.policy.between_updates

    def begin(self, optimizer: Optimizer) -> None:
        self._together("begin", optimizer)

    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        return self._together("step", prompts, samples, method, max_norm)[0]

    def are_finite(self) -> bool:
        return self._together("are_finite")[0]

    def push(self) -> None:
        self._together("push")

    def digest(self, kind: str | None = LATEST) -> str:
        return self._together("digest", kind)[0]

    def restore(self) -> None:
        self._together("restore")

    def clear_cache(self) -> None:
        self._together("clear_cache")

    def look(self, prompts: Sequence[list[int]], samples: Sequence[Sample], statistics: AnswerStatistics) -> None:
        self._together("look", prompts, samples, statistics)

    def average(self, steps: int) -> None:
        self._together("average", steps)

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        found = self._together("averaged")[0]
        try:
            yield found
        finally:
            self._together("as_before")

    def mark(self, name: str) -> None:
        self._together("mark", name)

    def recall(self, name: str) -> bool:
        return self._together("recall", name)[0]

    def save(self, path: Path, resumable: bool) -> None:
        self._together("save", path.absolute(), resumable)

    def load(self, path: Path) -> bool:
        return self._together("load", path.absolute())[0]

    def close(self) -> None:
        if not self.ended:
            self._together("close")
            self._end()
        if dist.is_initialized():
            dist.destroy_process_group()


def own_gpu(rank: int) -> dict[str, str]:
    """The environment in which a rank sees the GPU of its number, of those that this process sees, and no other."""
    if not torch.cuda.is_available():
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[rank] if visible else str(rank)}


def divided(request: Request, index: int, ranks: int) -> dict[int, Request]:
    """Which rank samples what of a request: as many samples each, or all where there are fewer than ranks, or equal."""
    if request.temperature == 0 or request.samples < ranks:
        return {index % ranks: request}
    starts = [request.samples * rank // ranks for rank in range(ranks + 1)]
    return {
        rank: replace(request, samples=starts[rank + 1] - starts[rank], seed=request.seed + starts[rank])
        for rank in range(ranks)
    }
