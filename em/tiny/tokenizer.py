"""Byte-level tokenizer: token ids 0-255 are the bytes of UTF-8, so that any text can be fed and read back."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from em.tiny.corpus import EOS, PAD

VOCABULARY = 320  # rows of the model's embedding: bytes, PAD, EOS and reserved tokens up to a multiple of 64


def tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer whose pad and eos differ and which never reads special tokens out of a text."""
    alphabet = {symbol: byte for byte, symbol in enumerate(_symbols())}
    core = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|pad|>", "<|eos|>", *(f"<|reserved_{i}|>" for i in range(EOS + 1, VOCABULARY))])
    assert core.token_to_id("<|pad|>") == PAD
    assert core.token_to_id("<|eos|>") == EOS
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|eos|>",
        padding_side="right",
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )


def _symbols() -> list[str]:
    """The printable stand-in of every byte in the ByteLevel alphabet of GPT-2, in the order of the bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    stand_in = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [stand_in[byte] for byte in range(256)]
