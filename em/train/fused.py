"""A chunk of the loss over tokens on a GPU: all that lies between its matmuls, in two Triton kernels.

N tokens of the chunk, V vocabulary, H hidden width.  The chunk's logits are read twice and written once, in the dtype
that the matmul gave them; whatever is computed from them is in fp32 and stays in registers.  Importing this needs
Triton, which torch's CUDA builds bring along: `em.train.objective` does so where tensors are on a GPU.

The formulas are those of `Head.logits`, `Head.slope` and `PlainChunk`.  A logit may be -inf, of a token that cannot
come, as long as the row has another above -1e30; one that is NaN or +inf makes its row NaN, as it does in torch.
"""

from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

from em.model.head import Head

BLOCK, WARPS = 4096, 8  # logits that a program has at once: 16 to a thread


class FusedChunk:
    """What `PlainChunk` is, but for memory: nothing else has the logits' size, and the gradient takes their place."""

    def __init__(self, hidden_NH: Tensor, head: Head, target_N: Tensor, temperature: float) -> None:
        self.logits_NV = hidden_NH @ head.weight_VH.T
        self.said_6N = self.logits_NV.new_empty(6, len(target_N), dtype=torch.float32)
        self.tensors = self.logits_NV, head.bias_V, target_N.contiguous(), self.said_6N
        self.numbers = *self.logits_NV.shape, head.scale, head.cap, 1 / temperature
        launch(_look, (len(target_N),), *self.tensors, *self.numbers, TEMPERED=temperature != 1)
        self.entropy_N, self.logprob_N = self.said_6N[0], self.said_6N[1]
        self.own = self.said_6N[2], self.said_6N[3]

    def slope(self, by_entropy_N: Tensor, by_logprob_N: Tensor | None) -> Tensor:
        """[N, V]: the gradient by `hidden @ weight.T`, in the memory and dtype of the logits, which are gone."""
        by_logprob_N = torch.zeros_like(by_entropy_N) if by_logprob_N is None else by_logprob_N
        tokens, vocabulary = self.logits_NV.shape
        slopes = by_entropy_N.contiguous(), by_logprob_N.contiguous()
        launch(_slope, (tokens, -(-vocabulary // BLOCK)), *self.tensors, *slopes, *self.numbers)
        return self.logits_NV


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Tensor | float | None, **constants: bool) -> None:
    kernel[grid](*arguments, **constants, BLOCK=BLOCK, num_warps=WARPS)


@triton.jit
def _logits(row_ptr, bias_ptr, column, V, scale, cap):
    """Logits of a row, as `Head.logits` makes them of `hidden @ weight.T`; beyond the vocabulary, -inf."""
    logit = tl.load(row_ptr + column, column < V, other=0.0).to(tl.float32)
    if bias_ptr is not None:
        logit += tl.load(bias_ptr + column, column < V, other=0.0).to(tl.float32)
    logit *= scale
    if cap is not None:
        decay = tl.exp(-2 * tl.abs(logit) / cap)
        size = cap * (1 - decay) / (1 + decay)  # cap * tanh(|logit| / cap)
        logit = tl.where(logit < 0, -size, size)
    return tl.where(column < V, logit, float("-inf"))


@triton.jit
def _added(total, dot, shift, x):
    """The sums of exp(x) and of x exp(x): those so far, whose x were larger by `-shift`, and those of a block."""
    keep, e = tl.exp(shift), tl.exp(x)
    dot = keep * (dot + shift * total) + tl.sum(tl.where(e == 0, 0.0, x * e))
    return keep * total + tl.sum(e), dot


@triton.jit
def _look(
    logits_ptr,
    bias_ptr,
    target_ptr,
    said_ptr,
    N,
    V,
    scale,
    cap,
    inverse_temperature,
    TEMPERED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row: its entropy and its target's log-probability, the same two at the temperature, and what `_slope` needs.

    Softmax in one pass: sums are relative to the largest logit so far, and rescaled where a larger one comes.
    """
    row = tl.program_id(0)
    row_ptr = logits_ptr + row.to(tl.int64) * V
    top, total, dot, own_total, own_dot = -1e30, 0.0, 0.0, 0.0, 0.0
    for start in range(0, V, BLOCK):
        logit = _logits(row_ptr, bias_ptr, start + tl.arange(0, BLOCK), V, scale, cap)
        higher = tl.maximum(top, tl.max(logit))
        shift, x = top - higher, logit - higher
        total, dot = _added(total, dot, shift, x)
        if TEMPERED:
            own_total, own_dot = _added(own_total, own_dot, shift * inverse_temperature, x * inverse_temperature)
        top = higher
    if not TEMPERED:
        own_total, own_dot = total, dot
    target = _logits(row_ptr, bias_ptr, tl.load(target_ptr + row), V, scale, cap) - top
    said_ptr += row
    tl.store(said_ptr, tl.log(total) - dot / total)
    tl.store(said_ptr + N, target - tl.log(total))
    tl.store(said_ptr + 2 * N, tl.log(own_total) - own_dot / own_total)
    tl.store(said_ptr + 3 * N, target * inverse_temperature - tl.log(own_total))
    tl.store(said_ptr + 4 * N, top)
    tl.store(said_ptr + 5 * N, tl.log(own_total))


@triton.jit
def _slope(
    logits_ptr,
    bias_ptr,
    target_ptr,
    said_ptr,
    by_entropy_ptr,
    by_logprob_ptr,
    N,
    V,
    scale,
    cap,
    inverse_temperature,
    BLOCK: tl.constexpr,
):
    """One block of one row: the gradient instead of the logits."""
    row, column = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row_ptr, said_ptr = logits_ptr + row.to(tl.int64) * V, said_ptr + row
    entropy, top, log_total = tl.load(said_ptr + 2 * N), tl.load(said_ptr + 4 * N), tl.load(said_ptr + 5 * N)
    by_entropy = tl.load(by_entropy_ptr + row) * inverse_temperature
    by_logprob = tl.load(by_logprob_ptr + row) * inverse_temperature
    logit = _logits(row_ptr, bias_ptr, column, V, scale, cap)
    logp = (logit - top) * inverse_temperature - log_total
    p = tl.exp(logp)
    grad = tl.where(p == 0, 0.0, -p * (by_entropy * (logp + entropy) + by_logprob))
    grad += tl.where(column == tl.load(target_ptr + row), by_logprob, 0.0)
    if cap is not None:
        grad *= 1 - (logit / cap) * (logit / cap)
    tl.store(row_ptr + column, (grad * scale).to(row_ptr.dtype.element_ty), column < V)
