"""Checkpoints from the hub, against a server on loopback that answers as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file

from tests.model.architectures import random_model, save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOWNLOAD = """
import sys
from em.errors import InputError
from em.model.checkpoint import checkpoint_folder
from em.trial.model import Model
try:
    print(*sorted(path.name for path in checkpoint_folder(Model(path=sys.argv[1])).iterdir()))
except InputError as error:
    print("error:", error)
"""


class Hub(BaseHTTPRequestHandler):
    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        repository = path.removeprefix("api/models/") if path.startswith("api/") else path
        folder = self.root / "/".join(repository.split("/")[:2])
        if not folder.is_dir():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            content = b""
        elif path.startswith("api/"):
            files = [(file.name, file.stat().st_size) for file in sorted(folder.iterdir())]
            tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in files]
            about = {"id": folder.name, "sha": COMMIT, "siblings": [{"rfilename": name} for name, _ in files]}
            content = json.dumps(tree if "/tree/" in path else about).encode()
            self.send_response(200)
        else:
            content = (folder / path.split("/")[-1]).read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder of repositories, owner/name, and the environment in which they are the hub's."""
    root = tmp_path / "hub"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    Thread(target=server.serve_forever, daemon=True).start()
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    yield root, kept | own | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    server.shutdown()
    server.server_close()


def download(name: str, environment: dict[str, str]) -> str:
    words = [sys.executable, "-c", DOWNLOAD, name]
    return subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_one_format_of_weights_is_downloaded(hub):
    root, environment = hub
    folder = save(random_model("LlamaForCausalLM"), root / "owner" / "shards", max_shard_size="100KB")
    for name in ("consolidated.safetensors", "pytorch_model.bin", "flax_model.msgpack", "picture.png"):
        (folder / name).write_bytes(b"never asked for")
    names = download("owner/shards", environment).split()
    assert [name for name in names if name.endswith(("bin", "msgpack", "png"))] == []
    assert len([name for name in names if name.endswith(".safetensors")]) > 2
    assert "consolidated.safetensors" not in names


def test_torch_files_are_taken_where_there_are_no_others(hub):
    root, environment = hub
    folder = save(random_model("LlamaForCausalLM"), root / "owner" / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "pytorch_model.bin" in download("owner/old", environment).split()


def test_what_the_hub_lacks_or_what_cannot_be_trained_is_one_line(hub):
    root, environment = hub
    folder = save(random_model("LlamaForCausalLM"), root / "owner" / "classifier")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForTokenClassification"]}))
    said = download("owner/classifier", environment)
    assert said.startswith("error: model.path=owner/classifier: config.json: unknown architecture 'LlamaForTokenClass")
    said = download("owner/nothing", environment)
    assert said.startswith("error: model.path=owner/nothing: no such folder, and not to be had from the hub (")
    assert "\n" not in said
