"""A pipeline with a chat model whose replies stream, some of them without end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.endpoint import Endpoint, Request, Response, events
from winnow import Settings

QUESTION = "What is rich in potassium?"


def chatting(data: Path, endpoint: Endpoint, folder: Path, **more: object) -> Settings:
    """Settings with a chat model, and a log of their own."""
    return Settings.load(
        data_dir=data, answer={"answerer": "openai"},
        llm={"base_url": endpoint.url, "model": "small", "api_key": "x", "max_retries": 0},
        log={"url": f"sqlite:///{folder}/log.db", **more},
    )  # fmt: skip


class Slow:
    """A reply that never ends by itself, and notices when its reader has gone."""

    def __init__(self) -> None:
        self.sent = 0
        self.left = threading.Event()

    def __call__(self, request: Request) -> Response:
        return Response(lines=_Endless(self), drip=0.01)


class _Endless(Sequence[str]):
    """Pieces without an end. The server slices them, and writes until the connection is closed."""

    def __init__(self, slow: Slow) -> None:
        self._slow = slow
        self._event = events(["word "], finish_reason=None, done=False)[0]

    def __getitem__(self, index: object) -> Iterator[str]:  # type: ignore[override]
        return self._pieces()

    def __len__(self) -> int:
        return sys.maxsize

    def _pieces(self) -> Iterator[str]:
        try:
            while True:
                self._slow.sent += 1
                yield self._event
        finally:  # the server dropped us: writing failed
            self._slow.left.set()


class Shelf:
    """A user's plain retriever."""

    def search(self, query: str, top_k: int) -> list[str]:
        return [f"You asked: {query}"]
