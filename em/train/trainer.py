"""Trains and measures one trial after another with one loaded model and one engine: sample, step, push, measure.

Departs from the paper's published code where that counts micro-batches as steps and averages their means: here a step
is one optimiser update over all samples, and the loss is normalised by the token count of the whole step.
"""

import math
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from em.errors import InputError, require
from em.evaluation.evaluate import Evaluator
from em.rollout import FINGERPRINT_PROMPT, Request, open_engine
from em.rollout.reader import Reader
from em.store.provenance import provenance
from em.store.record import Record, Sample, Status, StepMetrics, StepSeconds, WeightDigest
from em.train import weights
from em.train.batching import counted_tokens, micro_batches
from em.train.objective import EntropyObjective
from em.train.replay import DriftedError, Replay
from em.train.weights import load
from em.trial.checkpoint import checkpoint_folder
from em.trial.model import Model, Precision
from em.trial.rollout import Rollout
from em.trial.seeds import stream
from em.trial.trial import Trial
from em.trial.unit import Unit

AGREEMENT_NATS = 0.5  # a wrong head or position is off by nats, bf16 by hundredths
ALIVE_SECONDS = 1.0  # between two signs of life of a long measurement
MIXED_PRECISION = {Precision.fp32: "no", Precision.bf16: "bf16"}


class DivergedError(Exception):
    """Loss, gradient or weights became non-finite; raised before they are pushed to the engine."""


class EngineCorruptError(RuntimeError):
    """The engine does not answer as it did with the base weights: this process must not record anything more."""


def paced(call: Callable[[], None]) -> Callable[[], None]:
    """`call`, but not again within ALIVE_SECONDS."""
    last = time.monotonic()

    def paced_call() -> None:
        nonlocal last
        if time.monotonic() - last >= ALIVE_SECONDS:
            last = time.monotonic()
            call()

    return paced_call


