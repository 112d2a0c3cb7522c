"""A site of the tests' own on the loopback: pages with what a server says of them, and what was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ingest.sources.fetching import fetch
from ingest.sources.mirror import Mirror

TORQUE = b"<title>Pump</title><p>The torque is 25 Nm."


@dataclass(frozen=True, slots=True)
class Page:
    """What is sent for a path; a page with an ETag is not sent again to who has it."""

    body: bytes = b""
    mime: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class LocalSite:
    """`pages` by path, with a query by how it begins; `asked` is every request's status and path."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[int, str]] = field(default_factory=list)


@contextmanager
def local_site(pages: Mapping[str, Page] | None = None) -> Iterator[LocalSite]:
    """Serve pages until the block ends; they may be changed meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = site.pages.get(self.path) or next(
                (page for path, page in site.pages.items() if "?" in path and self.path.startswith(path)),
                None,
            )
            page = known or Page(b"no such page", status=404)
            tag = page.headers.get("ETag")
            status = 304 if tag and self.headers.get("If-None-Match") == tag else page.status
            site.asked.append((status, self.path))
            self.send_response(status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Type", page.mime)
                self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if status != 304:
                self.wfile.write(page.body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = LocalSite(f"http://127.0.0.1:{server.server_port}", dict(pages or {}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fetched(url: str, mirrors: Mirror) -> tuple[list[Path], dict[str, str]]:
    """Return the copies of a page or sitemap, and why each of the others was not had."""
    paths, left = fetch([url], mirrors.folder, private=True)
    return paths, {one.url: one.reason for one in left}
