"""Where parsing and encoding happen: in processes of this machine, or wherever another engine puts them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ingest.batches import Embedder, Encoded
from ingest.engines.processes import Pool
from ingest.engines.tasks import Reply, Setup, Task
from storage.records import Chunk


class Parses(Protocol):
    """Takes files and gives back replies, until each file has ended with Done or Refused."""

    @property
    def has_room(self) -> bool: ...

    @property
    def idle(self) -> bool: ...

    def submit(self, task: Task) -> None: ...

    def next_reply(self) -> tuple[Task, Reply]: ...


class Encodes(Protocol):
    def encode(self, chunks: Sequence[Chunk]) -> Encoded:
        """The points to write for passages, and which passages the encoder could read."""
        ...


class Engine(Protocol):
    def parses(self, setup: Setup) -> AbstractContextManager[Parses]: ...

    @property
    def encodes(self) -> Encodes: ...


class LocalEngine:
    """Parser processes on this machine; the encoder in this process."""

    def __init__(self, embedder: Embedder, workers: int) -> None:
        self.encodes: Encodes = embedder
        self._workers = workers

    def parses(self, setup: Setup) -> AbstractContextManager[Parses]:
        return Pool(setup, self._workers)
