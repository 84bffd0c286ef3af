"""A trust region: the KL divergence to the base model is part of the loss (Schulman et al., 2015; Ouyang et al., 2022).

Each token adds `coefficient * weight * kl`, where weight is what its sample's tokens count in the method's loss, and kl
is estimated from the sampled token as `kl_to_base` says.  Where answers are sampled at another temperature than 1, they
are not p's, and the estimate leans towards what is sampled more often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from em.errors import require_positive
from em.trial.method import Need, Tokens
from em.trial.stabiliser import Stabiliser

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class TrustRegion(Stabiliser):
    coefficient: float = 0.1

    name = "trust_region"
    needs = frozenset({Need.base_logprobs})

    def __post_init__(self) -> None:
        require_positive("stabilisers.trust_region", coefficient=self.coefficient)

    def terms(self, tokens: Tokens, terms_N: Tensor) -> Tensor:
        return terms_N + self.coefficient * tokens.weight_N * kl_to_base(tokens)

    def observed(self, tokens: Tokens) -> Mapping[str, Tensor]:
        return {"kl": kl_to_base(tokens)}


def kl_to_base(tokens: Tokens, corrected: bool = True) -> Tensor:
    """[N], nats: q - log q - 1 with q = p_base / p of the sampled token, Schulman's estimator "k3" of KL(p || p_base).

    Unbiased where tokens are sampled from p, never negative, 0 where both agree (http://joschu.net/blog/kl-approx.html).
    `corrected`: times p / p_old, as in DeepSeek-V3.2 and TRL.  Then its gradient is that of the divergence, too, which
    is that of (log p / p_base) for each token; without, it is that of the divergence the other way around.
    """
    assert tokens.base_logprob_N is not None
    log_ratio_N = tokens.base_logprob_N - tokens.logprob_N
    kl_N = log_ratio_N.exp() - log_ratio_N - 1
    return kl_N * (tokens.logprob_N - tokens.old_logprob_N).exp() if corrected else kl_N
