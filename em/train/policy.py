"""The model under training and the engine that samples from it, behind verbs that stay apart."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.func import functional_call

from em.errors import InputError
from em.evaluation.statistics import AnswerStatistics
from em.model.head import Head
from em.model.loading import load
from em.rollout import Completion, Request, Sampler, open_engine
from em.train import agreement, weights
from em.train.batching import MicroBatch, micro_batches
from em.train.objective import LOGITS_BYTES, Objective, Probe, Seen
from em.trial.method import Method, Need
from em.trial.model import Model, Precision
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample

LOOK_TOKENS = 16_384  # padded, of one forward pass that only looks
MIXED_PRECISION = {Precision.fp32: "no", Precision.bf16: "bf16"}


@dataclass(frozen=True)
class Update:
    """What one optimiser step says of itself; means over its counted tokens."""

    loss: float
    entropy: float  # nats, at temperature 1
    logprob: float  # nats, at temperature 1
    tokens: int  # that count, 1 at the least
    grad_norm: float  # before clipping; where it or the loss is not finite, no weight was changed
    observed: Mapping[str, float] = field(default_factory=dict)  # means of what the method observes

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Policy(Sampler):
    """What trainer and evaluator speak to, one process, however many processes hold the model.

    Samples (`stream` and `generate`, of Sampler) come from the weights that were pushed last, and depend on their
    request alone: not on what else is sampled, nor on how many engines share the work (sample i of a request draws from
    the stream `seed + i`).  A step counts its samples once, wherever they are worked at, so that its numbers are those
    of one process but for rounding.  After an exception only `restore` and `push` make it fit for use again, and its
    fingerprint tells whether they did.

    A policy need not keep states (`save`, `mark`): what starts from another trial's end then trains on its tokens
    again.
    """

    device: str  # what it runs on, for the record

    can_save = False  # whether `save` and `load` do something

    @property
    def between_updates(self) -> bool:
        """Whether no gradient waits for more: then all that training goes on from is in a state."""
        return True

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

    def look(self, prompts: Sequence[list[int]], samples: Sequence[Sample], statistics: AnswerStatistics) -> None:
        """Have `statistics` take in all logits of the samples, of the weights as they are."""
        raise InputError("eval.statistics: this policy shows no logits; set it to none")

    def average(self, steps: int) -> None:
        """Take the weights as they are into an average over so many steps (em.train.stabilisers.averaging)."""
        raise InputError("stabilisers.averaging: this policy keeps no average; leave it out")

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        """Inside, weights are their average, where there is one, which is said; afterwards they are as before."""
        yield False

    def mark(self, name: str) -> None:
        """Keep a copy of the weights, in place of the one marked before."""

    def recall(self, name: str) -> bool:
        """Back to the weights that were marked so; False, and nothing happens, where they are not there."""
        return False

    def save(self, path: Path, resumable: bool) -> None:
        """Write the weights and, where training is to go on from here, optimiser and average.

        Nothing else is needed for that: random streams are named, and no generator has a state.
        """
        raise NotImplementedError

    def load(self, path: Path) -> bool:
        """Take over what `save` wrote; False where that is damaged or another model's: weights are undefined then."""
        raise NotImplementedError


