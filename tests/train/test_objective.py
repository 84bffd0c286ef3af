"""The entropy objective by its values: known constants, the formula of its gradient, and which positions count.

N tokens, V vocabulary, H hidden width, B sequences, T positions.
"""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from em.model.head import Head, entropy_terms
from em.train import objective
from em.train.batching import micro_batches
from em.train.entropy import EntropyMinimisation
from em.train.objective import Objective, token_loss
from em.trial.sample import Sample

V, H = 7, 5


def weighted_entropy(
    hidden_NH: Tensor, head_VH: Tensor, weight_N: Tensor, target_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """What entropy minimisation asks of `token_loss`."""
    return token_loss(
        hidden_NH, Head(head_VH), target_N, lambda entropy, _, span: weight_N[span] * entropy, temperature
    )


def test_the_gradient_of_any_terms_is_that_of_autograd():
    """A clipped product of entropy and log-probability: both gradients at once, in chunks of two tokens."""
    generator = torch.Generator().manual_seed(3)
    hidden_NH, head_VH = (torch.randn(*shape, generator=generator).double() for shape in ((5, 4), (7, 4)))
    target_N, weight_N = torch.tensor([0, 6, 2, 2, 5]), torch.linspace(-1, 1, 5)

    def terms(entropy: Tensor, logprob: Tensor, span: slice) -> Tensor:
        return weight_N[span] * logprob.exp().clamp(max=0.3) * entropy - 0.5 * logprob

    for temperature in (1.0, 0.7):
        inputs = hidden_NH.clone().requires_grad_(), head_VH.clone().requires_grad_()
        logp_NV = (inputs[0] @ inputs[1].T / temperature).log_softmax(-1)
        entropy_N, logprob_N = -(logp_NV.exp() * logp_NV).sum(-1), logp_NV[torch.arange(5), target_N]
        expected = terms(entropy_N, logprob_N, slice(0, 5)).sum()
        whole = torch.autograd.grad(expected, inputs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objective, "LOGITS_BYTES", 4 * 7 * 2)
            loss, _, recorded_N = token_loss(inputs[0], Head(inputs[1]), target_N, terms, temperature)
            for gradient, wanted in zip(torch.autograd.grad(loss, inputs), whole, strict=True):
                torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-6)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        plain_NV = (hidden_NH @ head_VH.T).log_softmax(-1)
        torch.testing.assert_close(recorded_N.double(), plain_NV[torch.arange(5), target_N], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.125])
@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("biased", [False, True])
def test_bias_scale_and_cap_are_differentiated_too(biased, cap, scale):
    """Against autograd on the formula, chunk by chunk; the sampled token's log-probability enters as well."""
    generator = torch.Generator().manual_seed(4)
    hidden_NH, weight_VH, bias_V = (2 * torch.randn(*shape, generator=generator) for shape in ((5, 4), (7, 4), (7,)))
    target_N = torch.tensor([1, 0, 6, 3, 3])
    inputs = [tensor.requires_grad_() for tensor in (hidden_NH, weight_VH, *([bias_V] if biased else []))]
    logits_NV = scale * (hidden_NH @ weight_VH.T + (bias_V if biased else 0))
    logits_NV = logits_NV if cap is None else cap * torch.tanh(logits_NV / cap)
    logp_NV = (logits_NV / 0.7).log_softmax(-1)
    entropy_N, logprob_N = -(logp_NV.exp() * logp_NV).sum(-1), logp_NV[torch.arange(5), target_N]
    expected = (entropy_N + 0.3 * logprob_N).sum()
    head = Head(weight_VH, bias_V if biased else None, scale, cap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "LOGITS_BYTES", 4 * 7 * 2)
        loss, entropies_N, _ = token_loss(hidden_NH, head, target_N, lambda h, p, _: h + 0.3 * p, 0.7)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    plain_NV = logits_NV.log_softmax(-1)
    torch.testing.assert_close(entropies_N, -(plain_NV.exp() * plain_NV).sum(-1))
    for gradient, wanted in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


def plain_loss(logits_NV: Tensor, weight_N: Tensor, temperature: float = 1.0) -> Tensor:
    """Eq. 2 and 3 as they stand, over whole logits, differentiated by autograd."""
    logp_NV = (logits_NV / temperature).log_softmax(-1)
    return -(weight_N * (logp_NV.exp() * logp_NV).sum(-1)).sum()


def of_logits(logits_NV: Tensor, weight_N: Tensor | None = None, target_N: Tensor | None = None) -> Sequence[Tensor]:
    """`weighted_entropy` of given logits: the head is the identity."""
    weight_N = torch.ones(len(logits_NV)) if weight_N is None else weight_N
    target_N = torch.zeros(len(logits_NV), dtype=torch.long) if target_N is None else target_N
    return weighted_entropy(logits_NV, torch.eye(logits_NV.shape[1], dtype=logits_NV.dtype), weight_N, target_N)


