"""Packs a step's samples into micro-batches of about equal lengths.

B sequences, T positions, N samples.  What predicts generated token t stands one position before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MicroBatch:
    input_BT: Tensor  # token ids, padded on the right
    predicts_BT: Tensor  # bool: positions whose next token was generated and counts in the loss


def micro_batches(
    prompts_N: Sequence[list[int]], answers_N: Sequence[list[int]], max_tokens: int, first_token: bool = True
) -> Iterator[MicroBatch]:
    """All N samples, sorted by length, in batches of at most `max_tokens` padded tokens (one sample at the least).

    `first_token=False` leaves out the distribution of each answer's first token, as the published code does.
    """
    order = sorted(range(len(prompts_N)), key=lambda n: len(prompts_N[n]) + len(answers_N[n]), reverse=True)
    while order:
        longest = len(prompts_N[order[0]]) + len(answers_N[order[0]])
        size = max(1, max_tokens // longest)
        chosen, order = order[:size], order[size:]
        input_BT = torch.zeros(len(chosen), longest, dtype=torch.long)
        predicts_BT = torch.zeros(len(chosen), longest, dtype=torch.bool)
        for row, n in enumerate(chosen):
            ids = prompts_N[n] + answers_N[n]
            input_BT[row, : len(ids)] = torch.tensor(ids)
            predicts_BT[row, len(prompts_N[n]) - first_token : len(ids) - 1] = True
        yield MicroBatch(input_BT, predicts_BT)


def counted_tokens(answers_N: Sequence[list[int]], first_token: bool = True) -> int:
    """How many predictions of all N samples count in the loss."""
    return sum(max(0, len(answer) - (not first_token)) for answer in answers_N)
