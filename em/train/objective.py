"""The loss over tokens and its gradient, without ever holding all logits (paper, eq. 2 and 3).

N generated tokens of one optimiser step, H hidden width, V vocabulary, B sequences, T positions.  Entropies in nats.

The distribution that predicts token t comes from the hidden state one position earlier, so the positions run from the
LAST prompt token to the one BEFORE the last generated token.  Masks are by length: the end-of-sequence token's own
prediction counts, also where a model pads with that token (the text's `y_t != PAD` would drop it).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from em.model.head import Head, entropy_terms
from em.train.batching import MicroBatch
from em.trial.method import Method, Tokens

LOGITS_BYTES = 24 << 20  # fp32 logits of a chunk: 200 tokens at V = 32k; what is made of them is a few times as much
FUSED_BYTES = 1 << 30  # of one on a GPU: 3,530 tokens at V = 152k in bf16, enough for matmuls at full speed

Terms = Callable[[Tensor, Tensor, slice], Tensor]  # entropies and log-probabilities of a chunk, and which tokens it has


class Chunk(Protocol):
    """Some tokens' way from hidden states to the gradient by `hidden @ weight.T`, while their logits exist."""

    entropy_N: Tensor  # nats, at temperature 1
    logprob_N: Tensor  # of the targets, nats, at temperature 1
    own: tuple[Tensor, Tensor]  # both at the temperature

    def __init__(self, hidden_NH: Tensor, head: Head, target_N: Tensor, temperature: float) -> None: ...

    def slope(self, by_entropy_N: Tensor, by_logprob_N: Tensor | None) -> Tensor:
        """[N, V], given the loss's derivatives by both of `own`.  Ends the chunk: it may overwrite the logits."""
        ...


class PlainChunk:
    """In torch's operations, on any device.

    For logits z / temperature and p = softmax(z / temperature):  dH/dz_v = -p_v (log p_v + H) / temperature  and, of
    the target t,  d log p_t/dz_v = ([v = t] - p_v) / temperature.
    """

    def __init__(self, hidden_NH: Tensor, head: Head, target_N: Tensor, temperature: float) -> None:
        self.head, self.target_N1, self.temperature = head, target_N[:, None], temperature
        self.logits_NV = head.logits(hidden_NH)
        self.entropy_N, self.logprob_N = self.own = self._look(1)
        if temperature != 1:
            self.own = self._look(temperature)

    def _look(self, temperature: float) -> tuple[Tensor, Tensor]:
        logp_NV = (self.logits_NV if temperature == 1 else self.logits_NV / temperature).log_softmax(-1)
        self.p_NV, self.plogp_NV, entropy_N = entropy_terms(logp_NV)
        return entropy_N, logp_NV.gather(-1, self.target_N1)[:, 0]

    def slope(self, by_entropy_N: Tensor, by_logprob_N: Tensor | None) -> Tensor:
        grad_NV = self.plogp_NV + self.p_NV * self.own[0][:, None]
        grad_NV = grad_NV * (-by_entropy_N / self.temperature)[:, None]
        if by_logprob_N is not None:
            slope_N1 = (by_logprob_N / self.temperature)[:, None]
            grad_NV = (grad_NV - self.p_NV * slope_N1).scatter_add_(-1, self.target_N1, slope_N1)
        return self.head.slope(grad_NV, self.logits_NV)


def is_fused(hidden_NH: Tensor) -> bool:
    """Whether Triton's kernels do the chunks; they compute in fp32."""
    return hidden_NH.is_cuda and hidden_NH.dtype != torch.float64


def chunks_for(hidden_NH: Tensor, vocabulary: int) -> tuple[type[Chunk], int]:
    """How a chunk is computed, and of how many tokens."""
    if not is_fused(hidden_NH):
        return PlainChunk, max(1, LOGITS_BYTES // (4 * vocabulary))
    from em.train import fused

    return fused.FusedChunk, max(1, FUSED_BYTES // (hidden_NH.element_size() * vocabulary))


class _TokenLoss(torch.autograd.Function):
    """The sum of terms f(H_n, log p_n), its gradient computed in the forward pass, while each chunk's logits exist.

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
        exact = torch.promote_types(head_VH.dtype, torch.float32)
        total = hidden_NH.new_zeros((), dtype=exact)
        entropies, logprobs, grad_hidden = [], [], []
        grad_head_VH = torch.zeros_like(head_VH, dtype=exact)
        grad_bias_V = None if bias_V is None else torch.zeros_like(bias_V, dtype=exact)
        hidden_NH, weight_VH = as_multiplied(hidden_NH), as_multiplied(head_VH)
        head = replace(head, weight_VH=weight_VH)
        chunk_of, size = chunks_for(hidden_NH, len(head_VH))
        for start in range(0, max(1, len(hidden_NH)), size):  # also where no token counts
            span = slice(start, start + size)
            chunk = chunk_of(hidden_NH[span], head, target_N[span], temperature)
            entropies.append(chunk.entropy_N)
            logprobs.append(chunk.logprob_N)
            loss, by_entropy, by_logprob = slopes(terms, *chunk.own, span)
            total += loss
            grad = chunk.slope(by_entropy, by_logprob)
            if grad_bias_V is not None:
                grad_bias_V += grad.sum(0, dtype=exact)
            grad = grad.to(hidden_NH.dtype)
            grad_hidden.append(grad @ weight_VH)
            add_product(grad_head_VH, grad.T, hidden_NH[span])
            del chunk, grad  # before the next chunk has logits
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


def as_multiplied(tensor: Tensor) -> Tensor:
    """What matmuls make of a tensor under the autocast in force: done once, it is not done for each chunk."""
    device = tensor.device.type
    casts = torch.is_autocast_enabled(device) and tensor.dtype != torch.float64
    return tensor.to(torch.get_autocast_dtype(device)) if casts else tensor


def add_product(sum_VH: Tensor, grad_VN: Tensor, hidden_NH: Tensor) -> None:
    """sum += grad @ hidden, in the sum's dtype.  A GPU adds while it multiplies, without a product of its own."""
    if sum_VH.is_cuda:
        torch.addmm(sum_VH, grad_VN, hidden_NH, out_dtype=sum_VH.dtype, out=sum_VH)
    else:
        sum_VH += (grad_VN @ hidden_NH).to(sum_VH.dtype)


def token_loss(
    hidden_NH: Tensor, head: Head, target_N: Tensor, terms: Terms, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of `terms` (a scalar with gradient), and detached, [N]: entropies and the targets' log-probabilities.

    `terms` gets those of softmax(logits / temperature), chunk by chunk; what is detached is of softmax(logits).
    Entropies weighted by 1 / (tokens in the WHOLE step) give eq. 3 under any micro-batching.  Never holds more than
    LOGITS_BYTES of logits; on a GPU, that of `em.train.fused`.
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
