"""Whether trainer and engine compute one and the same model: checked before anything is sampled that counts.

Two comparisons on texts as people write them.  The loss sees logits through `em.model.head`: its entropies and
log-probabilities are compared with those of the model's own logits, in fp32.  The engine has code of its own and its
own copy of the weights: its log-probabilities of what it sampled are compared with the trainer's, in their precision.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from em.errors import InputError
from em.model.head import entropy_terms
from em.model.loading import load_tokenizer, vocabulary
from em.rollout import Engine, Request
from em.train.batching import micro_batches
from em.train.objective import Objective
from em.train.shards import unsharded
from em.trial.method import default_method
from em.trial.model import Model, Precision
from em.trial.sample import Sample

TEXTS = (
    "A circle has a circumference of 12 centimetres. What is its area? Let's think step by step.",
    r"Find all real $x$ with $\frac{x^2 - 1}{x + 2} \le 3$. Write the answer as \boxed{...}.",
    "def mean(values: list[float]) -> float:\n    return sum(values) / len(values)\n",
)
TOKENS, SAMPLES = 32, 4  # of each text: an answer may end soon
OWN_NATS = 1e-4  # two orders of summing the same fp32 numbers
# Mean over tokens.  Seen on a CPU: 1e-6 in fp32, .002 to .014 in bf16, where rounding chooses among experts .08.
ENGINE_NATS = {Precision.fp32: 1e-3, Precision.bf16: 0.15}
GPU_SLACK = 5  # times as much there, whose kernels sum in other orders; not measured yet


def prompts(folder: Path, context: int) -> list[list[int]]:
    """The token ids of TEXTS, with room for an answer."""
    tokenizer, rows = load_tokenizer(folder), vocabulary(folder)
    read = [[id_ for id_ in tokenizer(text)["input_ids"] if id_ < rows] for text in TEXTS]
    return [ids[: context // 2] for ids in read if ids]


def check(
    objective: torch.nn.Module, trained: PreTrainedModel, engine: Engine, prompts: Sequence[list[int]], model: Model
) -> None:
    """Raise InputError where trainer, model and engine disagree.  `objective` is prepared, and wraps `trained`."""
    requests = [
        Request(prompt=prompt, seed=number << 20, samples=SAMPLES, max_new_tokens=min(TOKENS, engine.context // 2))
        for number, prompt in enumerate(prompts)
    ]
    answers = engine.generate(requests, logprobs=True)
    apart = []
    for prompt, answer in [(prompts[k], answer) for k, of_prompt in enumerate(answers) for answer in of_prompt]:
        assert answer.logprobs is not None
        _, trainers_N = with_trainer(objective, prompt, answer.token_ids, trained.device)
        with unsharded(objective):
            entropy_N, logprob_N = with_trainer(Objective(trained), prompt, answer.token_ids, trained.device)
            own_entropy_N, own_logprob_N = with_own_logits(trained, prompt, answer.token_ids)
        off = float(torch.cat([entropy_N - own_entropy_N, logprob_N - own_logprob_N]).abs().max())
        if not off < OWN_NATS * (1 + float(own_logprob_N.abs().max())):
            raise InputError(
                f"model={model.label}: the loss would be {off:.2g} nats from that of the model's own logits; "
                "they are more than em/model/head.py knows of, which is not supported"
            )
        apart.append((trainers_N - torch.tensor(answer.logprobs)).abs())
    mean, slack = float(torch.cat(apart).mean()), GPU_SLACK if trained.device.type == "cuda" else 1
    if not mean < ENGINE_NATS[model.precision] * slack:
        raise InputError(
            f"model={model.label}: the log-probabilities of trainer and engine are {mean:.2g} nats apart; "
            "the engine runs another model than transformers does, take rollout=transformers"
        )


def with_trainer(
    objective: torch.nn.Module, prompt: list[int], ids: list[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Entropies and log-probabilities of sampled ids, [N], as the loss has them."""
    sample = Sample(step=0, prompt=0, token_ids=ids, truncated=True)
    [batch] = micro_batches([prompt], [sample], {"weight": [0.0], "advantage": [0.0]}, max_tokens=1)
    _, seen = objective(default_method(), batch.to(device))
    return seen.entropy_N.cpu(), seen.logprob_N.cpu()


def with_own_logits(model: PreTrainedModel, prompt: list[int], ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from whole logits, as the model's own forward pass gives them."""
    read = torch.tensor([prompt + ids], device=model.device)
    logp_NV = model(read, use_cache=False).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    return entropy_terms(logp_NV)[2].cpu(), logp_NV.gather(-1, read[0, len(prompt) :, None])[:, 0].cpu()
