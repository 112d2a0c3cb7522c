"""Messages between a run and its parsers, which cross process boundaries, and the contract of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ingest.chunking.sizes import ChunkSizes
from ingest.loaders.base import Columns, Limits
from storage.reasons import Reason
from storage.records import Chunk, Document
from storage.vectors import TokenCounter

if TYPE_CHECKING:  # parser processes need neither the store nor the manifest
    from ingest.batches import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Settings of a parser: the encoder's tokenizer and length, sizes of passages, limits.

    `ocr`: pages that are pictures are read.
    """

    counter: TokenCounter
    max_tokens: int
    sizes: ChunkSizes = field(default_factory=ChunkSizes)
    limits: Limits = field(default_factory=Limits)
    columns: Columns | None = None
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A file to parse; `path` is absolute, `source` its name in the collection (a posix path)."""

    path: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A document cut into passages. A file of records gives many, each with its own source."""

    id: str
    source: str
    title: str
    mime: str
    content_hash: str
    chunks: tuple[Chunk, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Document, chunks: Iterable[Chunk]) -> Parsed:
        """A document's passages without its text."""
        return cls(
            id=document.id,
            source=document.source,
            title=document.title,
            mime=document.mime,
            content_hash=document.content_hash,
            chunks=tuple(chunks),
            warnings=document.warnings,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be ingested; the reason's code is the kind of refusal (`ingest.damaged`, …)."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a file that was read. `content_hash` is that of the bytes that were read."""

    content_hash: str
    warnings: tuple[str, ...] = ()


Reply = Parsed | Refused | Done


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
    """Parses and encodes: in processes of this machine, or on a cluster."""

    def parses(self, setup: Setup) -> AbstractContextManager[Parses]: ...

    @property
    def encodes(self) -> Encodes: ...
