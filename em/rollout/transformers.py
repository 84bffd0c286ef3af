"""The Hugging Face engine: `generate` with a KV cache.  Same interface, same tests; no vLLM needed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList

from em.model.loading import end_ids, load, load_tokenizer, vocabulary
from em.rollout.engine import Completion, Engine, Request, check_names, context
from em.rollout.watch import EVERY, Watch
from em.trial.rollout import EngineConfig


class TransformersEngine(Engine):
    def __init__(self, folder: Path, engine: EngineConfig, dtype: torch.dtype) -> None:
        self.tokenizer = load_tokenizer(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = load(folder, dtype)
        self.model.to(device)
        self.model.generation_config = GenerationConfig()  # generate would mix in the checkpoint's sampling defaults
        self.context = context(folder, engine)
        self.max_num_seqs = engine.max_num_seqs
        self.end_ids = end_ids(folder, self.tokenizer)
        pad: Any = self.tokenizer.pad_token_id
        self.pad_id: int = pad if pad is not None and pad < vocabulary(folder) else min(self.end_ids, default=0)

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        """Requests that sample alike are decoded together, at most `rollout.max_num_seqs` at a time."""
        groups = defaultdict(list)
        for index, request in enumerate(requests):
            # A penalty would take padding for repetitions: under one, only prompts of one length are decoded together.
            width = len(request.prompt) if request.repetition_penalty != 1 else 0
            sampling = request.temperature, request.top_p, request.repetition_penalty
            alike = *sampling, width, request.max_new_tokens, request.stop, request.stop_ids
            groups[alike] += [(index, request, request.seed + sample) for sample in range(request.samples)]
        results: list[list[Completion]] = [[] for _ in requests]
        for rows in groups.values():
            for start in range(0, len(rows), self.max_num_seqs):
                batch = rows[start : start + self.max_num_seqs]
                completions = self._decode([row[1] for row in batch], [row[2] for row in batch], logprobs)
                for (index, request, _), completion in zip(batch, completions, strict=True):
                    results[index].append(completion)
                    if len(results[index]) == request.samples:
                        yield index, results[index]

    @torch.inference_mode()
    def _decode(self, requests: list[Request], seeds: list[int], logprobs: bool) -> list[Completion]:
        width = max(len(request.prompt) for request in requests)
        rows = [[self.pad_id] * (width - len(request.prompt)) + request.prompt for request in requests]
        mask = [[0] * (width - len(request.prompt)) + [1] * len(request.prompt) for request in requests]
        device, first = self.model.device, requests[0]
        processors = LogitsProcessorList()
        if first.repetition_penalty != 1:
            processors.append(RepetitionPenaltyLogitsProcessor(first.repetition_penalty))
        if first.temperature > 0:
            processors.append(TemperatureLogitsWarper(first.temperature))
            if first.top_p < 1:
                processors.append(TopPLogitsWarper(first.top_p))
            processors.append(GumbelNoise(seeds))
        settings = GenerationConfig(
            do_sample=False,  # the argmax, of logits plus noise: a sample
            max_new_tokens=first.max_new_tokens,
            eos_token_id=sorted(self.end_ids.union(first.stop_ids)) or None,
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            output_logits=logprobs,
        )
        stopping = StopStrings(self.tokenizer, first.stop, width)
        watches = {row: Watch(request, self._text) for row, request in enumerate(requests) if request.is_watched}
        criteria = [*([stopping] if first.stop else []), *([Over(watches, width)] if watches else [])]
        output: Any = self.model.generate(
            torch.tensor(rows, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=settings,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList(criteria),
        )
        sampled_BT = output.sequences[:, width:].tolist()
        scores: list[list[float]] | None = None
        if logprobs:
            logits_BTV = torch.stack(output.logits, dim=1).float()
            scores_BT = logits_BTV.log_softmax(-1).gather(-1, output.sequences[:, width:, None])[..., 0]
            scores = scores_BT.tolist()
        whole = [
            self._completion(ids, first, stopping.lengths.get(row), scores[row] if scores else None)
            for row, ids in enumerate(sampled_BT)
        ]
        return [watches[row].cut(answer) if row in watches else answer for row, answer in enumerate(whole)]

    def _text(self, token_ids: list[int]) -> str:
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))

    def _completion(
        self, ids: list[int], request: Request, stopped: int | None, scores: list[float] | None
    ) -> Completion:
        """Cut a row of a batch at its end-of-sequence token or where a stop string ended it; the rest is padding."""
        end_ids = self.end_ids.union(request.stop_ids)
        ends = [position + 1 for position, token in enumerate(ids[:stopped]) if token in end_ids]
        length = ends[0] if ends else stopped
        return Completion(ids[:length], truncated=length is None, logprobs=scores[:length] if scores else None)

    def push(self, weights: Mapping[str, Tensor]) -> None:
        own = self.model.state_dict()
        check_names(weights, set(own))
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(weights[name])

    def clear_cache(self) -> None:
        """Nothing is cached between calls."""

    def close(self) -> None:
        del self.model


class StopStrings(StoppingCriteria):
    """Ends an answer whose text, without special tokens and prompt, holds one of the strings: what vLLM does."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], width: int) -> None:
        self.tokenizer, self.stop, self.width = tokenizer, stop, width
        self.tail = 4 * (1 + max(map(len, stop), default=0))  # tokens: a character may take four
        self.lengths: dict[int, int] = {}  # row -> tokens of the answer, where a string ended it

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        answers_BT = input_ids[:, self.width :]
        for row, text in enumerate(self.tokenizer.batch_decode(answers_BT[:, -self.tail :], skip_special_tokens=True)):
            if any(stop in text for stop in self.stop):
                self.lengths.setdefault(row, answers_BT.shape[1])
        return torch.tensor([row in self.lengths for row in range(len(input_ids))], device=input_ids.device)


class Over(StoppingCriteria):
    """Ends the answers, by row, whose watch says that they are over."""

    def __init__(self, watches: Mapping[int, Watch], width: int) -> None:
        self.watches, self.width = watches, width

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        answers_BT = input_ids[:, self.width :]
        if answers_BT.shape[1] % EVERY == 0:
            for row, watch in self.watches.items():
                watch.read(answers_BT[row, len(watch.token_ids) :].tolist())
        over = [row in self.watches and self.watches[row].over is not None for row in range(len(input_ids))]
        return torch.tensor(over, device=input_ids.device)


class GumbelNoise(LogitsProcessor):
    """Adds noise from each row's own random stream: the argmax is a sample, whatever else is in the batch."""

    def __init__(self, seeds: list[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Any:
        vocabulary = scores.shape[-1]
        uniform_BV = torch.stack([torch.rand(vocabulary, generator=g, dtype=torch.float64) for g in self.generators])
        noise_BV = -torch.log(-torch.log(uniform_BV.clamp_(1e-300, 1 - 1e-16)))
        return scores + noise_BV.to(scores)