def random_inputs(n: int = 11, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden_NH = torch.randn(n, H, generator=generator, dtype=dtype).requires_grad_()
    head_VH = torch.randn(V, H, generator=generator, dtype=dtype).requires_grad_()
    weight_N = torch.rand(n, generator=generator, dtype=dtype)
    target_N = torch.randint(V, (n,), generator=generator)
    return hidden_NH, head_VH, weight_N, target_N


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


def test_uniform_logits_have_entropy_log_v():
    loss, entropy_N, logprob_N = of_logits(torch.full((3, V), 2.5))
    torch.testing.assert_close(entropy_N, torch.full((3,), math.log(V)))
    torch.testing.assert_close(logprob_N, torch.full((3,), -math.log(V)))
    assert loss.item() == pytest.approx(3 * math.log(V))


def test_a_peaked_distribution_has_entropy_zero():
    logits_NV = torch.zeros(2, V)
    logits_NV[:, 3] = 200.0
    loss, entropy_N, logprob_N = of_logits(logits_NV, target_N=torch.tensor([3, 0]))
    assert entropy_N.tolist() == [0.0, 0.0]
    assert loss.item() == 0.0
    assert logprob_N.tolist() == [0.0, -200.0]


def test_two_equal_peaks_have_entropy_log_2():
    logits_NV = torch.full((1, V), -math.inf)
    logits_NV[0, [1, 4]] = 0.0
    assert entropy_terms(logits_NV.log_softmax(-1))[2].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 1.5])
