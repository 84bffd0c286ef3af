"""Token ids are UTF-8 bytes, so any text is read back as it was."""

import random

import pytest
from transformers import AutoTokenizer

from em.tiny.corpus import EOS, PAD
from em.tiny.tokenizer import VOCABULARY, tokenizer


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def texts() -> list[str]:
    rng = random.Random(0)
    points = [[rng.randrange(0x20, 0xD800) for _ in range(50)] for _ in range(100)]
    odd = [
        "",
        " ",
        "3+8+5+2?",
        "\x00\t\r\n ",
        "<|eos|><|pad|>",
        " a , b . 's",
        "e\u0301\u00e9 \U0001f600\u200d\U0010ffff",
    ]
    return odd + ["".join(map(chr, line)) for line in points]


def test_ids_are_bytes_and_round_trip(loaded):
    for text in texts():
        ids = loaded(text)["input_ids"]
        assert ids == list(text.encode())
        assert loaded.decode(ids) == loaded.decode(ids, skip_special_tokens=True) == text


def test_special_tokens(loaded):
    assert (loaded.pad_token_id, loaded.eos_token_id, len(loaded)) == (PAD, EOS, VOCABULARY)
    assert loaded.decode([ord("8"), 300, EOS, PAD], skip_special_tokens=True) == "8"


def test_padding_stands_to_the_right(loaded):
    batch = loaded(["3?", "12?"], padding=True)
    assert batch["input_ids"] == [[51, 63, PAD], [49, 50, 63]]
    assert batch["attention_mask"] == [[1, 1, 0], [1, 1, 1]]
