"""Trains and measures one trial after another: sample, step, push, measure.

Departs from the paper's published code where that counts micro-batches as steps and averages their means: here a step
is one optimiser update over all samples, and the loss is normalised by the token count of the whole step.
"""

import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from em.errors import InputError, require
from em.evaluation.evaluate import Evaluator, Measured
from em.model.checkpoint import cache_folder, checkpoint_folder
from em.model.loading import refused
from em.rollout import Request
from em.rollout.reader import Reader
from em.store.record import Metric, Record, Status, StepMetrics, StepSeconds, WeightDigest
from em.train.policy import LocalPolicy, Policy
from em.train.replay import DriftedError, Replay
from em.train.selection import Selector
from em.train.trajectory import Finished, Trajectory
from em.trial.method import Need
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.sample import Sample
from em.trial.seeds import stream
from em.trial.trial import Phase, Trial
from em.trial.unit import Measurement, Unit

ALIVE_SECONDS = 1.0  # between two signs of life of a long measurement


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
    """One policy, loaded once; `run` takes it through a trial, `reset` back to the base weights (a Runner)."""

    def __init__(self, model: Model, engine: EngineConfig, policy: Policy | None = None) -> None:
        folder = checkpoint_folder(model)
        with refused(f"model.path={folder}: cannot be trained as it is"):
            self.policy = policy or LocalPolicy(folder, model, engine)
            self.reader = Reader(folder, model, self.policy.context)
            self.fingerprint = self.policy.fingerprint()
        self.device = self.policy.device
        self.evaluator = Evaluator(self.policy, self.reader)
        base = Trial(model=model, engine=engine)
        self.selector = Selector(base.id, self.evaluator, cache_folder() / "selections")
        self.is_base = True

    def run(self, unit: Unit, on_step: Callable[[int], None], recorded: Mapping[str, Record]) -> Finished:
        """As Runner says."""
        self.reset()
        self.is_base = False
        trajectory, measured = Trajectory(), list[Measured]()
        try:
            self._follow(unit, trajectory, measured, on_step, recorded)
        except DriftedError:
            return self.run(unit.anew, on_step, {})
        except DivergedError as reason:
            trajectory.status, trajectory.error = Status.diverged, str(reason)
        except InputError:
            raise
        except Exception:
            trajectory.status, trajectory.error = Status.failed, traceback.format_exc()
        alive = paced(partial(on_step, len(trajectory.steps)))
        trajectory.evaluations = [of.result(alive) for of in measured]
        replayed = recorded.get(unit.trial.id)
        return Finished(unit, trajectory, replayed.provenance.attempt_id if replayed else None)

    def _follow(
        self,
        unit: Unit,
        trajectory: Trajectory,
        measured: list[Measured],
        on_step: Callable[[int], None],
        recorded: Mapping[str, Record],
    ) -> None:
        """Fill `trajectory` and `measured`: earlier phases to their ends, then the last one to its last measurement."""
        for measurement in unit.measurements:  # what cannot be measured is said before anything is trained
            self.evaluator.prepare(measurement.evaluation)
        for trial, _ in (*unit.trial.path, (unit.trial, 0)):  # while the engine still holds the base weights
            if trial.phase is not None:
                self.selector.resolved(trial.phase.prompts, paced(partial(on_step, 0)))
        for trial, steps in unit.trial.path:
            self._train(trial, steps, Trajectory(), Replay.of(recorded.get(trial.id)), on_step)
        replay = Replay.of(recorded.get(unit.trial.id))

        def measure(step: int, due: Sequence[Measurement]) -> None:
            measured.extend(self.evaluator.measure(due, paced(partial(on_step, step))))

        self._train(unit.trial, unit.last_step, trajectory, replay, on_step, unit.measurements, measure)

    def _train(
        self,
        trial: Trial,
        last_step: int,
        trajectory: Trajectory,
        replay: Replay,
        on_step: Callable[[int], None],
        measurements: Sequence[Measurement] = (),
        measure: Callable[[int, Sequence[Measurement]], None] = lambda step, due: None,
    ) -> None:
        """The trial's last phase, from the weights as they are; on recorded tokens as far as there are some."""
        phase = trial.phase
        require(phase is not None or last_step == 0, "eval.steps", last_step, "a base model is measured at step 0")
        if phase is not None:
            phase = replace(phase, prompts=self.selector.resolved(phase.prompts))
            trajectory.prompts = [self._encode(phase, text) for text in phase.prompts.texts]
            replay.check(trajectory.prompts, replay.prompts or trajectory.prompts)
            self.policy.begin(phase.optimizer)
        last_step = replay.checked_after(last_step)
        for step in range(last_step + 1):
            due = [measurement for measurement in measurements if measurement.step == step]
            if due or step in replay.digests or (trial.before and not step):  # 0: where the phase before has ended
                digest = self.policy.digest()
                replay.check(digest, replay.digests.get(step, digest))
                trajectory.digests.append(WeightDigest(step=step, sha256=digest))
            on_step(step)
            if due:
                measure(step, due)
            if step < last_step and phase is not None:
                self._advance(trial, phase, step + 1, trajectory, replay)

    def _advance(self, trial: Trial, phase: Phase, step: int, trajectory: Trajectory, replay: Replay) -> None:
        """One step: sample, update, push."""
        start = time.perf_counter()
        samples = replay.rollouts.get(step) or self._sample(trial, phase, trajectory.prompts, step)
        sampled = time.perf_counter()
        trajectory.rollouts += samples
        update = self.policy.step(trajectory.prompts, samples, phase.objective, phase.optimizer.max_grad_norm)
        metrics = StepMetrics(
            step=step,
            loss=update.loss,
            entropy=update.entropy,
            logprob=update.logprob,
            tokens=update.tokens,
            mean_length=sum(len(sample.token_ids) for sample in samples) / len(samples),
            truncated=sum(sample.truncated for sample in samples) / len(samples),
            grad_norm=update.grad_norm,
        )
        trajectory.steps.append(metrics)
        own = phase.objective.metrics(samples)
        trajectory.metrics += [Metric(step=step, name=name, value=value) for name, value in own.items()]
        replay.check(metrics, replay.steps.get(step, metrics))
        self._check_finite(metrics)
        trained = time.perf_counter()
        self.policy.push()
        pushed = time.perf_counter()
        trajectory.seconds.append(
            StepSeconds(step=step, sample=sampled - start, train=trained - sampled, push=pushed - trained)
        )

    def _encode(self, phase: Phase, text: str) -> list[int]:
        return self.reader.encode(phase.prompts.template.replace("{problem}", text), phase.rollout.max_new_tokens)

    def _sample(self, trial: Trial, phase: Phase, prompts: Sequence[list[int]], step: int) -> list[Sample]:
        """`rollout.samples` answers for the step; several prompts take turns, going on where the last step ended."""
        rollout, first = phase.rollout, (step - 1) * phase.rollout.samples
        turns = [(first + index) % len(prompts) for index in range(rollout.samples)]
        depth = ("after", len(trial.before)) if trial.before else ()  # two phases of one seed draw different numbers
        chosen = list(dict.fromkeys(turns))
        requests = [
            Request(
                prompt=prompts[prompt],
                seed=stream("rollout", trial.seed, step, prompt, *depth),
                samples=turns.count(prompt),
                temperature=rollout.temperature,
                top_p=rollout.top_p,
                repetition_penalty=rollout.repetition_penalty,
                max_new_tokens=rollout.max_new_tokens,
            )
            for prompt in chosen
        ]
        needs = phase.objective.needs
        answers = self.policy.generate(requests, logprobs=Need.logprobs in needs)
        samples = [
            Sample(
                step=step,
                prompt=prompt,
                token_ids=completion.token_ids,
                truncated=completion.truncated,
                logprobs=completion.logprobs,
            )
            for prompt, completions in zip(chosen, answers, strict=True)
            for completion in completions
        ]
        if Need.rewards in needs:
            self._reward(phase, samples)
        return samples

    def _reward(self, phase: Phase, samples: Sequence[Sample]) -> None:
        """Fill in the samples' rewards: 1 where the prompts' grader finds the answer right."""
        prompts = phase.prompts
        texts = self.reader.decode([sample.token_ids for sample in samples])
        references = [prompts.answers[sample.prompt] for sample in samples]
        for sample, grade in zip(samples, self.evaluator.grade(prompts.grader, texts, references), strict=True):
            sample.reward = float(grade.correct is True)

    def _check_finite(self, metrics: StepMetrics) -> None:
        """Raise DivergedError before anything non-finite reaches the engine, which would sample from it, silently."""
        for name, value in (("loss", metrics.loss), ("gradient norm", metrics.grad_norm)):
            if not math.isfinite(value):
                raise DivergedError(f"step {metrics.step}: {name} is {value}")
        if not self.policy.are_finite():
            raise DivergedError(f"step {metrics.step}: the norm of the weights is not finite after the update")

    def reset(self) -> None:
        """Back to the base weights, in model and engine; does nothing where they are already there.

        Raises EngineCorruptError where the engine then answers otherwise than when it was new.
        """
        if self.is_base:
            return
        self.policy.restore()
        self.policy.push()
        if self.policy.fingerprint() != self.fingerprint:
            self.policy.clear_cache()  # non-finite keys and values outlive the weights that made them
            if self.policy.fingerprint() != self.fingerprint:
                raise EngineCorruptError("with the base weights restored the engine answers otherwise than when new")
        self.is_base = True

    def close(self) -> None:
        self.evaluator.close()
        self.policy.close()
