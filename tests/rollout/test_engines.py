"""What both engines promise, as one suite: each test runs with vLLM and with transformers, tied and untied heads."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from em.model.loading import load
from em.rollout import Completion, Engine, Request, open_engine
from em.tiny.corpus import EOS, PAD
from em.train.batching import micro_batches
from em.train.entropy import EntropyMinimisation
from em.train.objective import Objective
from em.trial.model import Model, Precision
from em.trial.rollout import EngineConfig, EngineName
from em.trial.sample import Sample

ROUNDING = 1e-3 if torch.cuda.is_available() else 1e-4  # nats: what two fp32 implementations may differ by
PROMPT = list(b"3+8+5+2?")
LONG = [(7 * i * i + 3 * i) % 256 for i in range(400)]  # several blocks of a prefix cache (128 tokens on a CPU)
OTHERS = [list(b"1"), list(b"What is the area?"), LONG[:150]]


def request(prompt: list[int] = PROMPT, **changes: Any) -> Request:
    return Request(**{"prompt": prompt, "seed": 1 << 40, "samples": 8, "max_new_tokens": 16, **changes})


def greedy(prompt: list[int] = PROMPT, **changes: Any) -> Request:
    return request(prompt, **{"samples": 1, "temperature": 0.0, **changes})


def ids(samples: list[Completion]) -> list[list[int]]:
    return [sample.token_ids for sample in samples]


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def start(request: pytest.FixtureRequest, keep: Callable[[Engine], Engine]) -> Callable[..., Engine]:
    """`start(folder)`: an engine with the checkpoint of that folder."""
    if request.param == "vllm":
        pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)

    def open_(folder: Path, precision: Precision = Precision.fp32) -> Engine:
        rollout = EngineConfig(engine=EngineName(request.param), max_num_seqs=64)
        engine = keep(open_engine(folder, rollout, Model(path=str(folder), precision=precision)))
        engine.push(load(folder, torch.float32).state_dict())
        return engine

    return open_


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def tied(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(scope="module")
def loaded(start: Callable[..., Engine], checkpoint: Callable[..., Path], tied: bool) -> Engine:
    return start(checkpoint(tied))


@pytest.fixture(scope="module")
def other(start: Callable[..., Engine], checkpoint: Callable[..., Path], tied: bool) -> Engine:
    """An engine that loaded the weights which tests push into the first one."""
    return start(checkpoint(tied, seed=1))


@pytest.fixture
def engine(loaded: Engine, base: dict[str, Tensor]) -> Iterator[Engine]:
    """The loaded engine; whatever a test pushed, the next one finds the base weights."""
    yield loaded
    loaded.push(base)
    loaded.clear_cache()


@pytest.fixture
def base(random_model: Callable[..., Any], tied: bool) -> dict[str, Tensor]:
    return random_model(tied).state_dict()


@pytest.fixture
def trained(random_model: Callable[..., Any], tied: bool) -> dict[str, Tensor]:
    """Other weights of the same model, by their Hugging Face names."""
    return random_model(tied, seed=1).state_dict()


@pytest.mark.parametrize("prompt", [PROMPT, LONG], ids=["short", "long"])
def test_pushed_weights_are_the_ones_used(engine, other, trained, prompt):
    """Bit for bit those of an engine that loaded them from a checkpoint; before the push the same prompt was cached."""
    requests = [greedy(prompt), request(prompt)]
    before = engine.generate(requests, logprobs=True)
    engine.push(trained)
    after = engine.generate(requests, logprobs=True)
    other.clear_cache()
    assert after == other.generate(requests, logprobs=True)
    assert ids(after[0]) != ids(before[0])


@pytest.mark.parametrize("prompt", [PROMPT, LONG], ids=["short", "long"])
def test_base_weights_pushed_back_give_the_first_answers(engine, base, trained, prompt):
    requests = [greedy(prompt), request(prompt)]
    engine.clear_cache()
    first = engine.generate(requests, logprobs=True)
    fingerprint = engine.fingerprint()
    engine.push(trained)
    engine.generate(requests)
    assert engine.fingerprint() != fingerprint
    engine.push(base)
    assert engine.fingerprint() == fingerprint
    assert engine.generate(requests, logprobs=True) == first


def test_one_changed_tensor_changes_the_fingerprint(engine, base):
    fingerprint = engine.fingerprint()
    for name in ("model.layers.1.mlp.down_proj.weight", "model.norm.weight"):
        engine.push({**base, name: base[name] * 1.001})
        assert engine.fingerprint() != fingerprint


def test_bfloat16_engines_take_float32_weights(start, checkpoint, random_model):
    one, two = start(checkpoint(tied=True), Precision.bf16), start(checkpoint(tied=True, seed=1), Precision.bf16)
    requests = [greedy(), request()]
    before = one.generate(requests)
    one.push(random_model(tied=True, seed=1).state_dict())
    assert one.generate(requests, logprobs=True) == two.generate(requests, logprobs=True)
    assert one.generate(requests) != before


@pytest.mark.parametrize("missing", ["lm_head.weight", "model.layers.0.self_attn.q_proj.weight"])
def test_a_partial_push_is_refused(engine, trained, missing):
    fingerprint = engine.fingerprint()
    del trained[missing]
    with pytest.raises(ValueError, match=rf"missing \['{missing}'\].*push the whole state_dict"):
        engine.push(trained)
    with pytest.raises(ValueError, match=r"unknown \['extra'\]"):
        engine.push({**trained, missing: torch.zeros(1), "extra": torch.zeros(1)})
    assert engine.fingerprint() == fingerprint


def test_clear_cache_mends_what_non_finite_weights_left(engine, base):
    requests = [greedy(), greedy(LONG), request(LONG)]
    fingerprint, first = engine.fingerprint(), engine.generate(requests, logprobs=True)
    engine.push({name: torch.full_like(tensor, torch.nan) for name, tensor in base.items()})
    engine.generate([request(LONG), request(PROMPT)])
    engine.push(base)
    engine.clear_cache()
    assert engine.fingerprint() == fingerprint
    assert engine.generate(requests, logprobs=True) == first


def test_same_seed_same_tokens_whatever_else_is_in_the_batch(engine):
    alone = engine.generate([request()])[0]
    assert engine.generate([request()])[0] == alone
    torch.manual_seed(123)  # nothing depends on the global state
    others = [request(prompt, seed=seed << 30) for seed, prompt in enumerate(OTHERS)]
    assert engine.generate([*others, request()])[-1] == alone
    assert engine.generate([request(), *others])[0] == alone
    mixed = [greedy(OTHERS[0]), request(OTHERS[1], temperature=0.3, top_p=0.5, stop=("x",), max_new_tokens=4)]
    assert engine.generate([mixed[0], request(), mixed[1]])[1] == alone


def test_sample_i_draws_from_the_stream_seed_plus_i(engine):
    together = ids(engine.generate([request(samples=4, seed=1000)])[0])
    apart = [ids(engine.generate([request(samples=1, seed=1000 + i)])[0])[0] for i in range(4)]
    assert together == apart
    assert len({tuple(sample) for sample in together}) == 4
    assert ids(engine.generate([request(samples=4, seed=2000)])[0]) != together


def test_a_prefix_cached_or_not_gives_the_same_bits(engine):
    """What was measured before must not change, by rounding, what is sampled next."""
    requests = [request(LONG), greedy(LONG)]
    engine.clear_cache()
    cold = engine.generate(requests, logprobs=True)
    warm = engine.generate(requests, logprobs=True)
    engine.generate([greedy(LONG[:300] + PROMPT)])
    assert warm == cold
    assert engine.generate(requests, logprobs=True) == cold


def test_logprobs_are_the_trainers_and_shifted_ones_are_not(engine, random_model, tied):
    """Fails when engine and trainer count positions differently, and shows that the check can fail."""
    objective, method = Objective(random_model(tied)), EntropyMinimisation()
    for prompt in (PROMPT, LONG[:90]):
        for sample in engine.generate([request(prompt)], logprobs=True)[0]:
            assert sample.logprobs is not None
            rollout = Sample(step=1, prompt=0, token_ids=sample.token_ids, truncated=False)
            [batch] = micro_batches([prompt], [rollout], {"weight": [1.0], "advantage": [1.0]}, 10_000)
            sampled_N = torch.tensor(sample.logprobs)
            trainers_N = objective(method, batch)[1].logprob_N
            torch.testing.assert_close(sampled_N, trainers_N, atol=ROUNDING, rtol=0)
            for shift in (-1, 1):
                shifted = replace(batch, predicts_N=(batch.predicts_N + shift) % batch.input_BT.numel())
                shifted_N = objective(method, shifted)[1].logprob_N
                assert (sampled_N - shifted_N).abs().max() > 1000 * ROUNDING


def test_logprobs_are_of_the_model_not_of_the_sampling_distribution(engine, random_model, tied):
    sample = engine.generate([request(temperature=0.5, top_p=0.5, repetition_penalty=1.2)], logprobs=True)[0][0]
    logits_TV = random_model(tied)(torch.tensor([PROMPT + sample.token_ids])).logits[0, len(PROMPT) - 1 : -1]
    expected_T = logits_TV.log_softmax(-1).gather(-1, torch.tensor(sample.token_ids)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(sample.logprobs), expected_T, atol=ROUNDING, rtol=0)


def argmax_ids(model: Any, prompt: list[int], count: int) -> list[int]:
    """Greedy decoding by the definition: one whole forward pass a token."""
    read = list(prompt)
    while len(read) < len(prompt) + count and read[-1] != EOS:
        read.append(int(model(torch.tensor([read])).logits[0, -1].argmax()))
    return read[len(prompt) :]


def test_temperature_zero_is_greedy(engine, random_model, tied):
    model = random_model(tied)
    prompts = [PROMPT, *OTHERS]
    answers = engine.generate([greedy(prompt) for prompt in prompts])
    assert [ids(samples)[0] for samples in answers] == [argmax_ids(model, prompt, 16) for prompt in prompts]


def test_greedy_samples_are_all_the_same(engine):
    """Evaluation at temperature 0 with several samples a problem: a figure's axis may well hold it."""
    [one], three = engine.generate([greedy(), greedy(samples=3)])
    assert ids(three) == 3 * [one.token_ids]


