"""The entropy loss and its two gradients beside plain logits: memory, time and exactness, in fp32 on every core.

N tokens, H hidden width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bench.step import timed
from em.model.head import Head
from em.train.objective import token_loss
from em.trial.method import Tokens, default_method

SHAPE_NHV = 8_192, 512, 32_768  # 1 GiB of logits
ROUNDS = 3  # the least time of each counts
EXACT_TOKENS = 512  # at a time, in float64

Gradients = tuple[Tensor, ...]  # by hidden states and by the head


@dataclass(frozen=True)
class Loss:
    seconds: float
    peak_bytes: int  # of torch's own allocations, beyond inputs and gradients
    errors: list[float]  # |g - g64| / |g64| of each gradient


def measure() -> tuple[Loss, Loss]:
    """Ours, and that of plain logits."""
    N, H, V = SHAPE_NHV
    generator = torch.Generator().manual_seed(0)
    hidden_NH = torch.randn(N, H, generator=generator).requires_grad_()
    head_VH = torch.randn(V, H, generator=generator).mul_(3 / H**0.5).requires_grad_()  # entropies of some 6 nats
    target_N = torch.randint(V, (N,), generator=generator)
    ways = [lambda: ours(hidden_NH, head_VH, target_N), lambda: plain(hidden_NH, head_VH, N)]
    found, peaks = zip(*(peak_bytes(way) for way in ways), strict=True)
    seconds = [min(taken) for taken in zip(*([timed(way)[1] for way in ways] for _ in range(ROUNDS)), strict=True)]
    wanted = exact(hidden_NH, head_VH)
    errors = [[float((g - g64).norm() / g64.norm()) for g, g64 in zip(gs, wanted, strict=True)] for gs in found]
    first, second = (Loss(*values) for values in zip(seconds, peaks, errors, strict=True))
    return first, second


def ours(hidden_NH: Tensor, head_VH: Tensor, target_N: Tensor) -> Gradients:
    method, weight_N = default_method(), torch.full((len(hidden_NH),), 1 / len(hidden_NH))

    def terms(entropy: Tensor, logprob: Tensor, span: slice) -> Tensor:
        return method.terms(Tokens(entropy, logprob, weight_N[span], weight_N[span], logprob.detach()))

    loss, _, _ = token_loss(hidden_NH, Head(head_VH), target_N, terms)
    return torch.autograd.grad(loss, (hidden_NH, head_VH))


def plain(hidden_NH: Tensor, head_VH: Tensor, tokens: int) -> Gradients:
    logp_NV = (hidden_NH @ head_VH.T).log_softmax(-1)
    loss = -(logp_NV.exp() * logp_NV).sum() / tokens
    return torch.autograd.grad(loss, (hidden_NH, head_VH))


def exact(hidden_NH: Tensor, head_VH: Tensor) -> Gradients:
    """In float64, by autograd; the mean over tokens is a sum over parts, so that memory suffices."""
    head = head_VH.detach().double().requires_grad_()
    of_hidden, of_head = list[Tensor](), torch.zeros_like(head)
    for part in hidden_NH.detach().double().split(EXACT_TOKENS):
        by_hidden, by_head = plain(part.requires_grad_(), head, len(hidden_NH))
        of_hidden.append(by_hidden)
        of_head += by_head
    return torch.cat(of_hidden), of_head


def peak_bytes(way: Callable[[], Gradients]) -> tuple[Gradients, int]:
    """What it gives, and the most that torch held of it at once beside that, by each allocation and release."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        gradients = way()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    held = peak = 0
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        held += event.nbytes()  # type: ignore[attr-defined]
        peak = max(peak, held)
    return gradients, peak - sum(gradient.nbytes for gradient in gradients)
