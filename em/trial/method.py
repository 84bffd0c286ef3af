"""What a training method is: the contract that every objective keeps, and the methods by name.

A method is one file in `em/train`: a dataclass whose fields are its config and whose functions are its mathematics.
The trainer knows none by name.

K samples of one optimiser step, N tokens of one chunk of them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from em.errors import require, require_known
from em.trial.identity import fields_off_default, not_identity

if TYPE_CHECKING:
    from torch import Tensor

    from em.trial.rollout import Rollout
    from em.trial.sample import Sample

METHODS = {  # by name: where it is; the first is what a trial is trained by unless it says otherwise
    "em": "em.train.entropy:EntropyMinimisation",
    "grpo": "em.train.grpo:Grpo",
}
DEFAULT = "em"


class Need(Enum):
    """What a method needs of samples beside their tokens; whoever samples or trains fills it in."""

    logprobs = "logprobs"  # Sample.logprobs, as the engine drew them
    rewards = "rewards"  # Sample.reward: 1 where the grader of the prompts finds the answer right, else 0
    base_logprobs = "base_logprobs"  # Tokens.base_logprob_N: one more forward pass a step, of the base model


@dataclass(frozen=True)
class Tokens:
    """What the loss of N tokens is made of; each field has a value for each token."""

    entropy_N: Tensor  # nats, of softmax(logits / loss_temperature); has a gradient
    logprob_N: Tensor  # of the sampled token, of the same distribution; has a gradient
    weight_N: Tensor  # what `Method.weights` gave the token's sample
    advantage_N: Tensor  # what `Method.advantages` gave it
    old_logprob_N: Tensor  # like logprob_N, under the weights at the step's first update; detached
    sampled_logprob_N: Tensor | None = None  # under the model that sampled, at temperature 1; where logprobs are needed
    base_logprob_N: Tensor | None = None  # like logprob_N, under the base model; where base_logprobs are needed


@dataclass(kw_only=True)
class Method:
    """Base of all methods.  A subclass adds its config as fields, each with its default, and says:

    `name`      its key in METHODS, which is part of a trial's id
    `version`   raised when a change of its code changes numbers: trials of the new version are other trials
    `needs`       what it needs of samples, and in `group` how many to each prompt
    `weights`     a number for each sample of a step, from all of them together: what its tokens count in the loss
    `advantages`  another: what its reward says against those of the others
    `terms`       each token's part of the loss, a differentiable function of its entropy and log-probability
    `metrics`     what it wants recorded of a step, by name, in addition to what is recorded of every step
    `observed`    the same, of tokens: their mean over all that count, and over the step's updates, is recorded

    The loss of a step is the sum of the terms of its tokens, however these are divided into micro-batches.  Nothing
    here keeps state, reads files or knows how many processes hold the model.
    """

    micro_batch_tokens: int = not_identity(default=0)  # padded, of one forward pass; 0: as memory allows

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Need]] = frozenset()
    group: ClassVar[int] = 1  # fewest answers to a prompt that it learns something from

    def __post_init__(self) -> None:
        tokens = self.micro_batch_tokens
        require(tokens >= 0, "objective.micro_batch_tokens", tokens, "must be a number, or 0 (as memory allows)")

    def of(self, rollout: Rollout) -> Method:
        """The method as it is for such samples, where its config leaves that open."""
        return self

    @property
    def temperature(self) -> float:
        """Logits are divided by it before the softmax whose entropies and log-probabilities `terms` gets."""
        return 1.0

    @property
    def skipped(self) -> int:
        """How many tokens at the beginning of each answer do not count."""
        return 0

    @property
    def updates(self) -> int:
        """How many optimiser updates a step makes, each on all its samples."""
        return 1

    def counted(self, samples: Sequence[Sample]) -> int:
        """How many tokens of these samples count."""
        return sum(max(0, len(sample.token_ids) - self.skipped) for sample in samples)

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        """[K], given all samples of the step."""
        raise NotImplementedError

    def advantages(self, samples: Sequence[Sample]) -> list[float]:
        """[K], given all samples of the step."""
        return [1.0] * len(samples)

    def terms(self, tokens: Tokens) -> Tensor:
        """[N], with gradient."""
        raise NotImplementedError

    def metrics(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        return {}

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        """[N] each."""
        return {}

    def identity(self) -> dict[str, object]:
        """The config off its defaults; the name unless it is the default's, the version unless it is the first."""
        name: dict[str, object] = {"method": self.name} if self.name != DEFAULT else {}
        version = {"version": self.version} if self.version != 1 else {}
        return name | version | fields_off_default(self)


def method_class(name: str) -> type[Method]:
    """Raises InputError, with the nearest name, where there is no such method."""
    require_known("method", name, METHODS)
    return pkgutil.resolve_name(METHODS[name])


def default_method() -> Method:
    return method_class(DEFAULT)()