def test_a_tiny_top_p_leaves_the_greedy_token_alone(engine):
    [expected], samples = engine.generate([greedy(), request(top_p=1e-6)])
    assert ids(samples) == 8 * [expected.token_ids]


def test_top_p_restricts_the_support(engine, random_model, tied):
    """Every first token lies in the smallest set that holds 60% of the probability."""
    p_V = random_model(tied)(torch.tensor([PROMPT])).logits[0, -1].softmax(-1)
    ranked = p_V.argsort(descending=True).tolist()
    size = int((p_V[ranked].cumsum(0) < 0.6).sum()) + 1
    firsts = [
        {sample.token_ids[0] for sample in samples}
        for samples in engine.generate(
            [request(samples=64, max_new_tokens=1), request(samples=64, max_new_tokens=1, top_p=0.6)]
        )
    ]
    assert not firsts[0] <= set(ranked[:size])
    assert firsts[1] <= set(ranked[:size])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_first_tokens_have_the_models_frequencies(engine, random_model, tied, temperature):
    """4096 samples; five standard deviations of a binomial share, for the ten likeliest tokens."""
    count = 4096
    p_V = (random_model(tied)(torch.tensor([PROMPT])).logits[0, -1] / temperature).softmax(-1)
    [samples] = engine.generate([request(samples=count, max_new_tokens=1, temperature=temperature)])
    share_V = torch.bincount(torch.tensor(ids(samples))[:, 0], minlength=len(p_V)) / count
    top = p_V.topk(10).indices
    assert ((share_V - p_V)[top].abs() < 5 * (p_V * (1 - p_V) / count).sqrt()[top]).all()


