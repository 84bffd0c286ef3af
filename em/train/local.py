"""Model and engine in one process, on one GPU or on the CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from em.rollout import Completion, Request, open_engine
from em.train import agreement
from em.train.learner import Learner
from em.trial.model import Model
from em.trial.rollout import EngineConfig


class LocalPolicy(Learner):
    """A learner, and the engine that samples from what it pushes."""

    def __init__(self, folder: Path, model: Model, engine: EngineConfig) -> None:
        super().__init__(folder, model)
        self.engine = open_engine(folder, engine, model.precision)
        self.context = self.engine.context
        self.push()
        with torch.no_grad():
            agreement.check(self.objective, self.model, self.engine, agreement.prompts(folder, self.context), model)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        return self.engine.stream(requests, logprobs)

    def push(self) -> None:
        self.engine.push(self.model.state_dict())

    def clear_cache(self) -> None:
        self.engine.clear_cache()

    def close(self) -> None:
        self.engine.close()
        super().close()
