"""Small random checkpoints, so that engines and trainers start in seconds and tests of values need no pretraining."""

import gc
import json
import os
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from em.tiny.corpus import EOS, PAD
from em.tiny.tokenizer import VOCABULARY, tokenizer
from tests import s3_server

torch.set_num_threads(1)  # two workers share two cores

LONGEST = ("test_documented", "test_launch", "test_chaos", "test_extend", "test_select")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, else a worker is left with one alone at the end."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def random_model(tied: bool, seed: int = 0, context: int = 1024) -> Qwen3ForCausalLM:
    """A Qwen3 of random weights, so large that its distributions are far from uniform; the seed decides every bit."""
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        model = Qwen3ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.3, generator=generator)
    return model.eval()


def write_checkpoint(folder: Path, model: Qwen3ForCausalLM) -> Path:
    model.generation_config = GenerationConfig(eos_token_id=EOS, pad_token_id=PAD)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(name="random_model", scope="session")
def random_model_fixture() -> Callable[..., Qwen3ForCausalLM]:
    return random_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(tied=True, seed=0)`: the folder of such a random model, written once."""

    @cache
    def written(tied: bool, seed: int = 0) -> Path:
        return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), random_model(tied, seed))

    return written


@pytest.fixture(scope="module")
def keep() -> Iterator[Callable[[Any], Any]]:
    """Keeps engines and trainers until the module is done: closing one vLLM engine ends all others of its process."""
    kept: list[Any] = []

    def add(item: Any) -> Any:
        kept.append(item)
        return item

    yield add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)  # each engine would do it twice: seconds, with all that vLLM loads
        for item in kept:
            item.close()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    if not all(map(find_spec, ("moto", "flask"))):  # imported here, flask would trip vLLM, which looks at all objects
        pytest.skip("no S3 server: `pip install -e '.[dev]'`")
    with s3_server.served() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty place in a bucket; the environment says how to reach it."""
    for name, value in s3_server.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    s3_server.make_bucket(s3_address, name := f"tests-{uuid.uuid4().hex}")
    return f"s3://{name}/of/results"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`golden(name, values)` compares with what tests/golden/<name>.json holds; numbers within `relative`."""

    def check(name: str, values: dict[str, Any], relative: float = 0.0) -> None:
        path = Path(__file__).parent / "golden" / f"{name}.json"
        if os.environ.get("EM_ACCEPT_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(values, indent=1) + "\n")
        accepted = json.loads(path.read_text()) if path.exists() else {}
        expected = {key: pytest.approx(value, rel=relative, abs=0) for key, value in accepted.items() if relative}
        differing = [
            f"  {key}: accepted {accepted.get(key)}, found {values.get(key)}"
            for key in dict.fromkeys([*accepted, *values])
            if values.get(key) != expected.get(key, accepted.get(key))
        ]
        accept = f"EM_ACCEPT_GOLDEN=1 python -m pytest -n 0 '{request.node.nodeid}'"
        assert not differing, "\n".join([f"{path} differs:", *differing, f"To accept what was found: {accept}"])

    return check
