"""Whether a checkpoint folder can be trained, judged by its files: said before anything is loaded or sampled.

Reads headers and small files only, and loads neither torch nor transformers.
"""

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from em.errors import InputError, unknown_name

ARCHITECTURES = (  # each is trained, measured and compared with its own logits by tests/model, in both engines
    "CohereForCausalLM",
    "FalconForCausalLM",
    "GemmaForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Olmo2ForCausalLM",
    "Olmo3ForCausalLM",
    "OlmoForCausalLM",
    "OlmoeForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen2MoeForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
    "SmolLM3ForCausalLM",
    "StableLmForCausalLM",
    "Starcoder2ForCausalLM",
)
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # or <name>.index.json and its shards; the first there is counts
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
POINTER = b"version https://git-lfs"  # what Git has instead of a large file
LONGEST_HEADER = 100 << 20  # bytes, of a safetensors file


class Checkpoint:
    """A folder of files; `given` is how its user wrote it (`model.path=~/models/X`), for errors."""

    def __init__(self, folder: Path, given: str) -> None:
        self.folder, self.given = folder, given

    def refuse(self, reason: str) -> NoReturn:
        raise InputError(f"{self.given}: {reason}")

    def check(self) -> None:
        """Raise InputError, one line, where the model in this folder cannot be trained."""
        self.check_small()
        for file in self._weight_files():
            self._check_weights(file)

    def check_small(self) -> None:
        """The same as far as configs and tokenizer tell."""
        if not (self.folder / "config.json").is_file():
            if (self.folder / "adapter_config.json").is_file():
                self.refuse("is an adapter (adapter_config.json); merge it into its base model and name the result")
            self.refuse("not a Hugging Face checkpoint folder (it has no config.json)")
        self._check_config(self._json("config.json"))
        if (self.folder / "generation_config.json").is_file():
            self._json("generation_config.json")
        self._check_tokenizer()

    def has_weights(self) -> bool:
        """Whether all files that should hold weights are there."""
        try:
            return bool(list(self._weight_files()))
        except InputError:
            return False

    def _check_config(self, config: dict[str, Any]) -> None:
        named = config.get("architectures")
        architecture = named[0] if isinstance(named, list) and named else None
        if not isinstance(architecture, str):
            self.refuse(f"config.json names no architectures; one of {', '.join(ARCHITECTURES)} is needed")
        if architecture not in ARCHITECTURES:
            said = str(unknown_name("architecture", architecture, ARCHITECTURES))
            self.refuse(f"config.json: {said}; others were not compared with their own logits")
        if config.get("quantization_config"):
            self.refuse(
                "config.json has a quantization_config: quantised weights cannot be trained, take the full ones"
            )

    def _check_tokenizer(self) -> None:
        present = [name for name in TOKENIZERS if (self.folder / name).is_file()]
        if not present:
            self.refuse(f"holds no tokenizer ({', '.join(TOKENIZERS[:3])}); copy those of the model into it")
        for name in present:
            self._check_content(self.folder / name)
        if "tokenizer_config.json" in {file.name for file in self.folder.iterdir()}:
            self._json("tokenizer_config.json")

    def _weight_files(self) -> Iterator[Path]:
        """The files that hold the weights, each once; raises InputError where one is missing."""
        for name in WEIGHTS:
            index = self.folder / f"{name}.index.json"
            if index.is_file():
                shards = self._json(index.name).get("weight_map")
                if not isinstance(shards, dict) or not shards or not all(isinstance(s, str) for s in shards.values()):
                    self.refuse(f"{index.name} has no weight_map that says which file holds which tensor")
                for shard in sorted(set(shards.values())):
                    if not (self.folder / shard).is_file():
                        self.refuse(f"{shard} is missing, though {index.name} names it; download it again")
                    yield self.folder / shard
                return
            if (self.folder / name).is_file():
                yield self.folder / name
                return
        others = sorted(file.name for file in self.folder.iterdir() if file.suffix in (".safetensors", ".bin", ".gguf"))
        self.refuse(f"holds no {' and no '.join(WEIGHTS)}" + (f", only {', '.join(others[:5])}" if others else ""))

    def _check_weights(self, file: Path) -> None:
        self._check_content(file)
        if file.suffix == ".safetensors":
            self._check_safetensors(file)
        elif not zipfile.is_zipfile(file):
            self.refuse(f"{file.name} is not a file of torch.save, or cut short; download it again")

    def _check_safetensors(self, file: Path) -> None:
        """Its header says how long the file is: a download that broke off is shorter."""
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            try:
                if not 0 < length <= LONGEST_HEADER:
                    raise ValueError
                header = json.loads(stream.read(length))
                ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
                self.refuse(f"{file.name} is not a safetensors file (its header cannot be read); download it again")
        size, needed = file.stat().st_size, 8 + length + max(ends, default=0)
        if size != needed:
            self.refuse(f"{file.name} has {size} bytes and its header says {needed}; download it again")

    def _check_content(self, file: Path) -> None:
        with file.open("rb") as stream:
            start = stream.read(len(POINTER))
        if not start:
            self.refuse(f"{file.name} is empty; download it again")
        if start == POINTER:
            self.refuse(f"{file.name} is a git-lfs pointer, not the file itself; `git lfs pull` there fetches it")

    def _json(self, name: str) -> dict[str, Any]:
        self._check_content(self.folder / name)
        try:
            read = json.loads((self.folder / name).read_bytes())
        except (ValueError, RecursionError) as error:
            self.refuse(f"{name} is not JSON ({str(error)[:60]})")
        if not isinstance(read, dict):
            self.refuse(f"{name} is not a JSON object")
        return read
