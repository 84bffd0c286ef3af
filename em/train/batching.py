"""Packs a step's samples into micro-batches of about equal lengths.

B sequences, T positions, K samples.  What predicts generated token t stands one position before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from em.trial.sample import Sample


@dataclass(frozen=True)
class MicroBatch:
    input_BT: Tensor  # token ids, padded on the right
    predicts_BT: Tensor  # bool: positions whose next token was generated and counts in the loss
    weight_BT: Tensor  # of the sample that the position belongs to
    sampled_logprob_BT: Tensor | None  # of the token that a position predicts, where the samples have them


def micro_batches(
    prompts: Sequence[list[int]], samples: Sequence[Sample], weights: Sequence[float], max_tokens: int, skipped: int = 0
) -> Iterator[MicroBatch]:
    """All K samples, sorted by length, in batches of at most `max_tokens` padded tokens (one sample at the least).

    `prompts` are those that Sample.prompt counts; the first `skipped` tokens of each answer do not count.
    """
    lengths = [len(prompts[sample.prompt]) + len(sample.token_ids) for sample in samples]
    order = sorted(range(len(samples)), key=lengths.__getitem__, reverse=True)
    while order:
        longest = lengths[order[0]]
        size = max(1, max_tokens // longest)
        chosen, order = order[:size], order[size:]
        yield micro_batch([(samples[k], prompts[samples[k].prompt], weights[k]) for k in chosen], longest, skipped)


def micro_batch(rows: Sequence[tuple[Sample, list[int], float]], longest: int, skipped: int) -> MicroBatch:
    shape = len(rows), longest
    input_BT, predicts_BT = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    logprob_BT = torch.zeros(shape) if all(sample.logprobs is not None for sample, _, _ in rows) else None
    weight_BT = torch.tensor([weight for _, _, weight in rows])[:, None].expand(shape)
    for row, (sample, prompt, _) in enumerate(rows):
        ids, first = prompt + sample.token_ids, len(prompt) - 1
        input_BT[row, : len(ids)] = torch.tensor(ids)
        predicts_BT[row, first + skipped : len(ids) - 1] = True
        if logprob_BT is not None:
            logprob_BT[row, first : len(ids) - 1] = torch.tensor(sample.logprobs)
    return MicroBatch(input_BT, predicts_BT, weight_BT, logprob_BT)
