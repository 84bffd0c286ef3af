"""What a model's own distributions say of its answers: entropies, confidence, and (paper, figure 1) all of its logits.

K answers, N tokens of a chunk of them, V vocabulary.  Entropies in nats, at temperature 1, of the distribution that
predicts a token; it is read from a forward pass over prompt and answer, in the trainer's precision.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from em.evaluation.distribution import Distribution
from em.model.head import entropy_terms
from em.store.record import LogitDistribution
from em.trial.evaluation import Statistics
from em.trial.sample import Sample

TOP = 20  # logits of a token that are the `top_k`
BINS = {"logits": -64.0, "top_k": -64.0, "logprobs": -128.0}  # the lower edges of 512 bins of 1/4


class AnswerStatistics:
    """Takes in the logits of answers chunk by chunk, each token once, in any order; holds no logits."""

    def __init__(self, answers: int, longest: int, kind: Statistics) -> None:
        self.kind = kind
        self.sums = torch.zeros(3, answers, dtype=torch.float64)  # of each answer: tokens, entropies, probabilities
        self.by_position = torch.zeros(2, longest, dtype=torch.float64)  # tokens, entropies
        self.distributions = {name: Distribution(low) for name, low in BINS.items()} if kind.has_logits else {}

    def update(self, logits_NV: Tensor, target_N: Tensor, answer_N: Tensor, position_N: Tensor) -> None:
        """`answer_N`, `position_N`: which answer a token is of, and which of its tokens it is, both from 0."""
        logp_NV = logits_NV.log_softmax(-1)
        p_NV, _, entropy_N = entropy_terms(logp_NV)
        probability_N = p_NV.gather(-1, target_N[:, None])[:, 0]
        per_token = torch.stack([torch.ones_like(entropy_N), entropy_N, probability_N]).double().cpu()
        self.sums.index_add_(1, answer_N.cpu(), per_token)
        self.by_position.index_add_(1, position_N.cpu(), per_token[:2])
        for name, distribution in self.distributions.items():
            values = logp_NV if name == "logprobs" else logits_NV
            distribution.update(values.topk(min(TOP, values.shape[-1])).values if name == "top_k" else values)

    def fields(self) -> dict[str, Any]:
        """Those of em.store.record.EvaluationResult."""
        tokens_K, entropies_K, probabilities_K = self.sums
        tokens_T, entropies_T = self.by_position
        measured = {
            "entropies": (entropies_K / tokens_K).tolist(),
            "probabilities": (probabilities_K / tokens_K).tolist(),
            "position_tokens": tokens_T.long().tolist(),
            "position_entropies": (entropies_T / tokens_T).nan_to_num(0.0).tolist(),
        }
        if self.distributions:
            distributions = {name: of.plain() for name, of in self.distributions.items()}
            measured["distributions"] = [LogitDistribution(name=name, **of) for name, of in distributions.items()]
        return measured


class Looks(Protocol):
    """Who has the weights that answers were sampled from."""

    def look(self, prompts: Sequence[list[int]], samples: Sequence[Sample], statistics: AnswerStatistics) -> None:
        """Have `statistics` take in all logits of the samples, of the weights as they are."""
        ...


def statistics_of(
    looks: Looks, prompts: Sequence[list[int]], answers: Sequence[tuple[int, list[int]]], kind: Statistics
) -> AnswerStatistics:
    """Of K answers: which prompt each is to, and its token ids."""
    lengths = [len(ids) for _, ids in answers]
    limit = min(lengths) if kind is Statistics.logits_of_shortest else max(lengths)
    samples = [Sample(step=0, prompt=prompt, token_ids=ids[:limit], truncated=False) for prompt, ids in answers]
    statistics = AnswerStatistics(len(samples), limit, kind)
    looks.look(prompts, samples, statistics)
    return statistics
