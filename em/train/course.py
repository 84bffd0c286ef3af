"""One unit of work's course: from the base weights, or from a kept state, to the last measurement of its trial."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean

from em.errors import require
from em.evaluation import graders
from em.evaluation.evaluate import Evaluator, Measured
from em.rollout.reader import Reader
from em.store.record import Metric, Record, Status, StepMetrics, StepSeconds, WeightDigest
from em.store.states import States
from em.train.policy import Policy
from em.train.replay import Replay
from em.train.sampling import Sampling
from em.train.selection import Selector
from em.train.trajectory import OnStep, Trajectory
from em.train.weights import LATEST
from em.trial.evaluation import Texts
from em.trial.method import Need
from em.trial.trial import Phase, Trial
from em.trial.unit import Unit

ALIVE_SECONDS = 1.0  # between two signs of life of a long measurement


class DivergedError(Exception):
    """Loss, gradient or weights became non-finite; raised before they are pushed to the engine."""


def paced(call: Callable[[], None]) -> Callable[[], None]:
    """`call`, but not again within ALIVE_SECONDS."""
    last = time.monotonic()

    def paced_call() -> None:
        nonlocal last
        if time.monotonic() - last >= ALIVE_SECONDS:
            last = time.monotonic()
            call()

    return paced_call


class Training:
    """The last phase of a trial, step by step, from the weights as they are; on recorded tokens as far as there are
    some."""

    def __init__(
        self,
        trial: Trial,
        policy: Policy,
        evaluator: Evaluator,
        selector: Selector,
        replay: Replay,
        texts: Texts = Texts.none,
    ) -> None:
        """While the engine holds the base weights: where prompts are read or selected, that is done now."""
        self.trial, self.policy, self.replay = trial, policy, replay
        self.phase = trial.phase and selector.resolved(trial.phase)
        self.prompts = [] if self.phase is None else encoded(evaluator.reader, self.phase)
        self.sampling = Sampling(evaluator, texts)
        self.trajectory = Trajectory(prompts=self.prompts)
        self.stopped = False  # a stabiliser has ended it: weights stay as they are

        if self.phase is not None and Need.rewards in self.phase.method.needs:
            graders.require_ready(self.phase.prompts.grader, "prompts")

    def begin(self) -> None:
        self.replay.check(self.prompts, self.replay.prompts or self.prompts)
        if self.phase is not None:
            self.policy.begin(self.phase.optimizer)

    def go_on(self, trajectory: Trajectory) -> None:
        """From where this trajectory ends, whose state the policy has by now."""
        self.trajectory = trajectory

    def advance(self, step: int, on_step: Callable[[int], None]) -> None:
        """One step: sample, update, push."""
        phase, trajectory = self.phase, self.trajectory
        require(phase is not None, "eval.steps", step, "a base model is measured at step 0")
        if phase is None or self.stopped:
            return
        start = time.perf_counter()
        samples = self.replay.rollouts.get(step) or self.sampling.samples(
            self.trial, phase, self.prompts, step, paced(partial(on_step, step - 1))
        )
        sampled = time.perf_counter()
        trajectory.rollouts += samples
        update = self.policy.step(self.prompts, samples, phase.method, phase.optimizer.max_grad_norm)
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
        self.stopped = any(stabiliser.ends(metrics) for stabiliser in phase.stabilisers.values())
        own = {**phase.method.metrics(samples), **update.observed}
        if len(self.prompts) > 1:
            own["prompt_length"] = fmean(len(self.prompts[sample.prompt]) for sample in samples)
        if self.stopped:
            own["stopped"] = 1.0
        trajectory.metrics += [Metric(step=step, name=name, value=value) for name, value in own.items()]
        self.replay.check(metrics, self.replay.steps.get(step, metrics))
        self._check_finite(metrics)
        if phase.averaged > 1:
            self.policy.average(phase.averaged)
        trained = time.perf_counter()
        self.policy.push()
        pushed = time.perf_counter()
        trajectory.seconds.append(
            StepSeconds(step=step, sample=sampled - start, train=trained - sampled, push=pushed - trained)
        )

    def _check_finite(self, metrics: StepMetrics) -> None:
        """Raise DivergedError before anything non-finite reaches the engine, which would sample from it, silently."""
        for name, value in (("loss", metrics.loss), ("gradient norm", metrics.grad_norm)):
            if not math.isfinite(value):
                raise DivergedError(f"step {metrics.step}: {name} is {value}")
        if not self.policy.are_finite():
            raise DivergedError(f"step {metrics.step}: the norm of the weights is not finite after the update")

    def digest(self, step: int) -> None:
        """Record the digest of the weights, which a replay compares."""
        recorded = self.replay.digests.get(step)
        kind = recorded.kind if recorded else LATEST
        digest = WeightDigest(step=step, sha256=self.policy.digest(kind), kind=kind)
        self.replay.check(digest, recorded or digest)
        self.trajectory.digests.append(digest)


def encoded(reader: Reader, phase: Phase) -> list[list[int]]:
    """The token ids of a phase's prompts."""
    template, room = phase.prompts.template, phase.rollout.max_new_tokens
    return [reader.encode(template.replace("{problem}", text), room) for text in phase.prompts.texts]


