"""What a rollout engine does: sample token ids from weights that are pushed into it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import AutoConfig

from em.rollout.loops import Loop
from em.trial.evaluation import Ends
from em.trial.rollout import EngineConfig

FINGERPRINT_PROMPT = list(range(1, 9))  # token ids that every vocabulary has


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt, as token ids, and how to sample answers to it.  Sample i draws from the random stream `seed + i`."""

    prompt: list[int]
    seed: int
    max_new_tokens: int
    samples: int = 1
    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()  # tokens that end an answer, beside the model's own
    loop: Loop | None = None  # what ends an answer that repeats itself
    is_final: Callable[[str], bool] | None = None  # what of its text ends an answer; then true of whatever follows

    @property
    def is_watched(self) -> bool:
        return self.loop is not None or self.is_final is not None


@dataclass(frozen=True)
class Completion:
    """One sampled answer: exactly the ids that were sampled, the end-of-sequence token included."""

    token_ids: list[int]
    truncated: bool  # whether it met the token limit, or was ended, instead of ending by itself
    logprobs: list[float] | None = None  # of each id under softmax(logits), before temperature and top_p; on request
    ended: Ends | None = None  # by which rule of the request it was over before its end; None: by none


class Sampler(ABC):
    """What answers requests: an engine, or whatever hides several."""

    context: int  # prompt and answer together, in tokens

    @abstractmethod
    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        """(index of a request, its samples) as each is done; all are decoded as one batch."""

    def generate(self, requests: Sequence[Request], logprobs: bool = False) -> list[list[Completion]]:
        """The samples of each request, in the order of the requests."""
        done = dict(self.stream(requests, logprobs))
        return [done[index] for index in range(len(requests))]

    def fingerprint(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Greedy ids and log-probabilities after one fixed prompt: equal exactly when the weights are."""
        request = Request(prompt=FINGERPRINT_PROMPT, seed=0, temperature=0, max_new_tokens=4)
        [[completion]] = self.generate([request], logprobs=True)
        assert completion.logprobs is not None
        return tuple(completion.token_ids), tuple(completion.logprobs)


class Engine(Sampler):
    """The architecture of a checkpoint, ready to sample.  Whoever opens it pushes weights before anything else."""

    @abstractmethod
    def push(self, weights: Mapping[str, Tensor]) -> None:
        """Replace every weight by the tensor of its name in the model's state_dict; nothing of the old ones stays.

        Raises ValueError where names are missing or unknown: a partial push would leave wrong weights, silently.
        """

    def sleep(self) -> None:
        """Give memory back until the next push, where it can; nothing is sampled before that."""

    @abstractmethod
    def clear_cache(self) -> None:
        """Forget all cached keys and values and overwrite them with zeros: non-finite ones outlive their weights."""

    @abstractmethod
    def close(self) -> None:
        """Free the memory of model and cache."""


def context(folder: Path, engine: EngineConfig) -> int:
    """Tokens of prompt and answer together: what the model reads, at most `rollout.max_model_len`."""
    return min(engine.max_model_len, own_context(folder))


def own_context(folder: Path) -> int:
    return AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings


def check_names(pushed: Mapping[str, Tensor], expected: set[str]) -> None:
    """Raise ValueError unless exactly the expected tensors are pushed."""
    missing, unknown = expected - set(pushed), set(pushed) - expected
    if missing or unknown:
        raise ValueError(f"push: missing {sorted(missing)}, unknown {sorted(unknown)}; push the whole state_dict()")
