"""Three ways to take a step: the project's policy, and transformers as others use it.

B sequences, T positions, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from bench.step import TEMPERATURE
from em.model.loading import load
from em.rollout import Request
from em.train import weights
from em.train.entropy import EntropyMinimisation
from em.train.local import LocalPolicy
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig, EngineName
from em.trial.sample import Sample

OPTIMIZER = Optimizer()
Found = tuple[float, float]  # loss, and the gradient's norm before clipping


class Ours:
    def __init__(self, folder: Path, engine: str, threads: int, prompt: list[int], budget: int) -> None:
        model = Model(path=str(folder), cpu_threads=threads)
        self.policy = LocalPolicy(folder, model, EngineConfig(engine=EngineName(engine), max_model_len=512))
        self.method, self.prompt = EntropyMinimisation(micro_batch_tokens=budget), prompt
        self.push, self.close = self.policy.push, self.policy.close

    def restore(self) -> None:
        self.policy.restore()
        self.policy.push()
        self.policy.begin(OPTIMIZER)

    def sample(self, samples: int, tokens: int, number: int) -> list[list[int]]:
        request = Request(
            prompt=self.prompt, seed=number << 20, samples=samples, temperature=TEMPERATURE, max_new_tokens=tokens
        )
        [answers] = self.policy.generate([request])
        return [answer.token_ids for answer in answers]

    def train(self, sampled: Sequence[list[int]]) -> Found:
        samples = [Sample(step=1, prompt=0, token_ids=ids, truncated=True) for ids in sampled]
        update = self.policy.step([self.prompt], samples, self.method, OPTIMIZER.max_grad_norm)
        return update.loss, update.grad_norm


class Loop:
    """A model of transformers and an AdamW."""

    def __init__(self, folder: Path, prompt: list[int]) -> None:
        self.model, self.prompt = load(folder, torch.float32), prompt
        self.model.generation_config = GenerationConfig()
        self.base = weights.copy_of(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=OPTIMIZER.lr, weight_decay=OPTIMIZER.weight_decay, fused=True
        )

    def restore(self) -> None:
        weights.restore(self.model, self.base)
        self.optimizer.state.clear()

    @torch.inference_mode()
    def sample(self, rows: int, tokens: int, use_cache: bool) -> None:
        input_BT = torch.tensor([self.prompt] * rows)
        made_BT = self.model.generate(  # type: ignore[operator]
            input_BT,
            attention_mask=torch.ones_like(input_BT),
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            max_new_tokens=tokens,
            use_cache=use_cache,
        )
        assert made_BT.shape == (rows, len(self.prompt) + tokens)

    def train(self, sampled: Sequence[list[int]], rows: int) -> Found:
        return self.gradient(sampled, rows), self.update()

    def gradient(self, sampled: Sequence[list[int]], rows: int) -> float:
        """Micro-batches of so many rows; as answers are equally long, the mean over all tokens is that of means."""
        total, ids_BT = 0.0, torch.tensor([self.prompt + ids for ids in sampled])
        for part_BT in ids_BT.split(rows):
            logp_BTV = self.model(part_BT, use_cache=False).logits.float().log_softmax(-1)
            entropy_BT = -(logp_BTV.exp() * logp_BTV).sum(-1)[:, len(self.prompt) - 1 : -1]
            loss = entropy_BT.mean() * len(part_BT) / len(ids_BT)
            loss.backward()
            total += loss.item()
        return total

    def update(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIMIZER.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm)