class Course:
    """`recorded`: by trial id, records whose tokens are trained on again; `states`: where states are kept."""

    def __init__(
        self,
        unit: Unit,
        policy: Policy,
        evaluator: Evaluator,
        selector: Selector,
        on_step: OnStep,
        recorded: Mapping[str, Record],
        states: States | None,
    ) -> None:
        self.unit, self.policy, self.evaluator, self.selector = unit, policy, evaluator, selector
        self.on_step, self.recorded, self.states = on_step, recorded, states
        self.trajectory, self.measured = Trajectory(), list[Measured]()
        self.resumed: int | None = None  # the step whose state it went on from ...
        self.written = 0  # ... and the last one whose state was written

    def follow(self) -> None:
        """To the last measurement; `trajectory` holds what has happened, also where this raises."""
        unit, alive = self.unit, paced(partial(self.on_step, 0))
        for measurement in unit.measurements:  # what cannot be measured is said before anything is trained
            self.evaluator.prepare(measurement.evaluation)
        for trial, _ in (*unit.trial.path, (unit.trial, 0)):  # while the engine still holds the base weights
            if trial.phase is not None:
                self.selector.resolved(trial.phase, alive)
        training = self._training(unit.trial, unit.measurements[0].evaluation.texts)
        if (step := self._go_on(training)) is None:
            self.trajectory = training.trajectory
            self._go_to_start()
            step = 0
            training.begin()
            self._arrive(training, step)
        last = training.replay.checked_after(unit.last_step)
        while step < last:
            step += 1
            training.advance(step, self.on_step)
            self._arrive(training, step)
            if unit.keep.every and step - self.written >= unit.keep.every and step < last:
                self._write_down(training, step)

    def _training(self, trial: Trial, texts: Texts = Texts.none) -> Training:
        replay = Replay.of(self.recorded.get(trial.id))
        return Training(trial, self.policy, self.evaluator, self.selector, replay, texts)

    def _go_to_start(self) -> None:
        """To the end of the phase before: from the furthest state that is kept, else by training from the base."""
        path = self.unit.trial.path
        known = next((place for place in range(len(path), 0, -1) if self._is_at(*path[place - 1])), 0)
        for trial, steps in path[known:]:
            record = self.recorded.get(trial.id)
            if record is not None and record.status is Status.diverged and len(record.steps) < steps:
                raise DivergedError(f"the phase before, trial {trial.id}: {record.error}")
            training = self._training(trial)
            training.begin()
            for step in range(1, steps + 1):
                training.advance(step, self.on_step)
                self.on_step(0)
            with self.policy.averaged():
                training.digest(steps)
                self.policy.mark(name_of(trial, steps))
                if (trial, steps) == path[-1] and steps in training.replay.digests:  # these are the recorded weights
                    self._keep_end(trial, steps)
            self.policy.recall(name_of(trial, steps))  # the average, where that was measured
            self.policy.push()

    def _is_at(self, trial: Trial, steps: int) -> bool:
        """Whether the policy has the weights of a trial's step now: because it had them before, or from a file."""
        at = self.policy.recall(name_of(trial, steps)) and self._is_recorded(trial, steps)
        if not at and self.states and self.policy.can_save:
            with self.states.end(trial.id, steps) as path:
                at = path is not None and self.policy.load(path) and self._is_recorded(trial, steps)
            if at:
                self.policy.mark(name_of(trial, steps))
        if at:
            self.policy.push()
        else:
            self.policy.restore()
        return at

    def _is_recorded(self, trial: Trial, steps: int) -> bool:
        """Whether the weights are those that were measured there; where nothing is recorded, they are taken as they
        are."""
        recorded = Replay.of(self.recorded.get(trial.id)).digests.get(steps)
        return recorded is None or recorded.sha256 == self.policy.digest(recorded.kind)

    def _arrive(self, training: Training, step: int) -> None:
        """Measure what is to be measured of the weights after a step, and keep them where others start from them."""
        unit = self.unit
        due = [measurement for measurement in unit.measurements if measurement.step == step]
        begins = bool(unit.trial.before) and not step  # where the phase before has ended
        if due or begins or step in unit.ends or step in training.replay.digests:
            with self.policy.averaged() as averaged:
                training.digest(step)
                self.on_step(step)
                if due:
                    if averaged:
                        self.policy.push()
                    alive = paced(partial(self.on_step, step))
                    self.measured += self.evaluator.measure(due, alive, unit.trial.seed)
                if step in unit.ends:
                    self._keep_end(unit.trial, step)
            if averaged and due:
                self.policy.push()
        else:
            self.on_step(step)

    def _keep_end(self, trial: Trial, step: int) -> None:
        """Other trials start from these weights."""
        self.policy.mark(name_of(trial, step))
        if self.states and self.unit.keep.states and self.policy.can_save:
            self.states.keep_end(trial.id, step, partial(self.policy.save, resumable=False))

    def _write_down(self, training: Training, step: int) -> None:
        """So that a crash costs no more than the steps since."""
        if self.states and self.policy.can_save and self.policy.between_updates and not training.stopped:
            self._collect(step)
            save = partial(self.policy.save, resumable=True)
            self.states.keep_unfinished(self.unit, step, training.trajectory, save)
            self.written = step

    def _go_on(self, training: Training) -> int | None:
        """From where this unit was written down; the step that was, or None where that cannot be."""
        if self.states is None or not self.unit.keep.every or self.unit.last_step <= self.unit.keep.every:
            return None
        with self.states.unfinished(self.unit, Trajectory, lambda found: found.steps[-1].step) as found:
            if found is None or found[0].prompts != training.prompts:
                return None
            trajectory, path = found
            training.begin()
            if not self.policy.load(path):
                self.policy.restore()
                return None
        training.go_on(trajectory)
        self.trajectory, self.resumed = trajectory, trajectory.steps[-1].step
        self.written = self.resumed
        self.policy.push()
        return self.resumed

    def _collect(self, step: int | None) -> None:
        """Wait for the grades of what was measured so far."""
        alive = paced(partial(self.on_step, step))
        self.trajectory.evaluations += [measured.result(alive) for measured in self.measured]
        self.measured.clear()

    def finish(self) -> Trajectory:
        if all(measured.is_graded for measured in self.measured):
            self._collect(len(self.trajectory.steps))
        else:
            self.on_step(None)
            self._collect(None)
        return self.trajectory


def name_of(trial: Trial, steps: int) -> str:
    return f"{trial.id}-{steps}"