def test_the_repetition_penalty_is_the_same_in_both_engines(engine, random_model, tied):
    """Logits of every token in prompt or answer are divided by it where positive, multiplied where negative."""
    model, penalty, read = random_model(tied), 1.3, list(PROMPT)
    while len(read) < len(PROMPT) + 16 and read[-1] != EOS:
        logits_V = model(torch.tensor([read])).logits[0, -1].detach()
        seen = torch.tensor(sorted(set(read)))
        logits_V[seen] = torch.where(logits_V[seen] > 0, logits_V[seen] / penalty, logits_V[seen] * penalty)
        read.append(int(logits_V.argmax()))
    [plain], [penalised] = engine.generate([greedy(), greedy(repetition_penalty=penalty)])
    assert penalised.token_ids == read[len(PROMPT) :]
    assert penalised.token_ids != plain.token_ids


@pytest.fixture
def padding_is_likely(engine: Engine, base: dict[str, Tensor]) -> None:
    """Weights that give the padding token a logit ten times as large, or as small, as before."""
    head = base["lm_head.weight"].clone()
    head[PAD] *= 10
    same = base["model.embed_tokens.weight"].equal(base["lm_head.weight"])
    engine.push({**base, "lm_head.weight": head, **({"model.embed_tokens.weight": head} if same else {})})


