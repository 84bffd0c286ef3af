"""Micro-batches hold every sample once, within their budget, and count what should count."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from em.train.batching import counted_tokens, micro_batches

TOKENS = st.integers(0, 9)  # 0 is also what pads
SAMPLES = st.lists(
    st.tuples(st.lists(TOKENS, min_size=1, max_size=12), st.lists(TOKENS, min_size=1, max_size=12)), max_size=12
)


@settings(deadline=None, derandomize=True)
@given(samples=SAMPLES, max_tokens=st.integers(1, 100), first_token=st.booleans())
def test_every_sample_once_and_exactly_its_own_predictions(samples, max_tokens, first_token):
    prompts, answers = [prompt for prompt, _ in samples], [answer for _, answer in samples]
    batches = list(micro_batches(prompts, answers, max_tokens, first_token))
    expected = sorted(
        (prompt + answer, list(range(len(prompt) - first_token, len(prompt) + len(answer) - 1)))
        for prompt, answer in samples
    )
    found = []
    rows = [row for batch in batches for row in zip(batch.input_BT.tolist(), batch.predicts_BT.tolist(), strict=True)]
    by_length = sorted((prompt + answer for prompt, answer in samples), key=len, reverse=True)
    for (ids, predicts), sample in zip(rows, by_length, strict=True):
        assert not any(ids[len(sample) :])
        found.append((ids[: len(sample)], [position for position, counts in enumerate(predicts) if counts]))
    assert sorted(found) == expected
    assert sum(int(batch.predicts_BT.sum()) for batch in batches) == counted_tokens(answers, first_token)


@settings(deadline=None, derandomize=True)
@given(samples=SAMPLES, max_tokens=st.integers(1, 100))
def test_batches_keep_to_the_budget_and_waste_little(samples, max_tokens):
    batches = list(micro_batches([prompt for prompt, _ in samples], [answer for _, answer in samples], max_tokens))
    for batch in batches:
        rows, width = batch.input_BT.shape
        assert batch.predicts_BT.shape == (rows, width)
        assert rows * width <= max_tokens or rows == 1
    for batch, after in pairwise(batches):
        rows, width = batch.input_BT.shape
        assert after.input_BT.shape[1] <= width
        assert (rows + 1) * width > max_tokens  # one more would not have fitted


def test_positions_of_one_sample():
    [batch] = micro_batches([[5, 6, 7]], [[8, 9]], 100)
    assert batch.input_BT.tolist() == [[5, 6, 7, 8, 9]]
    assert batch.predicts_BT.tolist() == [[False, False, True, True, False]]
    [batch] = micro_batches([[5, 6, 7]], [[8, 9]], 100, first_token=False)
    assert batch.predicts_BT.tolist() == [[False, False, False, True, False]]


def test_no_samples_no_batches():
    assert list(micro_batches([], [], 10)) == []
    assert counted_tokens([]) == 0
