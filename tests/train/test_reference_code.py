"""The published code's choices, each against a slow and literal loop over whole logits."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from em.cli.compose import compose_trial
from em.cli.inputs import resolve_benchmark
from em.errors import InputError
from em.store.record import Record
from em.train import weights
from em.train.entropy import EntropyMinimisation
from em.train.trainer import Trainer
from em.trial.evaluation import Benchmark, Evaluation
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample
from em.trial.trial import Trial
from em.trial.unit import Measurement, Unit
from tests.trials import phase_of, run

SUM = resolve_benchmark(Benchmark(name="sum", suite="sum", limit=2, max_new_tokens=8, grader="tiny"))
EVALUATION = Evaluation(benchmark=SUM, temperature=0.0, top_p=1.0, samples=1, seed=0)
GPUS, PER_GPU, ACCUMULATE, STEPS = 8, 2, 4, 10


@pytest.fixture(scope="module")
def trial(checkpoint: Callable[..., Path]) -> Trial:
    """The preset as users choose it, at a rate whose updates show, and shorter answers."""
    return compose_trial(
        [
            *("preset=reference_code", "model=checkpoint", f"model.path={checkpoint(tied=True)}"),
            *("rollout=transformers", "prompts.texts=[3+8+5+2?]", "rollout.max_new_tokens=96", "optimizer.lr=1e-3"),
            *("benchmark=tiny", "sampling=reference_code"),
        ]
    ).trial


@pytest.fixture(scope="module")
def trainer(trial: Trial, keep: Callable[[Trainer], Trainer]) -> Trainer:
    return keep(Trainer(trial.model, trial.engine))


@pytest.fixture(scope="module")
def recorded(trainer: Trainer, trial: Trial) -> tuple[Record, dict[str, Tensor]]:
    record = run(trainer, Unit(trial, (Measurement(STEPS, EVALUATION),)))
    return record, weights.copy_of(trainer.policy.model)  # type: ignore[attr-defined]


def literal(model: Any, record: Record) -> tuple[list[float], int]:
    """The published loop: what it calls a step is a micro-batch on each GPU, and it trains after every fourth."""
    optimizer, updates, losses = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01), 0, []
    [prompt] = record.prompts
    for step in range(1, STEPS + 1):
        samples = [sample.token_ids for sample in record.rollouts if sample.step == step]
        assert len(samples) == GPUS * PER_GPU
        of_gpus = []
        for gpu in range(GPUS):
            entropies, entropy = [], torch.zeros(1)
            for answer in samples[gpu * PER_GPU : (gpu + 1) * PER_GPU]:
                logits = model(torch.tensor([prompt + answer])).logits[0] / 0.5
                p = torch.softmax(logits, dim=-1)
                entropy = -(p * torch.log_softmax(logits, dim=-1)).sum(-1)
                entropies += entropy[len(prompt) : len(prompt) + len(answer) - 1]  # not the first token's
            if entropies:
                of_gpus.append(torch.stack(entropies).mean())
            else:
                of_gpus.append(0 * entropy.sum())
        loss = torch.stack(of_gpus).mean()
        losses.append(loss.item())
        (loss / ACCUMULATE).backward()
        if step % ACCUMULATE == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
    return losses, updates


def test_step_ten_is_two_updates_of_the_published_loop(recorded, random_model):
    record, trained = recorded
    model = random_model(tied=True)
    losses, updates = literal(model, record)
    assert updates == 2
    assert [metrics.loss for metrics in record.steps] == pytest.approx(losses, rel=2e-5)
    before = random_model(tied=True)
    for (name, tensor), (_, start) in zip(model.named_parameters(), before.named_parameters(), strict=True):
        assert (tensor - start).abs().max() > 1e-3  # two updates at this rate
        assert (tensor - trained[name]).abs().max() < 1e-4, name


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss_temperature", 1.0), ("first_token", True), ("mean_over", 0)],
)
def test_each_choice_of_the_objective_makes_a_difference(trainer, trial, recorded, random_model, name, value):
    """Else the comparison above could not see it."""
    objective = dataclasses.replace(phase_of(trial).objective, **{name: value})
    changed = dataclasses.replace(trial, phase=dataclasses.replace(phase_of(trial), objective=objective))
    record = run(trainer, Unit(changed, (Measurement(1, EVALUATION),)))
    losses, _ = literal(random_model(tied=True), recorded[0])
    assert record.steps[0].loss != pytest.approx(losses[0], rel=1e-4)


def test_the_preset_is_the_published_code():
    config = compose_trial(["preset=reference_code", "benchmark=tiny"])
    phase = config.phase
    assert phase.objective == EntropyMinimisation(loss_temperature=0.5, first_token=False, mean_over=2)
    sampling = {
        name: getattr(phase.rollout, name) for name in ("temperature", "top_p", "repetition_penalty", "samples")
    }
    assert sampling == {"temperature": 0.5, "top_p": 0.95, "repetition_penalty": 1.15, "samples": 16}
    assert phase.rollout.max_new_tokens == 512
    assert phase.optimizer == Optimizer(lr=2e-5, weight_decay=0.01, max_grad_norm=1.0, accumulate=4)
    assert (config.eval.temperatures, config.eval.samples, config.eval.steps) == ([0.0], 1, [10])


def test_the_mean_of_means_of_unequal_parts():
    samples = [Sample(step=1, prompt=0, token_ids=[1] * n, truncated=False) for n in (1, 3, 5, 2, 4)]
    method = EntropyMinimisation(mean_over=2)
    assert method.weights(samples) == pytest.approx([1 / 4 / 3] * 2 + [1 / 7 / 3] * 2 + [1 / 4 / 3])
    assert EntropyMinimisation().weights(samples) == pytest.approx([1 / 15] * 5)
    with pytest.raises(InputError, match=r"objective.mean_over=-1: must be 0 or a number of samples"):
        EntropyMinimisation(mean_over=-1)
