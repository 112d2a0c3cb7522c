"""The work that `benchmarks.kills` kills: each function does one kind of it on a folder that it prepares.

A victim prints `ready` before it begins, and `shown ID` for whatever it has shown or accepted.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.tuning import Tuning
from tests.support import lessons, tiny_models
from tests.support.reindexing import encoders, pipeline, write
from winnow import RAGPipeline

DOCUMENTS = range(30)
QUESTION = "the dog 7"


def say(word: str, *more: str) -> None:
    print(word, *more, flush=True)


def opened(folder: Path) -> RAGPipeline:
    """The pipeline of a folder, with its small encoder."""
    return pipeline(folder / "data", folder / "encoders" / "one")


def prepare(folder: Path) -> None:
    """Documents, a collection of most of them, and three answers."""
    one, _ = encoders(folder)
    (folder / "encoders").mkdir()
    shutil.copytree(one, folder / "encoders" / "one")
    write(folder / "docs", *DOCUMENTS)
    with opened(folder) as rag:
        rag.ingest(folder / "docs")
        for _ in range(3):
            rag.ask(QUESTION)
    write(folder / "more", *range(100, 130))
    lessons.write(folder / "lessons.jsonl", range(40))
    tiny_models.bert(folder / "base")


def ingest(folder: Path) -> None:
    with opened(folder) as rag:
        say("ready")
        rag.ingest([folder / "docs", folder / "more"])


def reindex(folder: Path) -> None:
    with opened(folder) as rag:
        say("ready")
        rag.ingest(reindex=True)


def ask(folder: Path) -> None:
    with opened(folder) as rag:
        rag.warm()
        say("ready")
        for _ in range(30):
            say("shown", rag.ask(QUESTION).id)


def replay(folder: Path) -> None:
    with opened(folder) as rag:
        original = rag.log.list(1)[0].id
        say("ready")
        for _ in range(30):
            say("shown", rag.log.replay(original, "none").answer.id)


def delete(folder: Path) -> None:
    """Ten documents, then the collection; what a killed run has begun counts as asked for."""
    with opened(folder) as rag:
        say("ready")
        for number in range(10):
            rows = [row for row in rag.wiring.manifest().rows() if row.source.endswith(f"/{number}.md")]
            for row in rows:
                rag.wiring.collections.remove("default", row)


def drop(folder: Path) -> None:
    with opened(folder) as rag:
        say("ready")
        if "default" in rag.wiring.stores.names() or rag.wiring.deletions.of("default"):
            rag.wiring.collections.drop("default")


def migrate(folder: Path) -> None:
    from storage.database import Database

    say("ready")
    Database.open(folder / "data" / "winnow.db").close()


def graph(folder: Path) -> None:
    stores = EdgeStores(folder / "data" / "collections", tuning=Tuning(indexing_threshold_kb=1))
    with closing(stores.open("default")) as store:
        say("ready")
        if not store.has_graph:
            store.build_graph()


def train(folder: Path) -> None:
    from winnow.cli.app import app

    say("ready")
    if (folder / "model").exists():
        return
    words = ["train", folder / "lessons.jsonl", "--base", folder / "base", "-o", folder / "model"]
    words += ["--epochs", 1, "--batch", 4, "--checkpoint-steps", 3, "--data-dir", folder / "data"]
    app([str(word) for word in words])


def _served(folder: Path) -> Iterator[httpx2.Client]:
    from tests.support.serving import serving

    rag = opened(folder)
    with serving(rag.settings, rag) as server:
        yield server


def serve(folder: Path) -> None:
    for server in _served(folder):
        say("ready")
        for _ in range(30):
            say("shown", server.post("/v1/ask", json={"question": QUESTION}).json()["id"])


def upload(folder: Path) -> None:
    """Upload; where the queue is full, again a moment later."""
    for server in _served(folder):
        say("ready")
        for number in range(12):
            file = {"file": (f"up{number}.md", f"# Up {number}\n\nThe boat {number} sails.\n".encode())}
            while server.post("/v1/ingest", files=file).status_code != 202:
                time.sleep(0.05)
            say("accepted", f"up{number}.md")
        _wait_for_jobs(server)


def take_up(folder: Path) -> None:
    """Start a server that finishes what an earlier one accepted."""
    for server in _served(folder):
        say("ready")
        _wait_for_jobs(server)


def _wait_for_jobs(server: httpx2.Client) -> None:
    while any(job["status"] in ("queued", "running") for job in _jobs(server)):
        time.sleep(0.05)


def _jobs(server: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get("/v1/ingest").json()["jobs"]
    return found


VICTIMS: dict[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (ingest, reindex, ask, replay, delete, drop, upload, migrate, train, serve, graph)
}

if __name__ == "__main__":
    {**VICTIMS, "take_up": take_up}[sys.argv[1]](Path(sys.argv[2]))
