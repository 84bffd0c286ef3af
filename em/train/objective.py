"""The entropy objective (paper, eq. 2 and 3).

N generated tokens of one optimiser step, H hidden width, V vocabulary, B sequences, T positions.  Entropies in nats.

The distribution that predicts token t comes from the hidden state one position earlier, so the positions run from the
LAST prompt token to the one BEFORE the last generated token.  Masks are by length: the end-of-sequence token's own
prediction counts, also where a model pads with that token (the text's `y_t != PAD` would drop it).
"""

from typing import Any

import torch
from torch import Tensor, nn

LOGITS_BYTES = 256 << 20  # fp32 logits of one chunk: 1,700 tokens at V = 152k; backward takes a few times as much


class _WeightedEntropy(torch.autograd.Function):
    """sum_n w_n H_n with its gradient computed in the forward pass, while each chunk's logits exist.

    For z = hidden @ head.T / temperature and p = softmax(z):  dH/dz_v = -p_v (log p_v + H).
    Recomputing the logits in backward instead was measured at 1.55 times the time.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, head_VH: Tensor, weight_N: Tensor, target_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        chunk = max(1, LOGITS_BYTES // (4 * len(head_VH)))
        total = hidden_NH.new_zeros((), dtype=torch.float32)
        entropies, logprobs, grad_hidden = [], [], []
        grad_head_VH = torch.zeros_like(head_VH, dtype=torch.float32)
        for hidden, weight, target in zip(
            hidden_NH.split(chunk), weight_N.split(chunk), target_N.split(chunk), strict=True
        ):
            logits = (hidden @ head_VH.T).float()
            logp = logits.log_softmax(-1)
            logprobs.append(logp.gather(-1, target[:, None])[:, 0])
            p, plogp, entropy = entropy_terms(logp)
            entropies.append(entropy)
            if temperature != 1:
                p, plogp, entropy = entropy_terms((logits / temperature).log_softmax(-1))
            total += (weight * entropy).sum()
            grad = (plogp + p * entropy[:, None]) * (-weight / temperature)[:, None]
            grad = grad.to(hidden.dtype)
            grad_hidden.append(grad @ head_VH)
            grad_head_VH += (grad.T @ hidden).float()
        ctx.save_for_backward(torch.cat(grad_hidden), grad_head_VH.to(head_VH.dtype))
        entropy_N, logprob_N = torch.cat(entropies), torch.cat(logprobs)
        ctx.mark_non_differentiable(entropy_N, logprob_N)
        return total, entropy_N, logprob_N

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_hidden_NH, grad_head_VH = ctx.saved_tensors
        return grads[0] * grad_hidden_NH, grads[0] * grad_head_VH, None, None, None


def entropy_terms(logp_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p [N, V], p log p [N, V] with 0 log 0 = 0, and the entropy -sum_v p log p [N]."""
    p_NV = logp_NV.exp()
    plogp_NV = torch.where(p_NV > 0, p_NV * logp_NV, 0.0)
    return p_NV, plogp_NV, -plogp_NV.sum(-1)


def weighted_entropy(
    hidden_NH: Tensor, head_VH: Tensor, weight_N: Tensor, target_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss sum_n w_n H_n (a scalar with gradient), and detached, [N]: entropies and the targets' log-probabilities.

    The loss is of softmax(logits / temperature); what is detached, of softmax(logits).  Weights of 1 / (tokens in the
    WHOLE step) give eq. 3 under any micro-batching.  Never holds more than LOGITS_BYTES of logits.
    """
    return _WeightedEntropy.apply(hidden_NH, head_VH, weight_N, target_N, temperature)  # type: ignore[return-value]


class EntropyObjective(nn.Module):
    """A causal language model whose forward pass is the loss: what Accelerate prepares."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_BT: Tensor, predicts_BT: Tensor, weight: float, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`weighted_entropy` at the positions where predicts_BT is true, in row-major order, each of the same weight.

        Sequences are padded on the right, so that causal attention needs no mask.
        """
        hidden_BTH = self.model.model(input_BT, use_cache=False).last_hidden_state  # type: ignore[operator]
        head_VH = self.model.get_output_embeddings().weight  # type: ignore[operator]
        target_BT = input_BT.roll(-1, dims=1)  # what position t predicts is the token at t + 1
        hidden_NH, target_N = hidden_BTH[predicts_BT], target_BT[predicts_BT]
        weight_N = torch.full(target_N.shape, weight, device=hidden_NH.device)
        return weighted_entropy(hidden_NH, head_VH, weight_N, target_N, temperature)
