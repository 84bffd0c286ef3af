"""What a record holds of a trajectory, so that it can be trained on again without sampling and gone on from there.

On a CPU the same tokens give the same weights, bit by bit.  On a GPU they may not, and then nothing that is measured
now belongs to what was recorded: every number that both hold is compared.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from em.store.record import Record, StepMetrics, WeightDigest
from em.trial.sample import Sample


class DriftedError(Exception):
    """Training on a record's tokens led to other numbers than it did: what would follow is another trial."""


@dataclass(frozen=True)
class Replay:
    rollouts: dict[int, list[Sample]] = field(default_factory=dict)  # by step, from 1
    steps: dict[int, StepMetrics] = field(default_factory=dict)
    digests: dict[int, WeightDigest] = field(
        default_factory=dict
    )  # of the weights after a step; 0: of those it starts from
    prompts: list[list[int]] = field(default_factory=list)  # token ids

    @classmethod
    def of(cls, record: Record | None) -> "Replay":
        """None: nothing to replay."""
        if record is None:
            return cls()
        rollouts = defaultdict(list)
        for sample in record.rollouts:
            rollouts[sample.step].append(sample)
        return cls(
            rollouts=dict(rollouts),
            steps={metrics.step: metrics for metrics in record.steps},
            digests={digest.step: digest for digest in record.digests},
            prompts=record.prompts,
        )

    def checked_after(self, step: int) -> int:
        """The step to train to, so that a recorded digest confirms what was measured up to `step`."""
        if step > max(self.steps, default=0):
            return step
        return min((digested for digested in self.digests if digested >= step), default=step)

    @staticmethod
    def check(now: object, recorded: object) -> None:
        if now != recorded:
            raise DriftedError(f"{now}, recorded was {recorded}")
