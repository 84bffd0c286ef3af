"""The loss over tokens and its gradient, without ever holding all logits (paper, eq. 2 and 3).

N generated tokens of one optimiser step, H hidden width, V vocabulary, B sequences, T positions.  Entropies in nats.

The distribution that predicts token t comes from the hidden state one position earlier, so the positions run from the
LAST prompt token to the one BEFORE the last generated token.  Masks are by length: the end-of-sequence token's own
prediction counts, also where a model pads with that token (the text's `y_t != PAD` would drop it).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from em.model.head import Head, entropy_terms
from em.train.batching import MicroBatch
from em.trial.method import Method, Tokens

LOGITS_BYTES = 256 << 20  # fp32 logits of one chunk: 1,700 tokens at V = 152k; backward takes a few times as much

Terms = Callable[[Tensor, Tensor, slice], Tensor]  # entropies and log-probabilities of a chunk, and which tokens it has


class _TokenLoss(torch.autograd.Function):
    """The sum of terms f(H_n, log p_n), its gradient computed in the forward pass, while each chunk's logits exist.

    For logits z / temperature and p = softmax(z / temperature):  dH/dz_v = -p_v (log p_v + H) / temperature  and, of
    the target t,  d log p_t/dz_v = ([v = t] - p_v) / temperature.
    Recomputing the logits in backward instead was measured at 1.55 times the time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        head_VH: Tensor,
        bias_V: Tensor | None,
        head: Head,
        target_N: Tensor,
        terms: Terms,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        chunk = max(1, LOGITS_BYTES // (4 * len(head_VH)))
        exact = torch.promote_types(head_VH.dtype, torch.float32)
        total = hidden_NH.new_zeros((), dtype=exact)
        entropies, logprobs, grad_hidden = [], [], []
        grad_head_VH = torch.zeros_like(head_VH, dtype=exact)
        grad_bias_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=exact)
        for start in range(0, max(1, len(hidden_NH)), chunk):  # also where no token counts
            span = slice(start, start + chunk)
            hidden, target = hidden_NH[span], target_N[span, None]
            logits = head.logits(hidden)
            logp = logits.log_softmax(-1)
            logprob = logp.gather(-1, target)[:, 0]
            p, plogp, entropy = entropy_terms(logp)
            entropies.append(entropy)
            logprobs.append(logprob)
            if temperature != 1:
                logp = (logits / temperature).log_softmax(-1)
                logprob = logp.gather(-1, target)[:, 0]
                p, plogp, entropy = entropy_terms(logp)
            loss, by_entropy, by_logprob = slopes(terms, entropy, logprob, span)
            total += loss
            grad = (plogp + p * entropy[:, None]) * (-by_entropy / temperature)[:, None]
            if by_logprob is not None:
                slope = (by_logprob / temperature)[:, None]
                grad = (grad - p * slope).scatter_add_(-1, target, slope)
            grad = head.slope(grad, logits)
            if grad_bias_V is not None:
                grad_bias_V += grad.sum(0)
            grad = grad.to(hidden.dtype)
            grad_hidden.append(grad @ head_VH)
            grad_head_VH += (grad.T @ hidden).to(exact)
        ctx.save_for_backward(torch.cat(grad_hidden), grad_head_VH.to(head_VH.dtype), grad_bias_V)
        entropy_N, logprob_N = torch.cat(entropies), torch.cat(logprobs)
        ctx.mark_non_differentiable(entropy_N, logprob_N)
        return total, entropy_N, logprob_N

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_hidden_NH, grad_head_VH, grad_bias_V = ctx.saved_tensors
        grad_bias_V = None if grad_bias_V is None else grads[0] * grad_bias_V
        return grads[0] * grad_hidden_NH, grads[0] * grad_head_VH, grad_bias_V, None, None, None, None


def slopes(terms: Terms, entropy: Tensor, logprob: Tensor, span: slice) -> tuple[Tensor, Tensor, Tensor | None]:
    """The sum of a chunk's terms, and its derivatives by entropies and by log-probabilities (None: it has none)."""
    with torch.enable_grad():
        at = entropy.detach().requires_grad_(), logprob.detach().requires_grad_()
        loss = terms(*at, span).sum()
        by_entropy, by_logprob = torch.autograd.grad(loss, at, allow_unused=True)
    return loss.detach(), torch.zeros_like(entropy) if by_entropy is None else by_entropy, by_logprob


def token_loss(
    hidden_NH: Tensor, head: Head, target_N: Tensor, terms: Terms, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of `terms` (a scalar with gradient), and detached, [N]: entropies and the targets' log-probabilities.

    `terms` gets those of softmax(logits / temperature), chunk by chunk; what is detached is of softmax(logits).
    Entropies weighted by 1 / (tokens in the WHOLE step) give eq. 3 under any micro-batching.  Never holds more than
    LOGITS_BYTES of logits.
    """
    weight_VH, bias_V = head.weight_VH, head.bias_V
    return _TokenLoss.apply(hidden_NH, weight_VH, bias_V, head, target_N, terms, temperature)  # type: ignore[return-value]


@dataclass(kw_only=True)
class Probe(Method):
    """Trains nothing: a forward pass that only looks."""

    at: float = 1.0

    @property
    def temperature(self) -> float:
        return self.at

    def terms(self, tokens: Tokens) -> Tensor:
        return 0 * tokens.logprob_N


class Seen(NamedTuple):
    """What a forward pass says of the tokens that count, [N] each, without gradient."""

    entropy_N: Tensor  # nats, at temperature 1
    logprob_N: Tensor  # nats, at temperature 1
    own_logprob_N: Tensor  # nats, at the method's temperature
    observed: dict[str, Tensor]  # sums over the tokens of what the method observes


class Objective(nn.Module):
    """A causal language model whose forward pass is the loss: what Accelerate prepares."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: Method, batch: MicroBatch) -> tuple[Tensor, Seen]:
        """`token_loss` of the method at the positions of the batch that predict, in row-major order.

        Sequences are padded on the right, so that causal attention needs no mask.
        """
        hidden_BTH = self.model.base_model(batch.input_BT, use_cache=False).last_hidden_state
        given = {f"{name}_N": value_N for name, value_N in batch.given.items()}
        own, observed = list[Tensor](), dict[str, Tensor]()

        def terms(entropy: Tensor, logprob: Tensor, span: slice) -> Tensor:
            known = {"old_logprob_N": logprob.detach()} | {name: value_N[span] for name, value_N in given.items()}
            tokens = Tokens(entropy, logprob, **known)
            own.append(logprob.detach())
            with torch.no_grad():
                for name, value_N in method.observed(tokens).items():
                    observed[name] = observed.get(name, 0) + value_N.sum()
            return method.terms(tokens)

        loss, entropy_N, logprob_N = token_loss(
            batch.predicting(hidden_BTH),
            Head.of(self.model),
            batch.targets(),
            terms,
            method.temperature,
        )
        return loss, Seen(entropy_N, logprob_N, torch.cat(own), observed)
