"""Micro-batches hold every sample once, within their budget, and count what should count."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from em.train.batching import MicroBatch
from em.train.batching import micro_batches as batches_of
from em.train.entropy import EntropyMinimisation
from em.trial.sample import Sample

TOKENS = st.integers(0, 9)  # 0 is also what pads
SAMPLES = st.lists(
    st.tuples(st.lists(TOKENS, min_size=1, max_size=12), st.lists(TOKENS, min_size=1, max_size=12)), max_size=12
)


def rollouts(answers: Sequence[list[int]]) -> list[Sample]:
    return [Sample(step=1, prompt=k, token_ids=answer, truncated=False) for k, answer in enumerate(answers)]


def micro_batches(
    prompts: list[list[int]], answers: list[list[int]], max_tokens: int, skipped: int = 0
) -> list[MicroBatch]:
    """Sample k, an answer to prompt k, has the weight k."""
    return list(
        batches_of(prompts, rollouts(answers), {"weight": [float(k) for k in range(len(answers))]}, max_tokens, skipped)
    )


def places_in(batch: MicroBatch, row: int) -> list[int]:
    """The positions of a row that predict."""
    width = batch.input_BT.shape[1]
    return [place % width for place in batch.predicts_N.tolist() if place // width == row]


@settings(deadline=None, derandomize=True)
@given(samples=SAMPLES, max_tokens=st.integers(1, 100), first_token=st.booleans())
def test_every_sample_once_and_exactly_its_own_predictions(samples, max_tokens, first_token):
    prompts, answers = [prompt for prompt, _ in samples], [answer for _, answer in samples]
    batches = list(micro_batches(prompts, answers, max_tokens, int(not first_token)))
    expected = sorted(
        (prompt + answer, list(range(len(prompt) - first_token, len(prompt) + len(answer) - 1)))
        for prompt, answer in samples
    )
    packed = []
    rows = [(ids, places_in(batch, row)) for batch in batches for row, ids in enumerate(batch.input_BT.tolist())]
    by_length = sorted((prompt + answer for prompt, answer in samples), key=len, reverse=True)
    for (ids, predicts), sample in zip(rows, by_length, strict=True):
        assert not any(ids[len(sample) :])
        packed.append((ids[: len(sample)], predicts))
    assert sorted(packed) == expected
    assert sum(len(batch.predicts_N) for batch in batches) == EntropyMinimisation(first_token=first_token).counted(
        rollouts(answers)
    )


@settings(deadline=None, derandomize=True)
@given(samples=SAMPLES, max_tokens=st.integers(1, 100))
def test_batches_keep_to_the_budget_and_waste_little(samples, max_tokens):
    batches = list(micro_batches([prompt for prompt, _ in samples], [answer for _, answer in samples], max_tokens))
    for batch in batches:
        rows, width = batch.input_BT.shape
        assert rows * width <= max_tokens or rows == 1
    for batch, after in pairwise(batches):
        rows, width = batch.input_BT.shape
        assert after.input_BT.shape[1] <= width
        assert (rows + 1) * width > max_tokens  # one more would not have fitted


def test_positions_of_one_sample():
    [batch] = micro_batches([[5, 6, 7]], [[8, 9]], 100)
    assert batch.input_BT.tolist() == [[5, 6, 7, 8, 9]]
    assert places_in(batch, 0) == [2, 3]
    assert batch.targets().tolist() == [8, 9]
    [batch] = micro_batches([[5, 6, 7]], [[8, 9]], 100, 1)
    assert places_in(batch, 0) == [3]


def test_no_samples_no_batches():
    assert micro_batches([], [], 10) == []


def test_each_position_has_the_weight_and_the_log_probability_of_its_sample():
    samples = [
        Sample(step=1, prompt=0, token_ids=[4, 5], truncated=False, logprobs=[-1.0, -2.0]),
        Sample(step=1, prompt=0, token_ids=[6, 7, 8], truncated=False, logprobs=[-3.0, -4.0, -5.0]),
    ]
    [batch] = batches_of([[1, 2]], samples, {"weight": [0.25, 0.5]}, 100)
    assert batch.given["weight"].tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]
    assert batch.given["sampled_logprob"].tolist() == [-3.0, -4.0, -5.0, -1.0, -2.0]
