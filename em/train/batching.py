"""Packs a step's samples into micro-batches of about equal lengths.

B sequences, T positions, K samples.  What predicts generated token t stands one position before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from em.trial.sample import Sample


@dataclass(frozen=True)
class MicroBatch:
    input_BT: Tensor  # token ids, padded on the right
    predicts_BT: Tensor  # bool: positions whose next token was generated and counts in the loss
    given: dict[str, Tensor]  # [B, T], by name: what is known of the token that a position predicts

    def spread(self, value_N: Tensor) -> Tensor:
        """[B, T]: what is known of the tokens that count, put to their positions."""
        value_BT = value_N.new_zeros(self.predicts_BT.shape)
        value_BT[self.predicts_BT] = value_N
        return value_BT

    def targets(self) -> Tensor:
        """[N]: the tokens that the positions that count predict, in row-major order."""
        return self.input_BT.roll(-1, dims=1)[self.predicts_BT]

    def chunks(self, hidden_BTH: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Of the positions that count, so many at a time: hidden states [N, H], targets, samples, places in these [N].

        The samples are those that are given as `answer`; their first tokens count as well.
        """
        place_N = (self.predicts_BT.cumsum(1) - 1)[self.predicts_BT]
        of_tokens = hidden_BTH[self.predicts_BT], self.targets(), self.given["answer"][self.predicts_BT].long(), place_N
        yield from zip(*(tensor.split(max(1, size)) for tensor in of_tokens), strict=True)

    def to(self, device: torch.device) -> "MicroBatch":
        given = {name: value_BT.to(device) for name, value_BT in self.given.items()}
        return MicroBatch(self.input_BT.to(device), self.predicts_BT.to(device), given)


def micro_batches(
    prompts: Sequence[list[int]],
    samples: Sequence[Sample],
    given: Mapping[str, Sequence[float]],
    max_tokens: int,
    skipped: int = 0,
) -> Iterator[MicroBatch]:
    """All K samples, sorted by length, in batches of at most `max_tokens` padded tokens (one sample at the least).

    `prompts` are those that Sample.prompt counts; the first `skipped` tokens of each answer do not count.  `given` has
    for each name a number for each sample.  Where all samples have their logprobs, these are `sampled_logprob`.
    """
    lengths = [len(prompts[sample.prompt]) + len(sample.token_ids) for sample in samples]
    order = sorted(range(len(samples)), key=lengths.__getitem__, reverse=True)
    while order:
        longest = lengths[order[0]]
        size = max(1, max_tokens // longest)
        chosen, order = order[:size], order[size:]
        rows = {name: [numbers[k] for k in chosen] for name, numbers in given.items()}
        yield micro_batch([(prompts[samples[k].prompt], samples[k]) for k in chosen], rows, longest, skipped)


def micro_batch(
    rows: Sequence[tuple[list[int], Sample]], given: Mapping[str, list[float]], longest: int, skipped: int
) -> MicroBatch:
    shape = len(rows), longest
    input_BT, predicts_BT = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    of_tokens = {name: torch.tensor(numbers)[:, None].expand(shape) for name, numbers in given.items()}
    if all(sample.logprobs is not None for _, sample in rows):
        of_tokens["sampled_logprob"] = torch.zeros(shape)
    for row, (prompt, sample) in enumerate(rows):
        ids, first = prompt + sample.token_ids, len(prompt) - 1
        input_BT[row, : len(ids)] = torch.tensor(ids)
        predicts_BT[row, first + skipped : len(ids) - 1] = True
        if sample.logprobs is not None and "sampled_logprob" in of_tokens:
            of_tokens["sampled_logprob"][row, first : len(ids) - 1] = torch.tensor(sample.logprobs)
    return MicroBatch(input_BT, predicts_BT, of_tokens)
