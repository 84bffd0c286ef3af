"""How answers are sampled: what a worker loads for it, and what each phase of training asks of it."""

import dataclasses
from dataclasses import dataclass
from enum import Enum

from em.errors import require, require_positive
from em.trial.identity import added, not_identity


class EngineName(Enum):
    vllm = "vllm"
    transformers = "transformers"


@dataclass(kw_only=True)
class EngineConfig:
    """The engine beside the model: it samples what is trained on and answers what is measured."""

    engine: EngineName = EngineName.vllm
    gpu_memory_utilization: float = not_identity(default=0.0)  # vLLM's share of a GPU; 0: what training leaves
    max_num_seqs: int = not_identity(default=256)  # sequences that the engine decodes together
    max_model_len: int = not_identity(default=4096)  # prompt and answer, in tokens; at most what the model reads

    def __post_init__(self) -> None:
        require_positive("rollout", max_num_seqs=self.max_num_seqs, max_model_len=self.max_model_len)
        share, remedy = self.gpu_memory_utilization, "must be between 0 and 1, or 0 (what training leaves)"
        require(0 <= share < 1, "rollout.gpu_memory_utilization", share, remedy)


@dataclass(kw_only=True)
class Rollout:
    """How the model samples the answers that it is trained on."""

    samples: int = 64  # answers of one optimiser step, over all prompts
    samples_per_prompt: int = added(default=0)  # answers to each prompt of a step; 0: all prompts take turns
    temperature: float = 0.5
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        check_sampling("rollout.temperature", self.temperature, "rollout.top_p", self.top_p)
        require_positive("rollout", samples=self.samples, max_new_tokens=self.max_new_tokens)
        each = self.samples_per_prompt
        fits = each == 0 or (each > 0 and self.samples % each == 0)
        require(fits, "rollout.samples_per_prompt", each, f"must divide rollout.samples={self.samples}, or be 0")
        penalty = self.repetition_penalty
        require(0 < penalty <= 2, "rollout.repetition_penalty", penalty, "must be in (0, 2]")


@dataclass(kw_only=True)
class RolloutConfig(Rollout, EngineConfig):
    """`rollout` as users write it: engine and sampling in one place."""

    def __post_init__(self) -> None:
        EngineConfig.__post_init__(self)
        Rollout.__post_init__(self)

    @property
    def loaded(self) -> EngineConfig:
        return EngineConfig(**{item.name: getattr(self, item.name) for item in dataclasses.fields(EngineConfig)})

    @property
    def sampling(self) -> Rollout:
        return Rollout(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Rollout)})


def check_sampling(temperature_path: str, temperature: float, top_p_path: str, top_p: float) -> None:
    """The limits of the engines, kept here so that a bad value ends the launch and not lane after lane."""
    require(0 <= temperature <= 2, temperature_path, temperature, "the engines sample between 0 (greedy) and 2")
    require(0 < top_p <= 1, top_p_path, top_p, "must be in (0, 1]")
