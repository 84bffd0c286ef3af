"""Packs a step's samples into micro-batches of about equal lengths.

B sequences, T positions, K samples.  What predicts generated token t stands one position before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from em.trial.sample import Sample


@dataclass(frozen=True)
class MicroBatch:
    input_BT: Tensor  # token ids, padded on the right
    predicts_N: Tensor  # places in the flattened input whose next token was generated and counts in the loss
    given: dict[str, Tensor]  # [N], by name: what is known of the token that a place predicts

    def targets(self) -> Tensor:
        """[N]: the tokens that are predicted."""
        return self.input_BT.flatten().roll(-1)[self.predicts_N]

    def predicting(self, hidden_BTH: Tensor) -> Tensor:
        """[N, H]: the hidden states that predict."""
        return hidden_BTH.flatten(0, 1)[self.predicts_N]

    def chunks(self, hidden_BTH: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """So many places at a time: hidden states [N, H], targets, samples, places in these [N].

        The samples are those that are given as `answer`; their first tokens count as well.
        """
        row_N = self.predicts_N // self.input_BT.shape[1]
        tokens_B = row_N.bincount(minlength=len(self.input_BT))
        place_N = torch.arange(len(row_N), device=row_N.device) - (tokens_B.cumsum(0) - tokens_B)[row_N]
        of_tokens = self.predicting(hidden_BTH), self.targets(), self.given["answer"].long(), place_N
        yield from zip(*(tensor.split(max(1, size)) for tensor in of_tokens), strict=True)

    def to(self, device: torch.device) -> "MicroBatch":
        given = {name: value_N.to(device) for name, value_N in self.given.items()}
        return MicroBatch(self.input_BT.to(device), self.predicts_N.to(device), given)


def micro_batches(
    prompts: Sequence[list[int]],
    samples: Sequence[Sample],
    given: Mapping[str, Sequence[float]],
    max_tokens: int,
    skipped: int = 0,
    share: slice = slice(None),
) -> Iterator[MicroBatch]:
    """All K samples, sorted by length, in batches of at most `max_tokens` padded tokens (one sample at the least).

    `share`: which of them, of those sorted.  `prompts` are those that Sample.prompt counts; the first `skipped` tokens
    of each answer do not count.  `given` has for each name a number for each sample.  Where all samples have their
    logprobs, these are `sampled_logprob`.
    """
    lengths = [len(prompts[sample.prompt]) + len(sample.token_ids) for sample in samples]
    order = sorted(range(len(samples)), key=lengths.__getitem__, reverse=True)[share]
    while order:
        longest = lengths[order[0]]
        size = max(1, max_tokens // longest)
        chosen, order = order[:size], order[size:]
        rows = {name: [numbers[k] for k in chosen] for name, numbers in given.items()}
        yield micro_batch([(prompts[samples[k].prompt], samples[k]) for k in chosen], rows, longest, skipped)


def micro_batch(
    rows: Sequence[tuple[list[int], Sample]], given: Mapping[str, list[float]], longest: int, skipped: int
) -> MicroBatch:
    input_BT, places = torch.zeros(len(rows), longest, dtype=torch.long), []
    of_tokens: dict[str, list[Tensor]] = {name: [] for name in given}
    if all(sample.logprobs is not None for _, sample in rows):
        of_tokens["sampled_logprob"] = [torch.tensor((sample.logprobs or [])[skipped:]) for _, sample in rows]
    for row, (prompt, sample) in enumerate(rows):
        ids, first = prompt + sample.token_ids, row * longest + len(prompt) - 1 + skipped
        input_BT[row, : len(ids)] = torch.tensor(ids)
        places.append(torch.arange(first, first + max(0, len(sample.token_ids) - skipped)))
        for name, numbers in given.items():
            of_tokens[name].append(torch.full((len(places[-1]),), numbers[row]))
    return MicroBatch(input_BT, torch.cat(places), {name: torch.cat(parts) for name, parts in of_tokens.items()})


def empty(given: Iterable[str]) -> MicroBatch:
    """A batch of one token that does not count."""
    nothing = Sample(step=0, prompt=0, token_ids=[], truncated=False, logprobs=[])
    return micro_batch([([0], nothing)], {name: [0.0] for name in given}, 1, 0)