@pytest.mark.usefixtures("padding_is_likely")
def test_padding_is_not_penalised_as_a_repetition(engine):
    settings = {"repetition_penalty": 1.5, "samples": 16, "max_new_tokens": 8}
    alone = engine.generate([request(**settings)])[0]
    assert engine.generate([request(**settings), request(LONG, **settings)])[0] == alone


def test_an_answer_ends_with_the_end_token_or_at_the_limit(engine):
    samples = engine.generate([request(samples=256, max_new_tokens=24)])[0]
    ended = [sample for sample in samples if not sample.truncated]
    assert 0 < len(ended) < len(samples)
    for sample in samples:
        assert (sample.token_ids[-1] == EOS) is (not sample.truncated) or len(sample.token_ids) == 24
        assert EOS not in sample.token_ids[:-1]
        assert len(sample.token_ids) == 24 or not sample.truncated
        assert not sample.truncated or EOS not in sample.token_ids


@pytest.mark.usefixtures("padding_is_likely")
@pytest.mark.parametrize("stop", [(), ("x",)])
def test_sampled_padding_tokens_are_kept(engine, stop):
    """A model may sample its padding token; the answer is exactly what was sampled."""
    samples = engine.generate([request(samples=64, max_new_tokens=3, stop=stop)], logprobs=True)[0]
    assert any(sample.token_ids[-1] == PAD for sample in samples)
    for sample in samples:
        assert sample.logprobs is not None
        assert len(sample.logprobs) == len(sample.token_ids)
        ended = sample.token_ids[-1] in (EOS, *map(ord, stop))
        assert sample.truncated is (not ended)
        assert ended or len(sample.token_ids) == 3


def test_stop_strings_end_an_answer(engine):
    """Compared with the same samples without stopping: each is cut behind the first token that completes one."""
    free = engine.generate([request(samples=64, max_new_tokens=24)])[0]
    common = max(range(0x21, 0x7F), key=lambda byte: sum(byte in sample.token_ids for sample in free))
    stopped = engine.generate([request(samples=64, max_new_tokens=24, stop=(chr(common), "never said"))])[0]
    assert stopped == [cut_at(common, sample) for sample in free]
    assert any(common in sample.token_ids for sample in free)
    assert any(common not in sample.token_ids for sample in free)


