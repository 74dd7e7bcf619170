"""The part of the Hugging Face hub's protocol that its library speaks when models are pushed and fetched."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
from typing import Any


class Hub(http.server.ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        commits: files by name, by commit, by repository; the last commit is `main`.
        stored: large files by digest.
        asked: method and path of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Add a commit with files over those of the last one."""
        commits = self.commits.setdefault(repository, {})
        files = {**(list(commits.values())[-1] if commits else {}), **files}
        name = hashlib.sha1(f"{len(commits)}{sorted(files)}".encode()).hexdigest()
        commits[name] = files
        return name


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/repos/create":
            about = json.loads(body)
            name = f"{about['organization']}/{about['name']}"
            self.server.commits.setdefault(name, {})
            self._answer({"url": f"{self.server.url}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/(.+?)/preupload/main", self.path):
            files = [each["path"] for each in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in files}
            told = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            self._answer({"files": told})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/(.+?)/commit/main", self.path):
            files = {}
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.stored[value["oid"]]
            oid = self.server.commit(match[1], files)
            self._answer({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{match[1]}/commit/{oid}"})
        else:
            self._answer({}, 404)

    def do_PUT(self) -> None:
        self.server.stored[self.path.rpartition("/")[2]] = self._body()
        self._answer({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/([^/?]+)", self.path)
        repository, revision, name = match.groups() if match else ("", "", "")
        commits = self.server.commits.get(repository)
        if not commits:
            return self._answer({}, 404, {"X-Error-Code": "RepoNotFound"})
        revision = list(commits)[-1] if revision == "main" else revision
        if revision not in commits:
            return self._answer({}, 404, {"X-Error-Code": "RevisionNotFound"})
        content = commits[revision].get(name)
        headers = {"X-Repo-Commit": revision}
        if content is None:
            return self._answer({}, 404, {**headers, "X-Error-Code": "EntryNotFound"})
        digest = hashlib.sha256(content).hexdigest()
        self._answer(content, 200, {**headers, "ETag": f'"{digest}"', "X-Linked-Size": str(len(content))})

    def _body(self) -> bytes:
        self.server.asked.append(f"{self.command} {self.path}")
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
