"""A real winnow server: uvicorn on the loopback, in its own thread.

with serving(settings) as server:
    server.post("/v1/ask", json={"question": "…"})      # an httpx2 client's methods, at this server
    server.url, server.pipeline
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.pipeline_documents import DOCUMENTS
from winnow import RAGPipeline, Settings
from winnow.server.app import create_app
from winnow.server.run import address, bound, server

QUESTION = "Can a reranker bring back a passage that retrieval missed?"


class Server(httpx2.Client):
    """A client of a running server."""

    def __init__(self, url: str, pipeline: RAGPipeline) -> None:
        super().__init__(base_url=url, timeout=60)
        self.url = url
        self.pipeline = pipeline


def ingested(folder: Path, **chosen: Any) -> Path:
    """Ingest the documents into a data folder below `folder`, with any settings.

    The collection is `default`, if they name no other.
    """
    docs = folder / "docs 文档"
    docs.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        (docs / name).write_text(text, encoding="utf-8")
    data = folder / "data"
    with RAGPipeline.from_settings(Settings.load(data_dir=data, **chosen)) as pipeline:
        assert pipeline.ingest(docs).totals["ingested"] == len(DOCUMENTS)
    return data


@contextmanager
def serving(
    settings: Settings,
    pipeline: RAGPipeline | None = None,
    *,
    for_agents: bool = False,
    until_ready: bool = True,
) -> Iterator[Server]:
    """Serve on a free port until the block ends; `settings` configure the rest."""
    own = pipeline or RAGPipeline.from_settings(settings)
    with own, bound("127.0.0.1", 0) as listener:
        application = create_app(own, for_agents=for_agents)
        running = server(application, 10)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with Server(address(listener), own) as client:
                if until_ready:
                    _until_ready(client)
                yield client
        finally:
            running.should_exit = True
            thread.join()
            application.state.served.jobs.finish()


def _until_ready(client: httpx2.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server is not ready: {client.get('/readyz').text}")


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream: name and data."""
    import json

    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found
