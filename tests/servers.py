"""A file server on this machine that breaks off, moves and forgets as real ones do."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` and notes what it was asked for.

    Attributes:
        files: content by path. asked: the Range header of every request, `None` where there was none.
        cut: bytes after which the next answers break off, one entry an answer. ranges: whether it knows ranges.
        tag: the files' ETag. pause: seconds before an answer.
    """

    def __init__(self, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/weights.pt": CONTENT}
        self.asked: list[str | None] = []
        self.cut: list[int] = []
        self.ranges = ranges
        self.tag = '"one"'
        self.pause = 0.0

    def url(self, path: str = "/weights.pt") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", self.server.url())
            self.end_headers()
            return
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        time.sleep(self.server.pause)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", "text/html" if self.path.endswith(".html") else "application/octet-stream")
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        end = start + self.server.cut.pop(0) if self.server.cut else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


def serving(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Runs a server for a test, and sees that nothing keeps the test from reaching it."""
    monkeypatch.delenv("SEDSEP_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def names(folder: Path) -> set[str]:
    """What lies in a folder, locks aside."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}