class Trainer:
    """One model and one engine, loaded once; `run` takes them through a trial, `reset` back to the base weights."""

    def __init__(self, model: Model, rollout: Rollout) -> None:
        self.model_config, self.engine_name = model, rollout.engine
        on_cpu = not torch.cuda.is_available()
        if on_cpu:
            torch.set_num_threads(model.cpu_threads)
        folder = checkpoint_folder(model)
        self.model = load(folder)
        self.base = weights.copy_of(self.model)
        self.engine = open_engine(folder, rollout, model.precision)
        self.reader = Reader(folder, model, self.engine.context)
        self.evaluator = Evaluator(self.engine, self.reader)
        AcceleratorState._reset_state()  # the process may have served a model of another precision
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision=MIXED_PRECISION[model.precision])
        self.device = f"cpu {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name()
        optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.objective, self.optimizer = self.accelerator.prepare(EntropyObjective(self.model), optimizer)
        self.fingerprint = self.engine.fingerprint()
        self._check_agreement()
        self.is_base = True

    @torch.no_grad()
    def _check_agreement(self) -> None:
        """Raise InputError where model and engine disagree on the fingerprint: heads with a bias, scaled logits, ..."""
        ids, logprobs = self.fingerprint
        [batch] = micro_batches([FINGERPRINT_PROMPT], [list(ids)], max_tokens=1)
        device = self.model.device
        _, _, own = self.objective(batch.input_BT.to(device), batch.predicts_BT.to(device), 0.0, 1.0)
        apart = float((own.cpu() - torch.tensor(logprobs)).abs().max())
        require(
            apart < AGREEMENT_NATS,
            "model",
            self.model_config.label,
            f"the log-probabilities of trainer and engine are {apart:.2f} nats apart; "
            "its logits are more than hidden states times output head, which is not supported",
        )

    def run(
        self,
        unit: Unit,
        attempt: int = 1,
        lane: str = "",
        last_commit: float | None = None,
        on_step: Callable[[int], None] = lambda step: None,
        recorded: Record | None = None,
    ) -> Record:
        """Train the unit's trial to its last measured step and return what was measured.

        A trial whose numbers become non-finite ends as `diverged`, one that raises as `failed`, traceback inside; an
        InputError is raised, since no other attempt would end better.  `last_commit`: time.monotonic() when the lane's
        previous record was committed, for the turnover in the record's provenance.  `recorded`: the record of
        `unit.source`, whose tokens are trained on again; where that leads elsewhere, `unit.whole` is measured anew.
        """
        self.reset()
        self.is_base = False
        started = datetime.now(UTC)
        turnover = None if last_commit is None else time.monotonic() - last_commit
        record: dict[str, Any] = {"steps": [], "rollouts": [], "digests": [], "evaluations": [], "seconds": []}
        status, error = Status.done, None
        try:
            self._follow(unit, record, on_step, recorded)
        except DriftedError:
            return self.run(unit.anew, attempt, lane, last_commit, on_step)
        except DivergedError as reason:
            status, error = Status.diverged, str(reason)
        except InputError:
            raise
        except Exception:
            status, error = Status.failed, traceback.format_exc()
        alive = paced(partial(on_step, len(record["steps"])))
        record["evaluations"] = [measured.result(alive) for measured in record["evaluations"]]
        return Record.of(
            unit,
            status=status,
            attempt=attempt,
            error=error,
            provenance=provenance(
                lane=lane,
                device=self.device,
                started=started,
                turnover_seconds=turnover,
                replayed=recorded.provenance.attempt_id if recorded else None,
            ),
            **record,
        )

    def _follow(
        self, unit: Unit, record: dict[str, Any], on_step: Callable[[int], None], recorded: Record | None
    ) -> None:
        """Train and measure step by step, filling `record`; the first steps on recorded tokens where there are some."""
        trial, replay = unit.trial, Replay.of(recorded)
        record["prompts"] = prompts = [
            self.reader.encode(trial.prompts.template.replace("{problem}", text), trial.rollout.max_new_tokens)
            for text in trial.prompts.texts
        ]
        if unit.last_step > 0 and not prompts:
            raise InputError(f"prompts.texts=[]: {unit.last_step} steps of training need at least one prompt")
        for measurement in unit.measurements:  # what cannot be measured is said before anything is trained
            self.evaluator.prepare(measurement.evaluation)
        self._begin(trial)
        last_step = replay.checked_after(unit.last_step)
        for step in range(last_step + 1):
            due = [measurement for measurement in unit.measurements if measurement.step == step]
            if due or step in replay.digests:
                digest = weights.digest(self.model)
                replay.check(digest, replay.digests.get(step, digest))
                record["digests"].append(WeightDigest(step=step, sha256=digest))
            on_step(step)
            if due:
                record["evaluations"] += self.evaluator.measure(due, paced(partial(on_step, step)))
            if step < last_step:
                start = time.perf_counter()
                rollouts = replay.rollouts.get(step + 1) or self._sample(trial, prompts, step + 1)
                sampled = time.perf_counter()
                record["rollouts"] += rollouts
                record["steps"].append(self._step(trial, prompts, rollouts, step + 1))
                replay.check(record["steps"][-1], replay.steps.get(step + 1, record["steps"][-1]))
                self._check_finite(record["steps"][-1])
                trained = time.perf_counter()
                self.engine.push(self.model.state_dict())
                record["seconds"].append(
                    StepSeconds(
                        step=step + 1,
                        sample=sampled - start,
                        train=trained - sampled,
                        push=time.perf_counter() - trained,
                    )
                )

    def _begin(self, trial: Trial) -> None:
        """A fresh AdamW with the trial's settings."""
        chosen = trial.optimizer
        self.optimizer.optimizer.state.clear()
        self.optimizer.param_groups[0].update(
            lr=chosen.lr, weight_decay=chosen.weight_decay, betas=(chosen.beta1, chosen.beta2), eps=chosen.eps
        )

    def _sample(self, trial: Trial, prompts: list[list[int]], step: int) -> list[Sample]:
        """`rollout.samples` answers for the step; several prompts take turns, going on where the last step ended."""
        rollout, first = trial.rollout, (step - 1) * trial.rollout.samples
        turns = [(first + index) % len(prompts) for index in range(rollout.samples)]
        requests = [
            Request(
                prompt=prompts[prompt],
                seed=stream("rollout", trial.seed, step, prompt),
                samples=turns.count(prompt),
                temperature=rollout.temperature,
                top_p=rollout.top_p,
                repetition_penalty=rollout.repetition_penalty,
                max_new_tokens=rollout.max_new_tokens,
            )
            for prompt in dict.fromkeys(turns)
        ]
        answers = self.engine.generate(requests)
        return [
            Sample(step=step, prompt=prompt, token_ids=completion.token_ids, truncated=completion.truncated)
            for prompt, completions in zip(dict.fromkeys(turns), answers, strict=True)
            for completion in completions
        ]

    def _step(self, trial: Trial, prompts: list[list[int]], rollouts: list[Sample], step: int) -> StepMetrics:
        """One optimiser update on the step's samples; raises DivergedError where loss or gradient are not finite."""
        objective = trial.objective
        answers = [rollout.token_ids for rollout in rollouts]
        tokens = max(1, counted_tokens(answers, objective.first_token))  # 0: every answer is one uncounted token
        sums = torch.zeros(3, dtype=torch.float64)  # of loss, entropies, log-probabilities
        self.optimizer.zero_grad()
        read = [prompts[rollout.prompt] for rollout in rollouts]
        for batch in micro_batches(read, answers, objective.micro_batch_tokens, objective.first_token):
            loss, entropy_N, logprob_N = self.objective(
                batch.input_BT.to(self.model.device),
                batch.predicts_BT.to(self.model.device),
                1 / tokens,
                objective.loss_temperature,
            )
            self.accelerator.backward(loss)
            sums += torch.stack([loss.detach(), entropy_N.sum() / tokens, logprob_N.sum() / tokens]).double().cpu()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), trial.optimizer.max_grad_norm)
        loss, entropy, logprob = sums.tolist()
        metrics = StepMetrics(
            step=step,
            loss=loss,
            entropy=entropy,
            logprob=logprob,
            tokens=tokens,
            mean_length=sum(map(len, answers)) / len(answers),
            truncated=sum(rollout.truncated for rollout in rollouts) / len(rollouts),
            grad_norm=float(norm if norm is not None else math.nan),
        )
        if math.isfinite(metrics.loss) and math.isfinite(metrics.grad_norm):
            self.optimizer.step()
        return metrics

    def _check_finite(self, metrics: StepMetrics) -> None:
        """Raise DivergedError before anything non-finite reaches the engine, which would sample from it, silently."""
        for name, value in (("loss", metrics.loss), ("gradient norm", metrics.grad_norm)):
            if not math.isfinite(value):
                raise DivergedError(f"step {metrics.step}: {name} is {value}")
        if not weights.are_finite(self.model):
            raise DivergedError(f"step {metrics.step}: the norm of the weights is not finite after the update")

    def reset(self) -> None:
        """Back to the base weights, in model and engine; does nothing where they are already there.

        Raises EngineCorruptError where the engine then answers otherwise than when it was new.  Called right after a
        trial, so that the trial that broke an engine is the one that is blamed.
        """
        if self.is_base:
            return
        weights.restore(self.model, self.base)
        self.engine.push(self.model.state_dict())
        if self.engine.fingerprint() != self.fingerprint:
            self.engine.clear_cache()  # non-finite keys and values outlive the weights that made them
            if self.engine.fingerprint() != self.fingerprint:
                raise EngineCorruptError("with the base weights restored the engine answers otherwise than when new")
        self.is_base = True

    def close(self) -> None:
        """Free what model and engine hold, before another Trainer asks for its own."""
        self.evaluator.close()
        self.engine.close()
        del self.model, self.objective, self.optimizer, self.base
        self.accelerator.free_memory()
