"""What others wrote to the old generation while it was carried over, brought into the new one after the swap.

An embedded collection is locked for that time; a server keeps nobody out (`storage.qdrant.server.writes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ingest.batches import Embedder
from ingest.report import DocumentResult
from storage.manifest.manifest import DocumentRow, Manifest
from storage.qdrant.contract import CollectionStore
from storage.records import Chunk
from winnow.upkeep.copy_forward import CopiedForward, unlisted_row

_TOGETHER = 128


class LateWrites:
    """The old generation, watched: `known` are its manifest's rows when its documents were last looked at."""

    def __init__(self, old: CollectionStore, manifest: Manifest, known: Mapping[str, DocumentRow]) -> None:
        self._old = old
        self._manifest = manifest
        self._known = known
        self._seen: dict[str, str] = {}

    def chunks(self) -> Iterator[Chunk]:
        """All passages, remembered by id."""
        for chunk in self._old.chunks():
            self._seen[chunk.id] = chunk.document_id
            yield chunk

    def replay(self, target: CollectionStore, manifest: Manifest, embedder: Embedder) -> CopiedForward:
        """Make each document that has changed since what it is in the old generation.

        The file behind one is read again by the next ingest, whatever the manifest held of it.
        """
        done = CopiedForward()
        for document, chunks in self._changed().items():
            ids = [chunk.id for chunk in chunks]
            for start in range(0, len(chunks), _TOGETHER):
                some = chunks[start : start + _TOGETHER]
                # another encoder may read what the old one could not
                encoded = embedder.encode([replace(chunk, legible=True) for chunk in some])
                target.upsert(encoded.points)
                done.embedded += encoded.legible.count(True)
                done.illegible += encoded.legible.count(False)
                done.usage += encoded.usage
            target.delete_document(document, keep=set(ids))
            if chunks:
                manifest.put(unlisted_row(chunks[0], ids))
                done.results.append(_result(chunks))
            else:
                manifest.remove(document)
        return done

    def _changed(self) -> dict[str, list[Chunk]]:
        """By document, in order, its passages now."""
        now = {chunk.id: chunk.document_id for chunk in self._old.chunks()}
        either = self._seen.items() ^ now.items()
        documents = {document for _, document in either} | self._entered()
        found: dict[str, list[Chunk]] = {document: [] for document in documents}
        if documents:
            for chunk in self._old.chunks():
                if chunk.document_id in documents:
                    found[chunk.document_id].append(chunk)
        return {document: sorted(chunks, key=lambda one: one.ordinal) for document, chunks in found.items()}

    def _entered(self) -> set[str]:
        """Documents of which the manifest says something else than before."""
        rows = {row.id: row for row in self._manifest.rows()}
        return {id_ for id_ in rows.keys() | self._known.keys() if rows.get(id_) != self._known.get(id_)}


def _result(chunks: Sequence[Chunk]) -> DocumentResult:
    warning = "it was written while the collections were swapped, and carried over as it was cut"
    return DocumentResult(chunks[0].source, "ingested", "", len(chunks), (warning,))
