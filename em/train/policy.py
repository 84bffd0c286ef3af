"""The model under training and the engine that samples from it, behind verbs that stay apart."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from em.model.loading import load
from em.rollout import Completion, Request, Sampler, open_engine
from em.train import agreement, weights
from em.train.batching import micro_batches
from em.train.objective import Objective
from em.trial.method import Method
from em.trial.model import Model, Precision
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample

MIXED_PRECISION = {Precision.fp32: "no", Precision.bf16: "bf16"}


@dataclass(frozen=True)
class Update:
    """What one optimiser step says of itself; means over its counted tokens."""

    loss: float
    entropy: float  # nats, at temperature 1
    logprob: float  # nats, at temperature 1
    tokens: int  # that count, 1 at the least
    grad_norm: float  # before clipping; where it or the loss is not finite, no weight was changed


class Policy(Sampler):
    """What trainer and evaluator speak to, one process, however many processes hold the model.

    Samples (`stream` and `generate`, of Sampler) come from the weights that were pushed last, and depend on their
    request alone: not on what else is sampled, nor on how many engines share the work (sample i of a request draws from
    the stream `seed + i`).  A step counts its samples once, wherever they are worked at, so that its numbers are those
    of one process but for rounding.  After an exception only `restore` and `push` make it fit for use again, and its
    fingerprint tells whether they did.
    """

    device: str  # what it runs on, for the record

    @abstractmethod
    def begin(self, optimizer: Optimizer) -> None:
        """A phase starts: a fresh optimiser with these settings; the weights stay."""

    @abstractmethod
    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        """One update of the weights on all samples; the engines go on sampling from those that were pushed."""

    @abstractmethod
    def are_finite(self) -> bool:
        """Whether the norm of all weights is finite."""

    @abstractmethod
    def push(self) -> None:
        """From now on samples are those of the weights as they are."""

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of all weights: equal exactly when they are."""

    @abstractmethod
    def restore(self) -> None:
        """Back to the base model's weights; nothing is pushed."""

    @abstractmethod
    def clear_cache(self) -> None:
        """Nothing of the samples so far is left in an engine."""

    @abstractmethod
    def close(self) -> None:
        """Free what it holds."""


class LocalPolicy(Policy):
    """Model and engine in this process, on one GPU or on the CPU."""

    def __init__(self, folder: Path, model: Model, engine: EngineConfig) -> None:
        on_cpu = not torch.cuda.is_available()
        if on_cpu:
            torch.set_num_threads(model.cpu_threads)
        self.model = load(folder, torch.float32)
        self.base = weights.copy_of(self.model)
        self.engine = open_engine(folder, engine, model.precision)
        self.context = self.engine.context
        AcceleratorState._reset_state()  # the process may have served a model of another precision
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision=MIXED_PRECISION[model.precision])
        self.device = f"cpu {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name()
        optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.objective, self.optimizer = self.accelerator.prepare(Objective(self.model), optimizer)
        self.push()
        with torch.no_grad():
            agreement.check(self.objective, self.model, self.engine, agreement.prompts(folder, self.context), model)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        return self.engine.stream(requests, logprobs)

    def begin(self, optimizer: Optimizer) -> None:
        self.optimizer.optimizer.state.clear()
        self.optimizer.param_groups[0].update(
            lr=optimizer.lr,
            weight_decay=optimizer.weight_decay,
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
        )

    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        tokens, device = max(1, method.counted(samples)), self.model.device
        sums = torch.zeros(3, dtype=torch.float64)  # of loss, entropies, log-probabilities
        self.optimizer.zero_grad()
        weights_K = method.weights(samples)
        for batch in micro_batches(prompts, samples, weights_K, method.micro_batch_tokens, method.skipped):
            sampled = batch.sampled_logprob_BT
            loss, entropy_N, logprob_N = self.objective(
                method,
                batch.input_BT.to(device),
                batch.predicts_BT.to(device),
                batch.weight_BT.to(device),
                None if sampled is None else sampled.to(device),
            )
            self.accelerator.backward(loss)
            sums += torch.stack([loss.detach(), entropy_N.sum() / tokens, logprob_N.sum() / tokens]).double().cpu()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), max_norm)
        update = Update(*sums.tolist(), tokens=tokens, grad_norm=float(norm if norm is not None else math.nan))
        if math.isfinite(update.loss) and math.isfinite(update.grad_norm):
            self.optimizer.step()
        return update

    def are_finite(self) -> bool:
        return weights.are_finite(self.model)

    def push(self) -> None:
        self.engine.push(self.model.state_dict())

    def digest(self) -> str:
        return weights.digest(self.model)

    def restore(self) -> None:
        weights.restore(self.model, self.base)

    def clear_cache(self) -> None:
        self.engine.clear_cache()

    def close(self) -> None:
        self.engine.close()
        del self.model, self.objective, self.optimizer, self.base
        self.accelerator.free_memory()
