"""GRPO: group relative policy optimisation (Shao et al., 2024, DeepSeekMath, eq. 3 and 4), on graded answers.

K samples of a step, o_i with T_i tokens; those of one prompt are a group.  Rewards r_i are 1 where the grader finds the
answer right, else 0.

    advantage  A_i  = (r_i - mean of the group's r) / (std of the group's r + 1e-4)
    ratio      s_it = p(o_it) / p_old(o_it)                 old: the weights at the step's first update
    clipped    l_it = -min(s_it A_i, clip(s_it, 1 - clip_low, 1 + clip_high) A_i)      PPO (Schulman et al. 2017)
    penalty    d_it = s_it (q - log q - 1), q = p_base / p  em.train.stabilisers.trust_region.kl_to_base
    loss            = sum over i and t of w_i (l_it + kl_coefficient d_it)

with w_i by `normalisation`: `sequence` 1 / (K T_i) is the paper's; `token` 1 / (sum of all T) is DAPO's (Yu et al.,
2025, eq. 8), in which long answers count more; `constant` 1 / (K max_tokens) is Dr. GRPO's (Liu et al., 2025, section
3.2), in which length changes nothing.  `scale` divides advantages by the standard deviation of the group (the paper),
of all samples of the step (`batch`), or not at all (`none`, Dr. GRPO, in which easy and hard problems count alike).

The factor s_it of the penalty (`kl_correction`) is TRL's; the paper has none.

The standard deviation is the unbiased one, and 1e-4 is added to it, as in TRL, with which loss and gradients agree.  A
group of one sample, or of equal rewards, has no signal: its advantages are 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from em.errors import require, require_positive
from em.train.stabilisers.trust_region import kl_to_base
from em.trial.method import Method, Need, Tokens

if TYPE_CHECKING:
    from torch import Tensor

    from em.trial.rollout import Rollout
    from em.trial.sample import Sample

EPSILON = 1e-4  # added to the standard deviation


class Normalisation(Enum):
    sequence = "sequence"
    token = "token"
    constant = "constant"


class Scale(Enum):
    group = "group"
    batch = "batch"
    none = "none"


@dataclass(kw_only=True)
class Grpo(Method):
    normalisation: Normalisation = Normalisation.sequence
    scale: Scale = Scale.group
    clip_low: float = 0.2  # the ratio may fall to 1 - clip_low ...
    clip_high: float = 0.2  # ... and rise to 1 + clip_high (DAPO: .28)
    kl_coefficient: float = 0.0  # of the KL divergence to the base model; it is recorded in any case
    kl_correction: bool = True  # importance-weigh its estimate, which mends its gradient; DeepSeekMath does not
    iterations: int = 1  # optimiser updates on the samples of one step (mu in the paper); with one the ratio is 1
    max_tokens: int = 0  # by which `constant` divides; 0: the answers' token limit, rollout.max_new_tokens
    logit_temperature: float = 1.0  # logits are divided by it; TRL takes the sampling temperature

    name = "grpo"
    needs = frozenset({Need.rewards, Need.base_logprobs})
    group = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = ("clip_high", "iterations", "logit_temperature")
        require(self.max_tokens >= 0, "objective.max_tokens", self.max_tokens, "must be 0 or a number of tokens")
        require_positive("objective", **{name: getattr(self, name) for name in positive})
        require(0 < self.clip_low < 1, "objective.clip_low", self.clip_low, "must be between 0 and 1")
        coefficient = self.kl_coefficient
        require(0 <= coefficient < math.inf, "objective.kl_coefficient", coefficient, "must be 0 or greater")

    def of(self, rollout: Rollout) -> Grpo:
        return self if self.max_tokens else replace(self, max_tokens=rollout.max_new_tokens)

    @property
    def temperature(self) -> float:
        return self.logit_temperature

    @property
    def updates(self) -> int:
        return self.iterations

    def weights(self, samples: Sequence[Sample]) -> list[float]:
        """w_i."""
        if self.normalisation is Normalisation.token:
            return [1 / self.counted(samples)] * len(samples)
        constant = self.normalisation is Normalisation.constant
        return [1 / len(samples) / (self.max_tokens if constant else len(sample.token_ids)) for sample in samples]

    def advantages(self, samples: Sequence[Sample]) -> list[float]:
        """A_i."""
        groups, advantages = groups_of(samples), [0.0] * len(samples)
        all_spread = spread([reward_of(sample) for sample in samples])
        for members in groups.values():
            rewards = [reward_of(samples[k]) for k in members]
            if self.scale is Scale.none:
                divisor = 1.0
            else:
                divisor = EPSILON + (spread(rewards) if self.scale is Scale.group else all_spread)
            for k, reward in zip(members, rewards, strict=True):
                advantages[k] = (reward - fmean(rewards)) / divisor
        return advantages

    def terms(self, tokens: Tokens) -> Tensor:
        """w_i (l_it + kl_coefficient d_it)."""
        ratio_N = (tokens.logprob_N - tokens.old_logprob_N).exp()
        clipped_N = ratio_N.clamp(1 - self.clip_low, 1 + self.clip_high)
        terms_N = -(ratio_N * tokens.advantage_N).minimum(clipped_N * tokens.advantage_N)
        if self.kl_coefficient:
            terms_N = terms_N + self.kl_coefficient * kl_to_base(tokens, self.kl_correction)
        return tokens.weight_N * terms_N

    def metrics(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Mean reward; the standard deviation within a group, mean over groups; the share of groups without any,
        and of answers that could not be graded."""
        rewards = [[reward_of(samples[k]) for k in members] for members in groups_of(samples).values()]
        spreads = [spread(of_group) for of_group in rewards]
        return {
            "reward": fmean(reward_of(sample) for sample in samples),
            "reward_std": fmean(spreads),
            "groups_without_signal": fmean(not value for value in spreads),
            "ungraded": fmean(sample.grading_error is not None for sample in samples),
        }

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        """Whether the clip stops a token's gradient; its KL divergence to the base model."""
        ratio_N = (tokens.logprob_N - tokens.old_logprob_N).exp()
        low_N = (ratio_N < 1 - self.clip_low) & (tokens.advantage_N < 0)
        high_N = (ratio_N > 1 + self.clip_high) & (tokens.advantage_N > 0)
        return {"clipped": (low_N | high_N).to(ratio_N.dtype), "kl": kl_to_base(tokens, self.kl_correction)}


def groups_of(samples: Sequence[Sample]) -> dict[int, list[int]]:
    """The places of the samples of each prompt."""
    groups: dict[int, list[int]] = defaultdict(list)
    for k, sample in enumerate(samples):
        groups[sample.prompt].append(k)
    return groups


def reward_of(sample: Sample) -> float:
    assert sample.reward is not None
    return sample.reward


def spread(values: Sequence[float]) -> float:
    """The unbiased standard deviation; 0 of one value."""
    return stdev(values) if len(values) > 1 else 0.0
