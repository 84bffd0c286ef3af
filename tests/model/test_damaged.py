"""What is wrong with a checkpoint is one line that names the file: by its files alone, or when it is loaded."""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from em.errors import InputError
from em.model.files import Checkpoint
from em.rollout.reader import Reader
from em.train.trainer import Trainer
from em.trial.evaluation import Chat
from em.trial.model import Model
from em.trial.rollout import EngineConfig, EngineName
from tests.model.architectures import random_model, save

ENGINE = EngineConfig(engine=EngineName.transformers, max_model_len=256)
REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}Q: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(random_model("LlamaForCausalLM"), tmp_path / "model")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return save(random_model("LlamaForCausalLM"), tmp_path / "model", max_shard_size="100KB")


def started(folder: Path) -> Trainer:
    """What a launch does with a folder: look at its files, then load tokenizer, model and engine."""
    Checkpoint(folder, f"model.path={folder}").check()
    return Trainer(Model(path=str(folder), digest="0"), ENGINE)


def edit(file: Path, **values: Any) -> None:
    read = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in read.items() if value is not ...}))


def tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    held = load_file(folder / "model.safetensors")
    change(held)
    save_file(held, folder / "model.safetensors", {"format": "pt"})


BY_FILES = {
    "no config": (
        lambda f: (f / "config.json").unlink(),
        "not a Hugging Face checkpoint folder (it has no config.json)",
    ),
    "an adapter": (
        lambda f: (f / "config.json").rename(f / "adapter_config.json"),
        "is an adapter (adapter_config.json); merge it",
    ),
    "config of words": (lambda f: (f / "config.json").write_text("{oh"), "config.json is not JSON (Expecting property"),
    "config of a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is not a JSON object"),
    "no architecture": (lambda f: edit(f / "config.json", architectures=...), "config.json names no architectures"),
    "BLOOM": (
        lambda f: edit(f / "config.json", architectures=["BloomForCausalLM"]),
        "config.json: unknown architecture 'BloomForCausalLM'",
    ),
    "a classifier": (
        lambda f: edit(f / "config.json", architectures=["LlamaForSequenceClassification"]),
        "unknown architecture 'LlamaForSequenceClassification'",
    ),
    "quantised": (
        lambda f: edit(f / "config.json", quantization_config={"quant_method": "awq"}),
        "config.json has a quantization_config: quantised weights cannot be trained",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer (tokenizer.json, tokenizer.model"),
    "no weights": (
        lambda f: (f / "model.safetensors").rename(f / "consolidated.safetensors"),
        "holds no model.safetensors and no pytorch_model.bin, only consolidated.safetensors",
    ),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "model.safetensors is a git-lfs pointer, not the file itself; `git lfs pull` there fetches it",
    ),
    "a pointer instead of the tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "tokenizer.json is a git-lfs pointer",
    ),
    "an empty file": (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
    "cut short": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-5]),
        "bytes and its header says",
    ),
    "no safetensors": (
        lambda f: (f / "model.safetensors").write_bytes(struct.pack("<Q", 5) + b"hello"),
        "model.safetensors is not a safetensors file",
    ),
    "no torch file": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "pytorch_model.bin").write_bytes(b"hello")),
        "pytorch_model.bin is not a file of torch.save, or cut short",
    ),
}
AT_LOAD = {
    "NaN": (
        lambda f: tensors(f, lambda held: held["model.layers.1.mlp.up_proj.weight"].fill_(torch.nan)),
        "model.layers.1.mlp.up_proj.weight holds NaN or infinite numbers",
    ),
    "a tensor less": (
        lambda f: tensors(f, lambda held: held.pop("model.norm.weight")),
        "1 tensors are not in its files: model.norm.weight",
    ),
    "a tensor more": (
        lambda f: tensors(f, lambda held: held.update({"model.layers.2.mlp.up_proj.weight": torch.zeros(2)})),
        "1 tensors are in its files but not in it: model.layers.2.mlp.up_proj.weight",
    ),
    "another shape": (
        lambda f: edit(f / "config.json", hidden_size=32),
        "transformers cannot load it (",
    ),
    "a tokenizer of words": (lambda f: (f / "tokenizer.json").write_text("{oh"), "its tokenizer cannot be loaded ("),
    "ids beyond the embedding": (
        lambda f: (
            edit(f / "config.json", vocab_size=100, eos_token_id=0, pad_token_id=None),
            tensors(f, lambda held: held.update({n: t[:100].clone() for n, t in held.items() if len(t) == 320})),
        ),
        "its tokenizer has ids up to 255, its embedding 100 rows",
    ),
    "an end beyond the embedding": (
        lambda f: (
            edit(f / "config.json", vocab_size=257, eos_token_id=257),
            tensors(f, lambda held: held.update({n: t[:257].clone() for n, t in held.items() if len(t) == 320})),
        ),
        "no answer would end, the end-of-sequence id 257 of its tokenizer or configs is beyond the 257 rows",
    ),
}


@pytest.mark.parametrize("kind", [*BY_FILES, *AT_LOAD])
def test_what_is_wrong_is_one_line(folder, kind):
    harm, message = (BY_FILES | AT_LOAD)[kind]
    harm(folder)
    with pytest.raises(InputError) as raised:
        Checkpoint(folder, f"model.path={folder}").check() if kind in BY_FILES else started(folder)
    assert f"model.path={folder}: " in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_shard_is_named(sharded):
    shards = sorted(sharded.glob("model-*.safetensors"))
    assert len(shards) > 2
    Checkpoint(sharded, "model.path=X").check()
    shards[1].unlink()
    with pytest.raises(InputError, match=f"model.path=X: {shards[1].name} is missing, though model.safetensors.index"):
        Checkpoint(sharded, "model.path=X").check()