class LocalPolicy(Policy):
    """Model and engine in this process, on one GPU or on the CPU."""

    can_save = True

    def __init__(self, folder: Path, model: Model, engine: EngineConfig) -> None:
        on_cpu = not torch.cuda.is_available()
        if on_cpu:
            torch.set_num_threads(model.cpu_threads)
        self.model = load(folder, torch.float32)
        self.base, self.marked = weights.copy_of(self.model), dict[str, dict[str, torch.Tensor]]()
        self.mean, self.in_mean = dict[str, torch.Tensor](), 0  # of the weights after the last steps
        self.accumulate, self.accumulated = 1, 0
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
        self.optimizer.zero_grad()
        self.optimizer.param_groups[0].update(
            lr=optimizer.lr,
            weight_decay=optimizer.weight_decay,
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
        )
        self.accumulate, self.accumulated = optimizer.accumulate, 0
        self.mean, self.in_mean = {}, 0

    def step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        given = {"weight": method.weights(samples), "advantage": method.advantages(samples)}
        batches = [
            batch.to(self.model.device)
            for batch in micro_batches(prompts, samples, given, method.micro_batch_tokens, method.skipped)
        ]
        if Need.base_logprobs in method.needs:
            for batch in batches:
                batch.given["base_logprob"] = batch.spread(self._seen_by_base(method, batch).own_logprob_N)
        updates = list[Update]()
        for _ in range(method.updates):
            updates.append(self._update(batches, max(1, method.counted(samples)), method, max_norm))
            if not updates[-1].is_finite:
                return updates[-1]
        observed = {name: fmean(update.observed[name] for update in updates) for name in updates[0].observed}
        return replace(updates[0], observed=observed)

    def _update(self, batches: Sequence[MicroBatch], tokens: int, method: Method, max_norm: float) -> Update:
        """One update, or the part of one whose gradients are accumulated."""
        sums = torch.zeros(3, dtype=torch.float64)  # of loss, entropies, log-probabilities
        observed = dict[str, float]()
        for batch in batches:
            loss, seen = self.objective(method, batch)
            self.accelerator.backward(loss / self.accumulate if self.accumulate > 1 else loss)
            batch.given.setdefault("old_logprob", batch.spread(seen.own_logprob_N))
            means = seen.entropy_N.sum() / tokens, seen.logprob_N.sum() / tokens
            sums += torch.stack([loss.detach(), *means]).double().cpu()
            for name, total in seen.observed.items():
                observed[name] = observed.get(name, 0.0) + float(total) / tokens
        self.accumulated = (self.accumulated + 1) % self.accumulate
        limit = math.inf if self.accumulated else max_norm
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        norm = float(norm if norm is not None else math.nan)
        update = Update(*sums.tolist(), tokens=tokens, grad_norm=norm, observed=observed)
        if update.is_finite and not self.accumulated:
            self.optimizer.step()
            self.optimizer.zero_grad()
        return update

    @torch.no_grad()
    def _seen_by_base(self, method: Method, batch: MicroBatch) -> Seen:
        named = {f"model.{name}": tensor for name, tensor in self.base.items()}
        _, seen = functional_call(self.objective, named, (Probe(at=method.temperature), batch))
        return seen

    @torch.no_grad()
    def look(self, prompts: Sequence[list[int]], samples: Sequence[Sample], statistics: AnswerStatistics) -> None:
        given, model = {"answer": [float(k) for k in range(len(samples))]}, self.model
        for batch in (batch.to(model.device) for batch in micro_batches(prompts, samples, given, LOOK_TOKENS)):
            with self.accelerator.autocast():
                hidden_BTH = model.base_model(batch.input_BT, use_cache=False).last_hidden_state
                for chunk in batch.chunks(hidden_BTH, LOGITS_BYTES // (4 * model.config.get_text_config().vocab_size)):
                    hidden_NH, *of_tokens = chunk
                    statistics.update(Head.of(model).logits(hidden_NH), *of_tokens)

    def are_finite(self) -> bool:
        return weights.are_finite(self.model)

    def push(self) -> None:
        self.engine.push(self.model.state_dict())

    def digest(self) -> str:
        return weights.digest(self.model)

    def restore(self) -> None:
        weights.restore(self.model, self.base)
        self.mean, self.in_mean = {}, 0

    @torch.no_grad()
    def average(self, steps: int) -> None:
        self.in_mean = min(self.in_mean + 1, steps)
        for name, tensor in self.model.named_parameters():
            if self.in_mean == 1:
                self.mean[name] = tensor.detach().clone()
            else:
                self.mean[name].lerp_(tensor.detach(), 1 / self.in_mean)

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        if not self.mean:
            yield False
            return
        own = weights.copy_of(self.model)
        weights.restore(self.model, self.mean)
        try:
            yield True
        finally:
            weights.restore(self.model, own)

    def mark(self, name: str) -> None:
        self.marked = {name: {key: tensor.cpu() for key, tensor in weights.copy_of(self.model).items()}}

    def recall(self, name: str) -> bool:
        if name not in self.marked:
            return False
        weights.restore(self.model, self.marked[name])
        return True

    @property
    def between_updates(self) -> bool:
        return not self.accumulated

    def save(self, path: Path, resumable: bool) -> None:
        groups: dict[str, dict[str, torch.Tensor]] = {"weights": dict(self.model.named_parameters())}
        if resumable:
            groups["mean"], groups["in_mean"] = self.mean, {"": torch.tensor(self.in_mean)}
            groups |= weights.optimizer_groups(self.model, self.optimizer.optimizer)
        weights.save(path, groups, self.digest())

    def load(self, path: Path) -> bool:
        try:
            groups, digest = weights.load(path)
            weights.restore(self.model, groups["weights"])
        except (weights.StateError, LookupError, RuntimeError):  # damaged, or of another model
            return False
        self.mean = {name: tensor.to(self.model.device) for name, tensor in groups.get("mean", {}).items()}
        self.in_mean = int(groups["in_mean"][""]) if "in_mean" in groups else 0
        weights.set_optimizer(self.model, self.optimizer.optimizer, groups)
        return self.digest() == digest

    def clear_cache(self) -> None:
        self.engine.clear_cache()

    def close(self) -> None:
        self.engine.close()
        del self.model, self.objective, self.optimizer, self.base, self.marked, self.mean
        self.accelerator.free_memory()
