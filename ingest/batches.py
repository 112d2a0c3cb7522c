"""Encodes passages in batches across documents and writes them in a thread of its own.

The order of writing makes a kill harmless. For each batch: documents that begin are noted as pending; their
passages are stored; passages that a finished document no longer has are deleted; and only then does the
manifest list the document as ingested. The next run does again what was cut off, under the same ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from storage.manifest.manifest import PENDING, DocumentRow, Manifest
from storage.qdrant.contract import Writer
from storage.records import Chunk, Outcome, Usage
from storage.vectors import Point, TermEncoder, TextEncoder, payload_bytes

_NOTHING_PAID = Usage()

# The write-ahead log keeps everything until a flush, at somewhat more than this size.
_FLUSH_BYTES = 256 << 20


def pending(id: str, source: str) -> DocumentRow:  # noqa: A002 - the field's own name
    """The row of a document of which some or all passages may be in the store."""
    return DocumentRow(id=id, source=source, content_hash="", status=PENDING)


@dataclass(frozen=True, slots=True)
class Closing:
    """A complete document: its row for the manifest, None to remove it; `had_passages` says that older
    passages of it may be in the store."""

    id: str
    row: DocumentRow | None
    had_passages: bool


@dataclass(slots=True)
class Batch:
    """Points and rows that are written together."""

    points: list[Point] = field(default_factory=list)
    openings: list[DocumentRow] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.points or self.openings or self.closings)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Points; `legible` says for each passage that the encoder could read it.

    `cut` are the indices of passages longer than the encoder reads, `usage` what an endpoint was paid.
    """

    points: list[Point]
    legible: list[bool]
    cut: frozenset[int] = frozenset()
    usage: Usage = _NOTHING_PAID


@dataclass(frozen=True, slots=True)
class Embedder:
    """Makes points of passages. Those that the encoder cannot read get a lexical vector only."""

    encoder: TextEncoder
    lexical: TermEncoder
    tokens: bool = field(kw_only=True)

    def encode(self, chunks: Sequence[Chunk]) -> Encoded:
        """The points of passages, in their order, and which of them the encoder could read."""
        texts = [chunk.encoded_text for chunk in chunks]
        legible = [self.encoder.reads(text) for text in texts]
        readable = [text for text, reads in zip(texts, legible, strict=True) if reads]
        encodings = iter(self.encoder.encode_passages(readable, tokens=self.tokens) if readable else ())
        points = []
        cut: set[int] = set()
        usage = _NOTHING_PAID
        for place, (chunk, text, reads) in enumerate(zip(chunks, texts, legible, strict=True)):
            encoding = next(encodings) if reads else None
            if encoding:
                usage += encoding.usage
                if encoding.truncated:
                    cut.add(place)
            points.append(
                Point(
                    chunk if reads else replace(chunk, legible=False),
                    self.lexical.encode_passage(text),
                    dense=encoding.dense if encoding else None,
                    tokens=encoding.tokens if encoding else None,
                )
            )
        return Encoded(points, legible, frozenset(cut), usage)


class Situates(Protocol):
    """Writes a line about each passage of whole documents; a run has one, if any."""

    def lines(self, documents: Sequence[Sequence[Chunk]]) -> Mapping[str, str]:
        """The lines by the passages' ids; one that could not be written is left out, and the outcome says
        why."""
        ...

    @property
    def outcome(self) -> Outcome:
        """The result so far, and what it cost."""
        ...


class Sink:
    """Writes batches in order in a thread of its own, which is at most one batch behind."""

    def __init__(self, store: Writer, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._thread = ThreadPoolExecutor(1, "ingest-writer")
        self._writing: Future[None] | None = None
        self._unflushed = 0

    def put(self, batch: Batch) -> None:
        """Write in the background after waiting for the batch before; raises what writing that one raised."""
        self.wait()
        if not batch.empty:
            self._writing = self._thread.submit(self._write, batch)

    def wait(self) -> None:
        """Wait until everything is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait for the write in progress, whatever its result."""
        self._thread.shutdown(wait=True)

    def _write(self, batch: Batch) -> None:
        if batch.openings:
            self._manifest.put_many(batch.openings)
        if batch.points:
            self._store.upsert(batch.points)
            self._flush_by_volume(batch.points)
        for closing in batch.closings:
            if closing.had_passages:
                self._store.delete_document(
                    closing.id, keep=set(closing.row.chunk_ids) if closing.row else ()
                )
        gone = {closing.id for closing in batch.closings if closing.row is None}
        for id_ in sorted(gone):  # before the row of the file that they were records of
            self._manifest.remove(id_)
        if rows := [closing.row for closing in batch.closings if closing.row and closing.id not in gone]:
            self._manifest.put_many(rows)

    def _flush_by_volume(self, points: Sequence[Point]) -> None:
        self._unflushed += payload_bytes(points)
        if self._unflushed >= _FLUSH_BYTES:
            self._store.flush()
            self._unflushed = 0
