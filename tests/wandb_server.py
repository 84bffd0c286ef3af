"""A small W&B on loopback: as much of its API as wandb 0.31 needs to send runs, tables and views; all in memory.

    server = Server(); server.start() ... server.url, server.key

Runs come by GraphQL (`UpsertBucket`), history and summary by the file stream, files and artifacts by PUT.
"""

import base64
import gzip
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

KEY = "k" * 40


@dataclass
class SentRun:
    """What arrived of a run."""

    about: dict[str, Any] = field(default_factory=dict)  # displayName, groupName, jobType, tags
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    def table(self, name: str) -> dict[str, Any]:
        """Columns and data of a table of the summary."""
        return json.loads(self.files[self.summary[name]["path"]])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[tuple[str, str], SentRun] = {}  # by project and id
        self.deleted: set[str] = set()  # run ids that were deleted
        self.views: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.requests = 0  # that changed something
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self, key: str = KEY) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": key}

    def handle_error(self, request: Any, client_address: Any) -> None:  # a client that was killed
        pass

    def graphql(self, name: str, given: dict[str, Any], query: str) -> dict[str, Any]:
        """The `data` of an answer."""
        if name == "UpsertBucket":
            return {"upsertBucket": {"inserted": True, "bucket": self.upsert(given)}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": self.place("files", given, file)} for file in given["files"]]
            return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            artifact = {"id": given["input"]["artifactCollectionName"], "state": "PENDING"}
            return {
                "createArtifact": {"artifact": artifact | {"artifactSequence": {"id": "s", "latestArtifact": None}}}
            }
        if name in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            file = {"id": "f", "uploadUrl": f"{self.url}/manifest/{given.get('artifactID')}", "uploadHeaders": []}
            key = name[0].lower() + name[1:]
            return {key: {"artifactManifest": {"id": given.get("artifactID"), "file": file}}}
        if name == "CreateArtifactFiles":
            nodes = [{"node": self.artifact_file(item)} for item in given["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": nodes}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}
        if name == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if name == "Viewer":
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        return self.graphql_of_views(given, query)

    def graphql_of_views(self, given: dict[str, Any], query: str) -> dict[str, Any]:
        """What wandb_workspaces asks; its queries have no names of their own here."""
        if "upsertView" in query:
            view = given | {"id": given.get("id") or f"view-{len(self.views)}", "name": given.get("name") or "name"}
            self.views[view["id"]] = view
            project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
            return {"upsertView": {"view": view | {"project": project, "updatedAt": None}, "inserted": True}}
        if "internalId" in query:
            return {"project": {"id": "p", "internalId": "p"}}
        if "models" in query or "projects" in query:
            return {"models": {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}
        return {}

    def upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.setdefault((given["project"], given["name"]), SentRun())
        run.about |= {name: value for name, value in given.items() if value is not None}
        if given.get("config"):
            run.config = {name: item["value"] for name, item in json.loads(given["config"]).items()}
        project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": given["entity"] or "me"}}
        fields = {"id": given["name"], "name": given["name"], "displayName": given["displayName"], "description": ""}
        return fields | {"config": given["config"], "sweepName": None, "historyLineCount": 0, "project": project}

    def place(self, kind: str, given: dict[str, Any], file: str) -> str:
        return f"{self.url}/{kind}/{given['project']}/{given['run']}/{file}"

    def artifact_file(self, item: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/artifact/{item['artifactID']}/{item['name']}"
        node = {"id": "f", "uploadUrl": url, "uploadHeaders": [], "storagePath": "x", "uploadMultipartUrls": None}
        return node | {"artifact": {"id": item["artifactID"]}}

    def stream(self, project: str, run_id: str, sent: dict[str, Any]) -> None:
        """A piece of the file stream: lines that replace what there is from their offset on."""
        run = self.runs[project, run_id]
        for name, piece in sent.get("files", {}).items():
            lines = [json.loads(line) for line in piece["content"]]
            if name == "wandb-history.jsonl":
                run.history[piece["offset"] :] = lines
            elif name == "wandb-summary.json":
                run.summary = lines[-1]
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        token = base64.b64encode(f"api:{KEY}".encode()).decode()
        if self.path.startswith("/sdk/"):  # telemetry
            return self.answer({})
        if self.headers.get("Authorization") != f"Basic {token}":
            return self.answer({"errors": [{"message": "user is not logged in"}]}, 401)
        asked = json.loads(body)
        with self.server.lock:
            if self.path == "/graphql":
                name, given = asked.get("operationName") or "", asked.get("variables") or {}
                if given.get("name") in self.server.deleted:
                    said = f"run {given['name']} was previously created and deleted; try a new run name"
                    return self.answer({"errors": [{"message": said}]}, 409)
                self.server.requests += "mutation" in asked["query"]
                return self.answer({"data": self.server.graphql(name, given, asked["query"])})
            _, _, _, project, run_id, _ = self.path.split("/")
            self.server.requests += 1
            self.server.stream(project, run_id, asked)
        return self.answer({})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, *path = unquote(self.path).strip("/").split("/")
        with self.server.lock:
            self.server.requests += 1
            if kind == "files":
                project, run_id, *name = path
                self.server.runs[project, run_id].files["/".join(name)] = body
            else:
                self.server.artifacts["/".join([kind, *path])] = body
        self.answer({})

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
