"""Model and engine in one process, on one GPU or on the CPU."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from em.memory.device import here
from em.memory.plan import plan_of
from em.rollout import Completion, Request, open_engine
from em.train import agreement
from em.train.learner import Learner
from em.train.policy import Update
from em.train.shards import Gathered, ranks
from em.trial.method import Method
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample


class LocalPolicy(Learner):
    """A learner, and the engine that samples from what it pushes."""

    def __init__(self, folder: Path, model: Model, engine: EngineConfig) -> None:
        device = here()
        plan = plan_of(folder, model, engine, device, ranks())
        super().__init__(folder, model, plan)
        if plan.engine:
            engine = replace(engine, gpu_memory_utilization=plan.engine / device.total)
        self.engine = open_engine(folder, engine, model, plan.choice.asleep)
        self.context = self.engine.context
        self.push()
        with torch.no_grad():
            agreement.check(self.objective, self.model, self.engine, agreement.prompts(folder, self.context), model)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        return self.engine.stream(requests, logprobs)

    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        self.engine.sleep()
        return super().step(prompts, samples, method, max_norm)

    def push(self) -> None:
        self.engine.push(Gathered(self.model.state_dict()))

    def clear_cache(self) -> None:
        self.engine.clear_cache()

    def close(self) -> None:
        self.engine.close()
        super().close()
