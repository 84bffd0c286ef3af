"""Optimiser states in 8 bits or on the CPU, beside AdamW in fp32: values, and what a state in a file goes on from."""

import pytest
import torch
from torch import nn

from em.train import weights
from em.train.learner import Learner
from em.train.states import adamw_of
from em.trial.method import default_method
from em.trial.model import Model, Precision, States
from em.trial.optimizer import Optimizer
from em.trial.sample import Sample
from tests.model.architectures import random_model, save

LR = 2e-5


def a_model(dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """4,096 and more values are held in 8 bits, fewer are not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(128, 64), nn.Linear(64, 8))
    return model.to(dtype)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, updates: range) -> None:
    """Gradients that are known: of update k, of each weight, between -1 and 1."""
    optimizer.param_groups[0].update(lr=LR, weight_decay=0.01)
    for update in updates:
        generator = torch.Generator().manual_seed(update)
        for weight in model.parameters():
            weight.grad = (torch.rand(weight.shape, generator=generator) * 2 - 1).to(weight.dtype)
        optimizer.step()


def change(states: States, dtype: torch.dtype, updates: int = 10, seed: int = 0) -> torch.Tensor:
    model = a_model(dtype, seed)
    before = torch.cat([weight.detach().float().flatten() for weight in model.parameters()])
    train(model, adamw_of(model, states), range(updates))
    return torch.cat([weight.detach().float().flatten() for weight in model.parameters()]) - before


def test_states_on_the_cpu_are_those_of_fp32():
    """The weights are the rounded ones of a model in fp32 that gets the same gradients."""
    halved = a_model(torch.bfloat16)
    whole = a_model(torch.bfloat16).float()  # begins at the same numbers
    optimizers = [adamw_of(halved, States.on_cpu), adamw_of(whole, States.fp32)]
    for update in range(20):
        for model, optimizer in zip((halved, whole), optimizers, strict=True):
            optimizer.param_groups[0].update(lr=LR, weight_decay=0.01)
            generator = torch.Generator().manual_seed(update)
            for weight in model.parameters():
                weight.grad = (torch.rand(weight.shape, generator=generator) - 0.5).bfloat16().to(weight.dtype)
            optimizer.step()
    for rounded, weight in zip(halved.parameters(), whole.parameters(), strict=True):
        assert torch.equal(rounded, weight.bfloat16())


def test_stochastic_rounding_loses_no_update_on_average_and_plain_rounding_does():
    """At the paper's rate an update is below half a unit in the last place of most weights in bf16."""
    wanted = change(States.fp32, torch.float32)
    rounded = change(States.eight_bit, torch.bfloat16)
    plain = change(States.fp32, torch.bfloat16)
    along = wanted / wanted.norm() ** 2
    assert float(rounded @ along) == pytest.approx(1, abs=0.1)
    assert float(plain @ along) < 0.5


def test_the_same_update_draws_the_same_bits_whatever_was_drawn_before():
    first = change(States.eight_bit, torch.bfloat16)
    torch.rand(7)
    before = torch.random.get_rng_state()
    assert torch.equal(change(States.eight_bit, torch.bfloat16), first)
    assert torch.equal(torch.random.get_rng_state(), before)  # and leaves no trace
    assert not torch.equal(change(States.eight_bit, torch.bfloat16, seed=1), first)


@pytest.mark.parametrize("states", list(States)[1:])
def test_a_state_in_a_file_goes_on_bit_for_bit(states, tmp_path):
    dtype = torch.float32 if states is States.fp32 else torch.bfloat16
    straight = a_model(dtype)
    train(straight, adamw_of(straight, states), range(6))
    begun = a_model(dtype)
    optimizer = adamw_of(begun, states)
    train(begun, optimizer, range(3))
    groups = {"weights": dict(begun.named_parameters())} | weights.optimizer_groups(begun, optimizer)
    weights.save(tmp_path / "state", groups, "digest")
    resumed = a_model(dtype, seed=1)
    loaded, _ = weights.load(tmp_path / "state")
    weights.restore(resumed, loaded["weights"])
    again = adamw_of(resumed, states)
    weights.set_optimizer(resumed, again, loaded)
    train(resumed, again, range(3, 6))
    assert weights.digest(resumed) == weights.digest(straight)
    forgetful = a_model(dtype, seed=1)
    weights.restore(forgetful, loaded["weights"])
    train(forgetful, adamw_of(forgetful, states), range(3, 6))
    assert weights.digest(forgetful) != weights.digest(straight)


def test_states_in_8_bits_take_two_bytes_a_weight():
    model = a_model(torch.bfloat16)
    optimizer = adamw_of(model, States.eight_bit)
    train(model, optimizer, range(1))
    large = model[0].weight  # type: ignore[index]
    held = [value for name, value in optimizer.state[large].items() if name != "step"]
    assert sum(moment.codes.nbytes + moment.scale.nbytes for moment in held) == 2 * large.numel() * (1 + 4 / 256)


def test_a_learner_holds_what_it_is_told_to(tmp_path):
    folder = save(random_model("Qwen3ForCausalLM"), tmp_path / "model")
    samples = [Sample(step=1, prompt=0, token_ids=[number, 5, 6], truncated=False) for number in range(1, 9)]
    digests = []
    for states in (States.eight_bit, States.on_cpu):
        for recomputed in (0, 2):
            model = Model(path=str(folder), precision=Precision.bf16, states=states, recomputed_layers=recomputed)
            learner = Learner(folder, model)
            assert learner.device.endswith(f", states {states.value}")
            learner.begin(Optimizer(lr=1e-3))
            first = learner.digest()
            for _ in range(2):
                update = learner.step([[1, 2]], samples, default_method(), max_norm=1.0)
                assert update.is_finite
            learner.save(tmp_path / "state", resumable=True)
            learner.step([[1, 2]], samples, default_method(), max_norm=1.0)
            digests.append(learner.digest())
            again = Learner(folder, model)
            again.begin(Optimizer(lr=1e-3))
            assert again.load(tmp_path / "state")
            again.step([[1, 2]], samples, default_method(), max_norm=1.0)
            assert again.digest() == digests[-1]
            learner.restore()
            assert learner.digest() == first
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_the_base_weights_are_those_of_the_files(tmp_path):
    model = random_model("MixtralForCausalLM")
    folder = save(model, tmp_path)
    base = weights.base_of(model, folder)
    assert base.keys() == dict(model.named_parameters()).keys()
    mapped = weights.mapped(folder)
    assert any(name in mapped for name in base)
    assert any(name not in mapped for name in base)  # the experts, which files hold one by one
    for name, weight in model.named_parameters():
        assert torch.equal(base[name], weight)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    weights.restore(model, base)
    assert all(torch.equal(base[name], weight) for name, weight in model.named_parameters())
