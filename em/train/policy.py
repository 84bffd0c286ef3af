"""The model under training and the engine that samples from it, behind verbs that stay apart: the contract."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from em.errors import InputError
from em.evaluation.statistics import AnswerStatistics
from em.rollout import Sampler
from em.train.weights import LATEST
from em.trial.method import Method
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample


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
    def digest(self, kind: str | None = LATEST) -> str:
        """SHA-256 of all weights: equal exactly when they are, of one kind (em.train.weights)."""

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