def cut_at(token: int, sample: Completion) -> Completion:
    if token not in sample.token_ids:
        return sample
    return Completion(sample.token_ids[: sample.token_ids.index(token) + 1], truncated=False)


def test_a_stop_string_may_take_several_tokens_but_not_begin_in_the_prompt(engine):
    """For the first sample whose answer begins with three bytes of ASCII, and of which no two are the same."""
    free = ids(engine.generate([request(samples=256)])[0])
    row = next(row for row, sample in enumerate(free) if max(sample[:3]) < 0x80 and len({*sample[:3]}) == 3)
    for stop, length in ((bytes(free[row][1:3]), 3), (bytes([PROMPT[-1], free[row][0]]), None)):
        stopped = ids(engine.generate([request(samples=256, stop=(stop.decode(),))])[0])
        assert stopped[row] == free[row][:length]


def test_of_a_checkpoints_generation_config_only_the_end_tokens_count(engine, start, checkpoint, tied, tmp_path):
    """Published checkpoints come with sampling defaults; a trial's sampling is what its config says."""
    shutil.copytree(checkpoint(tied), tmp_path, dirs_exist_ok=True)
    requests = [request(samples=64), greedy(LONG), request(top_p=0.9, repetition_penalty=1.1)]
    whole = engine.generate(requests)
    second = whole[0][0].token_ids[2]
    sampling = {"do_sample": True, "temperature": 0.1, "top_p": 0.3, "top_k": 2, "repetition_penalty": 1.8}
    settings = {**sampling, "eos_token_id": [EOS, second], "pad_token_id": PAD, "max_new_tokens": 2}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    stopped = start(tmp_path).generate(requests)
    assert stopped == [[cut_at(second, sample) for sample in samples] for samples in whole]
    assert stopped != whole


def test_requests_come_back_in_their_order(engine):
    requests = [greedy([number] * 3, max_new_tokens=1 + number % 3) for number in range(90)]  # more than fit at once
    answers = engine.generate(requests)
    for number in (0, 41, 89):
        assert engine.generate([requests[number]])[0] == answers[number]
    assert [len(answer[0].token_ids) <= 1 + number % 3 for number, answer in enumerate(answers)] == 90 * [True]


def test_the_context_is_the_checkpoints(engine):
    assert engine.context == 1024
    [[sample]] = engine.generate([greedy(LONG * 2 + LONG[:208], max_new_tokens=16)])
    assert len(sample.token_ids) == 16 or sample.token_ids[-1] == EOS


def test_a_token_of_the_request_ends_an_answer_beside_the_models_own(engine: Engine) -> None:
    """And only there: the request beside it goes on."""
    [[free]] = engine.generate([greedy()])
    token = free.token_ids[3]
    first = free.token_ids.index(token)
    [[stopped]], [[other]] = (
        engine.generate([greedy(stop_ids=(token,)), greedy()])[place : place + 1] for place in (0, 1)
    )
    assert stopped == Completion(free.token_ids[: first + 1], truncated=False)
    assert other.token_ids == free.token_ids


def test_answers_come_as_they_are_done_and_all_of_them(engine: Engine) -> None:
    requests = [request(max_new_tokens=16), request(samples=2, max_new_tokens=1), greedy(samples=3, max_new_tokens=4)]
    whole = engine.generate(requests)
    streamed = list(engine.stream(requests))
    assert sorted(index for index, _ in streamed) == [0, 1, 2]
    assert [samples for _, samples in sorted(streamed, key=lambda item: item[0])] == whole


def test_who_stops_reading_leaves_no_request_behind(engine: Engine) -> None:
    [whole] = engine.generate([greedy()])
    answers = engine.stream([request(max_new_tokens=200), greedy(max_new_tokens=1)])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert engine.generate([greedy()]) == [whole]
