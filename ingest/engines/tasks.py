"""What the run hands to its parsers, and what it gets back: plain records that cross a process boundary."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.chunking.chunker import ChunkSizes
from ingest.loaders.base import Columns
from ingest.loaders.limits import Limits
from storage.records import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a parser needs to know once: how the encoder counts, how passages are cut, what is too much."""

    tokenizer_json: str
    max_tokens: int
    sizes: ChunkSizes = field(default_factory=ChunkSizes)
    limits: Limits = field(default_factory=Limits)
    columns: Columns | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A file to parse; `path` is absolute, `source` its name in the collection (a posix path)."""

    path: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A document cut into passages. A file of records gives many, each with a source of its own."""

    id: str
    source: str
    title: str
    mime: str
    content_hash: str
    chunks: tuple[Chunk, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be ingested: the stable short word, and the sentence that names the file."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """Everything in the file was handed over. `content_hash` is that of the bytes that were read."""

    content_hash: str
    warnings: tuple[str, ...] = ()


Reply = Parsed | Refused | Done
