"""The model under training, in this process: its weights, their optimiser, and all that is done to them."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from em.evaluation.statistics import AnswerStatistics
from em.memory.device import here
from em.memory.plan import HELD, Plan, plan_of
from em.memory.recompute import recompute
from em.model.head import Head
from em.model.loading import DTYPES, load
from em.rollout import Completion, Request
from em.rollout.engine import own_context
from em.train import shards, weights
from em.train.batching import MicroBatch, micro_batches
from em.train.determinism import WORKSPACES, same_bits
from em.train.objective import Objective, Probe
from em.train.policy import Policy, Update
from em.train.states import adamw_of
from em.trial.method import Method, Need
from em.trial.model import Model, Precision, States
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample

LOOK_TOKENS = 16_384  # padded, of one forward pass that only looks
LOOK_BYTES = 256 << 20  # of its logits in fp32, of one chunk
MIXED_PRECISION = {Precision.fp32: "no", Precision.bf16: "bf16"}


class Learner(Policy):
    """The half of a policy that trains, on one GPU or on the CPU.  Alone it has no engine: it trains on samples that
    are recorded, and a push goes nowhere."""

    def __init__(self, folder: Path, model: Model, plan: Plan | None = None) -> None:
        self.deterministic = model.deterministic
        if model.deterministic:
            os.environ.update(WORKSPACES)
        on_cpu = not torch.cuda.is_available()
        if on_cpu:
            torch.set_num_threads(model.cpu_threads)
        self.context = own_context(folder)
        self.plan = plan or plan_of(folder, model, None, here(), shards.ranks())
        held = self.plan.choice
        self.can_save = shards.ranks() == 1 or held.states is not States.eight_bit  # sharded, these are in no file yet
        self.model = load(folder, HELD[held.states], None if on_cpu else torch.device("cuda"))
        self.base = weights.base_of(self.model, folder)
        self.marked = dict[str, dict[str, torch.Tensor]]()
        self.mean, self.in_mean = dict[str, torch.Tensor](), 0  # of the weights after the last steps, in fp32
        recompute(self.model, held.recomputed)
        self.accumulate, self.accumulated = 1, 0
        AcceleratorState._reset_state()  # the process may have served a model of another precision
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision=MIXED_PRECISION[model.precision])
        self.device = f"cpu {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name()
        if held.states is not States.fp32:
            self.device += f", states {held.states.value}"
        if model.deterministic:
            self.device += ", deterministic"
        objective = shards.sharded(Objective(self.model), self.model, self.accelerator.device.type)
        optimizer = adamw_of(self.model, held.states)
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        raise NotImplementedError("a learner has no engine")

    def push(self) -> None:
        """Nothing samples from the weights."""

    def clear_cache(self) -> None:
        """There is none."""

    def export(self, folder: Path, dtype: Precision) -> None:
        """Write the weights as transformers has them, rounded to a type."""
        model: Any = self.model
        if model.dtype != DTYPES[dtype]:
            model = deepcopy(model).to(DTYPES[dtype])
        model.save_pretrained(folder)

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
        with same_bits() if self.deterministic else nullcontext():
            return self._step(prompts, samples, method, max_norm)

    def _step(self, prompts: Sequence[list[int]], samples: Sequence[Sample], method: Method, max_norm: float) -> Update:
        given = {"weight": method.weights(samples), "advantage": method.advantages(samples)}
        budget = method.micro_batch_tokens or self.plan.choice.micro_batch_tokens
        batches = [
            batch.to(self.model.device) for batch in shards.dealt(prompts, samples, given, budget, method.skipped)
        ]
        if Need.base_logprobs in method.needs:
            with torch.no_grad(), self._with(self.base):
                for batch in batches:
                    _, seen = self.objective(Probe(at=method.temperature), batch)
                    batch.given["base_logprob"] = seen.own_logprob_N
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
            batch.given.setdefault("old_logprob", seen.own_logprob_N)
            means = seen.entropy_N.sum() / tokens, seen.logprob_N.sum() / tokens
            sums += torch.stack([loss.detach(), *means]).double().cpu()
            for name, total in seen.observed.items():
                observed[name] = observed.get(name, 0.0) + float(total) / tokens
        self.accumulated = (self.accumulated + 1) % self.accumulate
        limit = math.inf if self.accumulated else max_norm
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        norm = float(shards.whole(norm) if norm is not None else math.nan)
        numbers = shards.summed([*sums.tolist(), *observed.values()])
        observed = dict(zip(observed, numbers[3:], strict=True))
        update = Update(*numbers[:3], tokens=tokens, grad_norm=norm, observed=observed)
        if update.is_finite and not self.accumulated:
            self.optimizer.step()
            self.optimizer.zero_grad()
        return update

    @contextmanager
    def _with(self, other: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Inside, the model has other weights."""
        own = weights.copy_of(self.model)
        weights.restore(self.model, other)
        try:
            yield
        finally:
            weights.restore(self.model, own)

    @torch.no_grad()
    def look(self, prompts: Sequence[list[int]], samples: Sequence[Sample], statistics: AnswerStatistics) -> None:
        given, model = {"answer": [float(k) for k in range(len(samples))]}, self.model
        for batch in (batch.to(model.device) for batch in micro_batches(prompts, samples, given, LOOK_TOKENS)):
            with self.accelerator.autocast(), shards.unsharded(self.objective):
                hidden_BTH = model.base_model(batch.input_BT, use_cache=False).last_hidden_state
                for chunk in batch.chunks(hidden_BTH, LOOK_BYTES // (4 * model.config.get_text_config().vocab_size)):
                    hidden_NH, *of_tokens = chunk
                    statistics.update(Head.of(model).logits(hidden_NH), *of_tokens)

    def are_finite(self) -> bool:
        return weights.are_finite(self.model)

    def digest(self, kind: str | None = weights.LATEST) -> str:
        return weights.digest(self.model, kind)

    def restore(self) -> None:
        weights.restore(self.model, self.base)
        self.mean, self.in_mean = {}, 0

    @torch.no_grad()
    def average(self, steps: int) -> None:
        self.in_mean = min(self.in_mean + 1, steps)
        for name, tensor in self.model.named_parameters():
            if self.in_mean == 1:
                self.mean[name] = tensor.detach().to(torch.float32, copy=True)
            else:
                self.mean[name].lerp_(tensor.detach().float(), 1 / self.in_mean)

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        if not self.mean:
            yield False
            return
        with self._with(self.mean):
            yield True

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
        named = dict(self.model.named_parameters())
        mean = groups.get("mean", {}).items()
        self.mean = {name: shards.as_sharded(tensor, named[name]).to(self.model.device) for name, tensor in mean}
        self.in_mean = int(groups["in_mean"][""]) if "in_mean" in groups else 0
        weights.set_optimizer(self.model, self.optimizer.optimizer, groups)
        return self.digest() == digest

    def close(self) -> None:
        del self.model, self.objective, self.optimizer, self.base, self.marked, self.mean
        self.accelerator.free_memory()
