"""How answers to train on are sampled."""

from dataclasses import dataclass
from enum import Enum

from em.errors import require, require_positive
from em.trial.identity import not_identity


class EngineName(Enum):
    vllm = "vllm"
    transformers = "transformers"


@dataclass(kw_only=True)
class Rollout:
    """How the model samples the answers that it is trained on."""

    engine: EngineName = EngineName.vllm
    samples: int = 64  # answers of one optimiser step, over all prompts
    temperature: float = 0.5
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 512
    gpu_memory_utilization: float = not_identity(default=0.4)  # vLLM's share of a GPU that training shares
    max_num_seqs: int = not_identity(default=256)  # sequences that the engine decodes together
    max_model_len: int = not_identity(default=4096)  # prompt and answer, in tokens; at most what the model reads

    def __post_init__(self) -> None:
        check_sampling("rollout.temperature", self.temperature, "rollout.top_p", self.top_p)
        require_positive(
            "rollout",
            samples=self.samples,
            max_new_tokens=self.max_new_tokens,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
        )
        require(
            0 < self.repetition_penalty <= 2, "rollout.repetition_penalty", self.repetition_penalty, "must be in (0, 2]"
        )
        require(
            0 < self.gpu_memory_utilization < 1,
            "rollout.gpu_memory_utilization",
            self.gpu_memory_utilization,
            "must be between 0 and 1",
        )


def check_sampling(temperature_path: str, temperature: float, top_p_path: str, top_p: float) -> None:
    """The limits of the engines, kept here so that a bad value ends the launch and not lane after lane."""
    require(0 <= temperature <= 2, temperature_path, temperature, "the engines sample between 0 (greedy) and 2")
    require(0 < top_p <= 1, top_p_path, top_p, "must be in (0, 1]")