def test_files_that_are_right_in_their_own_way(tmp_path, sharded):
    """Shards beside Mistral's own file, torch's format, `inv_freq` tables that old versions saved."""
    (sharded / "consolidated.safetensors").write_bytes(b"other weights by other names")
    started(sharded).close()
    model = random_model("LlamaForCausalLM")
    old = save(model, tmp_path / "old")
    tensors(old, lambda held: held.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}))
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    trainer = started(old)
    assert vars(trainer.policy)["model"].state_dict()["lm_head.weight"].equal(model.state_dict()["lm_head.weight"])
    trainer.close()


def test_gpt2_as_its_hub_has_it(tmp_path):
    """Without a prefix, and with the masks of its time."""
    model = random_model("GPT2LMHeadModel")
    folder = save(model, tmp_path / "model")

    def as_then(held: dict[str, torch.Tensor]) -> None:
        masks = {"h.0.attn.bias": torch.ones(1, 1, 512, 512), "h.1.attn.masked_bias": torch.tensor(-1e4)}
        renamed = {name.removeprefix("transformer."): held.pop(name) for name in list(held)}
        held.update(renamed | masks)

    tensors(folder, as_then)
    trainer = started(folder)
    for name, tensor in vars(trainer.policy)["model"].named_parameters():
        assert tensor.equal(model.get_parameter(name)), name
    trainer.close()


def test_the_ends_of_all_three_files_count(folder):
    """vLLM stops at those of generation_config.json and of the tokenizer; what one engine does, the other does."""
    edit(folder / "generation_config.json", eos_token_id=[10, 46])
    edit(folder / "config.json", eos_token_id=33)
    engine = vars(started(folder).policy)["engine"]
    assert engine.end_ids == {10, 46, 33, AutoTokenizer.from_pretrained(folder).eos_token_id}


def reader(folder: Path, template: str = "") -> Reader:
    if template:
        edit(folder / "tokenizer_config.json", chat_template=template)
    return Reader(folder, Model(path=str(folder), digest="0", chat_template=bool(template)), 256)


def test_a_template_that_refuses_a_system_message_says_so(folder):
    read = reader(folder, REFUSING + "{{ messages[-1].content }}")
    assert read.decode([read.encode("2+2?", 8)]) == ["Q: 2+2?"]
    with pytest.raises(
        InputError, match=r"the template of model refuses the prompt '2\+2\?'... after a system message"
    ):
        read.encode("2+2?", 8, system="Be brief.")
    assert read.encode("2+2?", 8, system="Be brief.", chat=Chat.chatml)


@pytest.mark.parametrize(("text", "message"), [("\ud800", "is no text that a tokenizer reads"), ("", "has no tokens")])
def test_a_prompt_that_cannot_be_read_is_named(folder, text, message):
    with pytest.raises(InputError, match=message):
        reader(folder).encode(text, 8)


def test_a_token_without_a_row_is_named(folder):
    edit(folder / "config.json", vocab_size=259)
    tensors(folder, lambda held: held.update({n: t[:259].clone() for n, t in held.items() if len(t) == 320}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.split_special_tokens = False
    tokenizer.save_pretrained(folder)
    read = reader(folder)
    assert read.encode("2+2?", 8)
    with pytest.raises(InputError, match=r"has the token '<\|reserved_300\|>' with id 300, and the embedding of model"):
        read.encode("2<|reserved_300|>", 8)


def harmed(folder: Path, rng: random.Random) -> str:
    """One random harm to a random file of a checkpoint; returns what it was."""
    file = rng.choice(sorted(folder.iterdir()))
    content = bytearray(file.read_bytes())
    kind = rng.choice(["cut", "flip", "delete", "value", "value", "value", "insert"])
    if kind == "delete":
        file.unlink()
    elif kind == "cut":
        file.write_bytes(content[: rng.randrange(len(content))])
    elif kind == "insert":
        at = rng.randrange(len(content))
        file.write_bytes(bytes(content[:at]) + rng.randbytes(rng.randrange(1, 9)) + bytes(content[at:]))
    elif kind == "flip":
        for _ in range(rng.choice([1, 5, 100])):
            content[rng.randrange(min(len(content), rng.choice([200, 10**9])))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    else:
        file = folder / rng.choice(["config.json", "config.json", "tokenizer_config.json", "generation_config.json"])
        name = rng.choice(sorted(json.loads(file.read_text())))
        value = rng.choice([None, 0, -1, 3, 1e9, "x", [], {}, [1, 2], True, {"a": 1}, ..., 64, 10**6])
        edit(file, **{name: value})
        kind = f"{name}={value!r}"
    return f"{file.name}: {kind}"


def refusal(folder: Path) -> str:
    """The line that is said, or nothing."""
    try:
        started(folder).close()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("part", range(4))
def test_a_harmed_checkpoint_runs_or_is_refused_in_one_line(tmp_path, part):
    whole = save(random_model("LlamaForCausalLM"), tmp_path / "whole")
    kept = {file.name: file.read_bytes() for file in whole.iterdir()}
    refused = 0
    for seed in range(25):
        rng = random.Random(1000 * part + seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        said = harmed(folder, rng)
        message = refusal(folder)
        assert "\n" not in message, said
        assert not message or str(folder) in message or "model=" in message, said
        refused += bool(message)
    assert 5 < refused < 25
