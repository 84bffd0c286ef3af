"""A server on loopback that answers as the Hugging Face hub does, and processes that ask it."""

import hashlib
import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = ".gated"  # a file of this name: the repository is shown, and its files are not given
ASK = """
import sys
from base64 import b64decode
from em.errors import InputError
from em.model import checkpoint
from em.trial.model import Model
model = Model(path=sys.argv[2], revision=sys.argv[3])
try:
    if sys.argv[1] == "check":
        checkpoint.check_available(model, sys.argv[4])
    else:
        print(*sorted(path.name for path in checkpoint.checkpoint_folder(model).iterdir()))
except InputError as error:
    print("error:", error)
"""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, root: Path, asked: list[str], *arguments: object) -> None:
        self.root, self.asked = root, asked
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        if self.path.startswith("/api/whoami"):
            known = bool(self.headers.get("Authorization"))
            self.send(200 if known else 401, json.dumps({"name": "me", "type": "user"}).encode())
        else:
            self.answer()

    def answer(self) -> None:
        path = self.path.split("?")[0].strip("/")
        self.asked.append(f"{self.command} {path}")
        api = path.startswith("api/")
        words = path.removeprefix("api/models/").split("/")
        folder = self.root / "/".join(words[:2])
        revision = words[3] if len(words) > 3 else "main"
        headers, content, status = {}, b"", 200
        if not folder.is_dir():
            status, headers = 404, {"X-Error-Code": "RepoNotFound"}
        elif revision not in ("main", COMMIT):
            status, headers = 404, {"X-Error-Code": "RevisionNotFound"}
        elif api:
            files = [(file.name, file.stat().st_size) for file in sorted(folder.iterdir())]
            tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in files]
            about = {"id": folder.name, "sha": COMMIT, "siblings": [{"rfilename": name} for name, _ in files]}
            content = json.dumps(tree if "/tree/" in path else about).encode()
        elif (folder / GATED).exists():
            status, headers = 403, {"X-Error-Code": "GatedRepo"}
        else:
            content = (folder / words[-1]).read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self.send(status, content, **headers)

    def do_POST(self) -> None:
        """A new repository; whether a card is sound; which files go into a commit as they are: all; the commit."""
        path, content = self.path.split("?")[0].strip("/"), self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(f"POST {path}")
        host = f"http://{self.headers['Host']}"
        name = "/".join(path.removeprefix("api/models/").split("/")[:2])
        if path == "api/repos/create":
            about = json.loads(content)
            name = "/".join(filter(None, [about.get("organization"), about["name"]]))
            (self.root / name).mkdir(parents=True, exist_ok=True)
            made = {"url": f"{host}/{name}", "name": name, "id": name, "private": about.get("private")}
        elif path == "api/validate-yaml":  # of a model card
            made = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            files = [item["path"] for item in json.loads(content)["files"]]
            made = {"files": [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]}
        else:
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    (self.root / name / line["value"]["path"]).write_bytes(b64decode(line["value"]["content"]))
            made = {"success": True, "commitOid": COMMIT, "commitUrl": f"{host}/{name}/commit/{COMMIT}"}
        self.send(200, json.dumps(made).encode())

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


class Hub:
    """A folder of repositories, OWNER/NAME, and the environment of processes for which they are the hub's."""

    def __init__(self, folder: Path, port: int, asked: list[str]) -> None:
        self.root, self.asked = folder / "hub", asked
        own = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(folder / "home")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "EM_"))}
        cache = {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
        self.environment = kept | own | cache | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def start(self, verb: str, name: str, revision: str = "main", place: str = "") -> Callable[[], str]:
        """A process that asks for a model (`get`) or whether it is to be had (`check`); call for what it says."""
        words = [sys.executable, "-c", ASK, verb, name, revision, place]
        environment = self.environment | ({"EM_MODELS": place} if place else {})
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)

        def said() -> str:
            output = process.communicate(timeout=60)[0].strip()
            assert process.returncode == 0
            return output

        return said

    def get(self, name: str, revision: str = "main", place: str = "") -> str:
        return self.start("get", name, revision, place)()

    def check(self, name: str, revision: str = "main", place: str = "") -> str:
        return self.start("check", name, revision, place)()

    def downloads(self) -> list[str]:
        """The files whose content was asked for."""
        return [path.split("/")[-1] for path in self.asked if path.startswith("GET ") and "/resolve/" in path]


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    asked = list[str]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, folder / "hub", asked))
    Thread(target=server.serve_forever, daemon=True).start()
    yield Hub(folder, server.server_port, asked)
    server.shutdown()
    server.server_close()
