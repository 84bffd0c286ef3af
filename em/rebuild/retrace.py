"""From the base weights to those after a step of a recorded trial, along the tokens that its records hold."""

from collections.abc import Iterable, Mapping
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
    records = [store.record(unit) for unit in store.units_of([trial_id])]
    if not records:
        raise InputError(f"trial {trial_id}: store={store.root} has no record of it; `make show` finds trials")
    ends = {record.unit_id: end_of(record) for record in records}
    furthest = max(ends.values())
    if not 0 < step <= furthest:
        raise InputError(f"step={step}: trial {trial_id} is recorded after steps 1 to {furthest}; name one of these")
    reaching = [record for record in records if ends[record.unit_id] >= step]
    return max(reaching, key=lambda of: (has_digest(of, step), len(of.steps), of.unit_id))


def has_digest(record: Record, step: int) -> bool:
    return any(digest.step == step for digest in record.digests)


def end_of(record: Record) -> int:
    """The last step whose weights are known to be finite: steps that a stabiliser left out count."""
    return max((digest.step for digest in record.digests), default=len(record.steps) - 1)


def retrace(policy: Policy, trial: Trial, step: int, recorded: Mapping[str, Record]) -> Drift:
    """Take a policy with the base weights to those after a step; `recorded` are records by trial id, also of the
    phases before.

    What a stabiliser averages is averaged, as it was measured.  Where no digest of this step is recorded, training goes
    on to the next one that is, and then back.
    """
    drift = Drift()
    for of, steps in (*trial.path, (trial, step)):
        if of.id not in recorded or of.phase is None:
            raise InputError(f"trial {of.id}: the phase before is not recorded as far as step {steps}")
        replay = Replay.of(recorded[of.id])
        policy.begin(of.phase.optimizer)
        follow(policy, of.phase, replay, range(1, steps + 1), drift)
        compare(policy, replay, steps, drift, f"{of.id}-{steps}")
        last = replay.checked_after(steps)
        if of is trial and last > steps and last in replay.digests:
            follow(policy, of.phase, replay, range(steps + 1, last + 1), drift)
            compare(policy, replay, last, drift)
        policy.recall(f"{of.id}-{steps}")
    return drift


def follow(policy: Policy, phase: Phase, replay: Replay, steps: Iterable[int], drift: Drift) -> None:
    """Train on the recorded tokens of these steps; those after a stabiliser's end have none."""
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


def compare(policy: Policy, replay: Replay, step: int, drift: Drift, mark: str = "") -> None:
    """The digest of the weights as they are measured, where one is recorded; and mark these."""
    with policy.averaged():
        if recorded := replay.digests.get(step):
            drift.digest(policy.digest(recorded.kind), recorded.sha256)
        if mark:
            policy.mark(mark)