def test_gradient_is_that_of_autograd_and_of_the_formula(temperature):
    hidden_NH, head_VH, weight_N, target_N = random_inputs()
    loss, entropy_N, logprob_N = weighted_entropy(hidden_NH, head_VH, weight_N, target_N, temperature)
    logits_NV = hidden_NH @ head_VH.T
    expected = plain_loss(logits_NV, weight_N, temperature)
    torch.testing.assert_close(loss, expected)
    actual = gradients(3 * loss, hidden_NH, head_VH)
    torch.testing.assert_close(actual, gradients(3 * expected, hidden_NH, head_VH))

    logits_NV = logits_NV.detach()
    logp_NV = (logits_NV / temperature).log_softmax(-1)
    p_NV = logp_NV.exp()
    loss_entropy_N1 = -(p_NV * logp_NV).sum(-1, keepdim=True)
    formula_NV = -p_NV * (logp_NV + loss_entropy_N1) * weight_N[:, None] / temperature
    torch.testing.assert_close(actual[0], 3 * formula_NV @ head_VH.detach())
    torch.testing.assert_close(actual[1], 3 * formula_NV.T @ hidden_NH.detach())

    # What is reported is of the model's own distribution, whatever the loss's temperature.
    plain_logp_NV = logits_NV.log_softmax(-1)
    torch.testing.assert_close(entropy_N, -(plain_logp_NV.exp() * plain_logp_NV).sum(-1))
    torch.testing.assert_close(logprob_N, plain_logp_NV[torch.arange(len(target_N)), target_N])
    assert not entropy_N.requires_grad
    assert not logprob_N.requires_grad


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradient_agrees_with_finite_differences(temperature):
    """Logits pass through float32, so that differences are wide and tolerances those of float32."""
    hidden_NH, head_VH, weight_N, target_N = random_inputs(n=3, dtype=torch.float64)

    def loss(hidden: Tensor, head: Tensor) -> Tensor:
        return weighted_entropy(hidden, head, weight_N, target_N, temperature)[0].double()

    assert torch.autograd.gradcheck(loss, (hidden_NH, head_VH), eps=3e-3, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_chunks_equal_the_whole(rows, monkeypatch):
    inputs = random_inputs()
    whole = weighted_entropy(*inputs, 0.8)
    whole_gradients = gradients(whole[0], *inputs[:2])
    monkeypatch.setattr(objective, "LOGITS_BYTES", 4 * V * rows)
    chunked = weighted_entropy(*inputs, 0.8)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(gradients(chunked[0], *inputs[:2]), whole_gradients)


def test_a_chunk_is_never_larger_than_the_limit(monkeypatch):
    sizes = []
    original = objective.entropy_terms

    def watch(logp_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes.append(tuple(logp_NV.shape))
        return original(logp_NV)

    monkeypatch.setattr(objective, "entropy_terms", watch)
    monkeypatch.setattr(objective, "LOGITS_BYTES", 4 * V * 4 + 3)
    weighted_entropy(*random_inputs(n=11))
    assert sizes == [(4, V), (4, V), (3, V)]


def test_masked_equals_selected():
    """A weight of 0 leaves a token out: of the loss and of every gradient."""
    hidden_NH, head_VH, weight_N, target_N = random_inputs()
    kept_N = torch.tensor([n % 3 != 0 for n in range(len(weight_N))])
    masked = weighted_entropy(hidden_NH, head_VH, weight_N * kept_N, target_N)[0]
    selected = weighted_entropy(hidden_NH[kept_N], head_VH, weight_N[kept_N], target_N[kept_N])[0]
    torch.testing.assert_close(masked, selected)
    actual = gradients(masked, hidden_NH, head_VH)
    torch.testing.assert_close(actual, gradients(selected, hidden_NH, head_VH))
    assert not actual[0][~kept_N].any()


def test_weights_add_up():
    hidden_NH, head_VH, weight_N, target_N = random_inputs()
    loss, entropy_N, _ = weighted_entropy(hidden_NH, head_VH, weight_N, target_N)
    torch.testing.assert_close(loss.detach(), (weight_N * entropy_N).sum())
    doubled = weighted_entropy(hidden_NH, head_VH, 2 * weight_N, target_N)[0]
    torch.testing.assert_close(doubled, 2 * loss)


@pytest.mark.parametrize(
    "row",
    [
        [1e4, -1e4, 0.0],
        [1e4, 1e4, -1e4],
        [torch.finfo(torch.float32).min, 0.0, 1.0],
        [-math.inf, 0.0, 1.0],
        [1e30, 0.0, -1e30],
    ],
)
def test_extreme_logits_give_finite_values(row):
    """p log p is 0 where p is 0; -inf is a token that cannot come."""
    logits_NV = torch.tensor([row])
    p_NV, plogp_NV, entropy_N = entropy_terms(logits_NV.log_softmax(-1))
    for tensor in (p_NV, plogp_NV, entropy_N):
        assert tensor.isfinite().all()
    assert 0 <= entropy_N.item() <= math.log(3)
    assert p_NV.sum().item() == pytest.approx(1)
    if logits_NV.isfinite().all():
        logits_NV.requires_grad_()
        loss, entropy_N, _ = of_logits(logits_NV)
        assert loss.isfinite()
        assert gradients(loss, logits_NV)[0].isfinite().all()


def test_bfloat16_hidden_states_are_reduced_in_float32():
    hidden_NH, head_VH, weight_N, target_N = random_inputs(n=400)
    loss, entropy_N, _ = weighted_entropy(hidden_NH.bfloat16(), head_VH.bfloat16(), weight_N, target_N)
    assert loss.dtype == entropy_N.dtype == torch.float32
    logits_NV = (hidden_NH.bfloat16() @ head_VH.bfloat16().T).float()
    torch.testing.assert_close(loss, plain_loss(logits_NV, weight_N))


class Markov(nn.Module):
    """A model of which everything is known: after token a its logits are row a of `logits_VV`."""

    def __init__(self, logits_VV: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.eye(len(logits_VV)), freeze=True)
        self.head = nn.Linear(len(logits_VV), len(logits_VV), bias=False)
        self.head.weight.data = logits_VV.T.contiguous()

    config = SimpleNamespace(get_text_config=SimpleNamespace)  # plain logits

    def base_model(self, input_BT: Tensor, use_cache: bool) -> SimpleNamespace:
        assert not use_cache
        return SimpleNamespace(last_hidden_state=self.embedding(input_BT))

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def markov(seed: int = 0) -> tuple[Markov, Tensor, Tensor]:
    """The model, and after each token: log-probabilities [V, V] and entropy [V]."""
    logits_VV = 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(seed))
    logp_VV = logits_VV.log_softmax(-1)
    return Markov(logits_VV), logp_VV, -(logp_VV.exp() * logp_VV).sum(-1)


def rollouts(answers: list[list[int]]) -> list[Sample]:
    return [Sample(step=1, prompt=k, token_ids=answer, truncated=False) for k, answer in enumerate(answers)]


def run(
    model: nn.Module, prompts: list[list[int]], answers: list[list[int]], max_tokens: int = 10_000, first: bool = True
) -> tuple[float, list[float], list[float], list[Tensor]]:
    """Loss, entropies and log-probabilities (sorted: batches reorder samples), gradients of a whole step."""
    loss_of, method = Objective(cast(PreTrainedModel, model)), EntropyMinimisation(first_token=first)
    samples = rollouts(answers)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss, entropies, logprobs = 0.0, [], []
    grads = [torch.zeros_like(parameter) for parameter in trained]
    given = {"weight": method.weights(samples), "advantage": method.advantages(samples)}
    for batch in micro_batches(prompts, samples, given, max_tokens, method.skipped):
        part, seen = loss_of(method, batch)
        loss += part.item()
        entropies += seen.entropy_N.tolist()
        logprobs += seen.logprob_N.tolist()
        grads = [grad + new for grad, new in zip(grads, gradients(part, *trained), strict=True)]
    return loss, sorted(entropies), sorted(logprobs), grads


PROMPTS = [[1, 2, 3], [4, 5], [0, 6, 1, 2], [3]]
ANSWERS = [[4, 5, 6], [1], [2, 3], [0, 1, 2, 3, 6]]


def test_positions_run_from_the_last_prompt_token_to_the_one_before_the_last_answer_token():
    """After [1, 2, 3] the answer [4, 5, 6] is predicted by 3, 4 and 5: neither by 2, nor is 6 followed by anything."""
    model, logp_VV, entropy_V = markov()
    loss, entropies, logprobs, _ = run(model, [[1, 2, 3]], [[4, 5, 6]])
    assert entropies == pytest.approx(sorted(entropy_V[[3, 4, 5]].tolist()))
    assert logprobs == pytest.approx(sorted([float(logp_VV[3, 4]), float(logp_VV[4, 5]), float(logp_VV[5, 6])]))
    assert loss == pytest.approx(entropy_V[[3, 4, 5]].mean().item())
    for wrong in ([2, 3, 4], [4, 5, 6]):
        assert abs(entropy_V[wrong].mean().item() - loss) > 1e-3


def test_the_prediction_of_the_end_counts_and_what_follows_it_does_not():
    """Masks are by length: it does not matter that the end-of-sequence token 0 is also what pads."""
    model, _, entropy_V = markov()
    prompts, answers = [[1, 2], [1, 2]], [[3, 0], [4, 5, 6, 3]]  # the first sample is padded with 0
    loss, entropies, _, _ = run(model, prompts, answers)
    predicting = [2, 3, 2, 4, 5, 6]
    assert entropies == pytest.approx(sorted(entropy_V[predicting].tolist()))
    assert loss == pytest.approx(entropy_V[predicting].mean().item())


def test_without_the_first_token_one_position_an_answer_is_dropped():
    model, _, entropy_V = markov()
    loss, entropies, _, _ = run(model, PROMPTS, ANSWERS, first=False)
    predicting = [4, 5, 2, 0, 1, 2, 3]  # and of the answer [1], nothing
    assert entropies == pytest.approx(sorted(entropy_V[predicting].tolist()))
    assert loss == pytest.approx(entropy_V[predicting].mean().item())
    assert EntropyMinimisation(first_token=False).counted(rollouts(ANSWERS)) == len(predicting)
    assert len(run(model, PROMPTS, ANSWERS)[1]) == len(predicting) + len(ANSWERS)


@pytest.mark.parametrize("max_tokens", [1, 6, 8, 13])
def test_micro_batches_equal_the_whole(max_tokens, random_model):
    """For prompts and answers of unequal lengths; with batches of equal weight the step's loss would differ."""
    for model in (markov()[0], random_model(tied=True), random_model(tied=False)):
        whole = run(model, PROMPTS, ANSWERS)
        parts = run(model, PROMPTS, ANSWERS, max_tokens)
        assert parts[0] == pytest.approx(whole[0], rel=1e-5)
        torch.testing.assert_close(parts[1:3], whole[1:3], rtol=1e-4, atol=1e-5)
        for part, expected in zip(parts[3], whole[3], strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item() + 1e-7)


def test_a_transformer_gives_what_its_whole_logits_give(random_model):
    """Sample by sample, unpadded, from the model's own logits and by autograd; tied and untied head."""
    for tied in (True, False):
        model = random_model(tied=tied)
        loss, entropies, logprobs, grads = run(model, PROMPTS, ANSWERS)
        expected_loss, expected_entropies, expected_logprobs = torch.zeros(()), [], []
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
            logits_TV = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            logp_TV = logits_TV.log_softmax(-1)
            entropy_T = -(logp_TV.exp() * logp_TV).sum(-1)
            expected_loss = expected_loss + entropy_T.sum() / EntropyMinimisation().counted(rollouts(ANSWERS))
            expected_entropies += entropy_T.tolist()
            expected_logprobs += logp_TV.gather(-1, torch.tensor(answer)[:, None])[:, 0].tolist()
        assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
        assert entropies == pytest.approx(sorted(expected_entropies), rel=1e-4)
        assert logprobs == pytest.approx(sorted(expected_logprobs), rel=1e-4)
        for grad, expected in zip(grads, gradients(expected_loss, *model.parameters()), strict=True):
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item() + 1e-7)
