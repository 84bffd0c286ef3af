"""From the base weights to those after a step of a recorded trial, along the tokens that its records hold."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from em.errors import InputError
from em.store import Store
from em.store.record import Record, StepMetrics
from em.train.policy import Policy, Update
from em.train.replay import Replay
from em.trial.trial import Phase, Trial

TOLERANCE = 0.01  # nats: of a step's mean log-probability, beyond which weights are those of another trial


@dataclass
class Drift:
    """How far numbers on the way are from those that were recorded; on a CPU they are equal."""

    steps: int = 0  # that were compared
    unequal: int = 0  # of these, in any metric
    logprob: float = 0.0  # nats: the largest difference of a step's mean log-probability of its tokens
    digests: int = 0  # that were compared
    differing: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the weights are the recorded ones, bit for bit."""
        return self.digests > 0 and not self.unequal and not self.differing

    @property
    def is_tolerable(self) -> bool:
        return self.logprob <= TOLERANCE

    def step(self, now: Update, recorded: StepMetrics) -> None:
        self.steps += 1
        names = ("loss", "entropy", "logprob", "tokens", "grad_norm")
        self.unequal += any(getattr(now, name) != getattr(recorded, name) for name in names)
        self.logprob = max(self.logprob, abs(now.logprob - recorded.logprob))

    def digest(self, now: str, recorded: str) -> None:
        self.digests += 1
        self.differing += now != recorded


def record_of(store: Store, trial_id: str, step: int) -> Record:
    """The record to train along: of those that reach the step one with its digest, of several the longest.

    Raises InputError where there is none.
    """
    records = records_of(store, trial_id)
    last = max(map(end_of, records))
    if not 0 < step <= last:
        raise InputError(f"step={step}: trial {trial_id} is recorded after steps 1 to {last}; name one of these")
    reaching = [record for record in records if end_of(record) >= step]
    return max(reaching, key=lambda of: (has_digest(of, step), len(of.steps), of.unit_id))


def records_of(store: Store, trial_id: str) -> list[Record]:
    records = [store.record(unit) for unit in store.units_of([trial_id])]
    if not records:
        raise InputError(f"trial {trial_id}: store={store.address} has no record of it; `make show` finds trials")
    return records


def furthest(store: Store, trial_id: str) -> int:
    """The last step of a trial that can be rebuilt."""
    return max(map(end_of, records_of(store, trial_id)))


def has_digest(record: Record, step: int) -> bool:
    return any(digest.step == step for digest in record.digests)


def end_of(record: Record) -> int:
    """The last step whose weights are known to be finite: steps that a stabiliser left out count."""
    return max((digest.step for digest in record.digests), default=len(record.steps) - 1)


def retrace(
    policy: Policy, trial: Trial, steps: Iterable[int], recorded: Mapping[str, Record], reached: Callable[[int], None]
) -> Drift:
    """Take a policy with the base weights along a trial, and call `reached(step)` where it has those after each step.

    `recorded` are records by trial id, also of the phases before.  What a stabiliser averages is averaged there, as it
    was measured.  Where no digest of the last step is recorded, training goes on to the next one that is.
    """
    drift = Drift()
    for of, last in trial.path:
        replay = begun(policy, of, recorded, last)
        follow(policy, of.phase, replay, range(1, last + 1), drift)
        with compared(policy, replay, last, drift):
            policy.mark(of.id)
        policy.recall(of.id)
    steps = sorted(steps)
    replay, at = begun(policy, trial, recorded, steps[-1]), 0
    for step in steps:
        follow(policy, trial.phase, replay, range(at + 1, step + 1), drift)
        with compared(policy, replay, step, drift):
            reached(step)
        at = step
    last = replay.checked_after(at)
    if last > at and last in replay.digests:
        follow(policy, trial.phase, replay, range(at + 1, last + 1), drift)
        with compared(policy, replay, last, drift):
            pass
    return drift


def begun(policy: Policy, trial: Trial, recorded: Mapping[str, Record], last: int) -> Replay:
    """A phase starts: what it is to follow."""
    if trial.id not in recorded or trial.phase is None:
        raise InputError(f"trial {trial.id}: the phase before is not recorded as far as step {last}")
    policy.begin(trial.phase.optimizer)
    return Replay.of(recorded[trial.id])


def follow(policy: Policy, phase: Phase | None, replay: Replay, steps: Iterable[int], drift: Drift) -> None:
    """Train on the recorded tokens of these steps; those after a stabiliser's end have none."""
    assert phase is not None
    for step in steps:
        if step not in replay.rollouts:
            return
        samples = replay.rollouts[step]
        update = policy.step(replay.prompts, samples, phase.method, phase.optimizer.max_grad_norm)
        drift.step(update, replay.steps[step])
        if not update.is_finite:
            raise InputError(f"step={step}: the trial diverged there; name an earlier step")
        if phase.averaged > 1:
            policy.average(phase.averaged)


@contextmanager
def compared(policy: Policy, replay: Replay, step: int, drift: Drift) -> Iterator[None]:
    """Inside, weights are as they are measured; their digest is compared, where one is recorded."""
    with policy.averaged():
        if recorded := replay.digests.get(step):
            drift.digest(policy.digest(recorded.kind), recorded.sha256)
        yield
