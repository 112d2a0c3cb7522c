"""A model hub on the loopback: the part of its protocol that `huggingface_hub` uses, resuming included.

with Hub() as hub:
    hub.repositories["tiny/encoder"] = {"config.json": b"…"}
    hub.stalls["model.safetensors"] = 1000      # sends 1,000 bytes of it, then hangs
        hub.breaks["model.safetensors"] = 1000      # closes the connection after 1,000, once
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The server, in a thread. `asked` holds method, path and range of each request."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    stalls: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, folder: Path, **more: bytes) -> None:
        """Add a repository of a folder's files, and `more` by name."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.repositories[name] = files | more

    def fetched(self, name: str) -> list[str | None]:
        """Return the ranges requested of a file's content."""
        return [
            range_ for method, path, range_ in self.asked if method == "GET" and path.endswith(f"/{name}")
        ]

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], hub: Hub) -> None:
        super().__init__(address, _Handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter for the test's output."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def log_message(self, *args: Any) -> None:
        """Print nothing: requests are in `Hub.asked`."""

    def _serve(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.hub.asked.append((self.command, path, self.headers.get("range")))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/[^/]+)?", path):
            self._listing(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._file(found[1], found[2], with_body=with_body)
        else:
            self._refuse(404, "EntryNotFound")

    def _listing(self, name: str, kind: str | None) -> None:
        hub = self.server.hub
        if name in hub.gated:
            return self._refuse(403, "GatedRepo")
        if name not in hub.repositories:
            return self._refuse(404, "RepoNotFound")
        files = hub.repositories[name]
        if kind == "tree":
            return self._json([_entry(path, content) for path, content in files.items()])
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
        return self._json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})

    def _file(self, name: str, path: str, *, with_body: bool) -> None:
        content = self.server.hub.repositories.get(name, {}).get(path)
        if content is None:
            return self._refuse(404, "EntryNotFound")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or "")
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("etag", f'"{_sha1(content)}"')
        self.send_header("x-repo-commit", COMMIT)
        self.send_header("accept-ranges", "bytes")
        self.send_header("content-length", str(len(content) - start))
        if asked:
            self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not with_body:
            return None
        if (broken := self.server.hub.breaks.pop(path, None)) is not None:
            self.wfile.write(content[start:broken])
            self.close_connection = True
            return None
        until = self.server.hub.stalls.get(path, len(content))
        self.wfile.write(content[start:until])
        self.wfile.flush()
        if until < len(content):
            self.server.hub.closing.wait()
        return None

    def _refuse(self, code: int, reason: str) -> None:
        self._json({"error": reason}, code, {"x-error-code": reason, "x-error-message": reason})

    def _json(self, body: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": _sha1(content)}


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
