"""Copies documents whose files are gone from the collection in use into the one that is being built.

Their text is still in the stored passages, which are encoded again, cut as they were. So a re-index loses
nothing but what cannot be read any more, and the report names that. `LateWrites` then replays what others
wrote to the old collection meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ingest.batches import Embedder, Encoded
from ingest.chunking.sizes import about_of
from ingest.discover import owners
from ingest.plan import is_readable
from ingest.report import DocumentResult, IngestReport
from storage.errors import StoreError
from storage.manifest.manifest import DocumentRow, Manifest
from storage.qdrant.contract import CollectionStore, document_id
from storage.reasons import Reason
from storage.records import Chunk, Usage
from winnow.upkeep.sources import Sources

# Passages encoded and stored together.
_TOGETHER = 128
_REFUSED: Final = "refused"
_INGESTED: Final = "ingested"
_DUPLICATE: Final = "duplicate"


@dataclass(slots=True)
class CopiedForward:
    """The fate of documents whose files were not read; `embedded` and `illegible` count passages."""

    results: list[DocumentResult] = field(default_factory=list)
    embedded: int = 0
    illegible: int = 0
    usage: Usage = field(default_factory=Usage)

    def copy(self, chunks: Sequence[Chunk], embedder: Embedder, target: CollectionStore) -> Encoded:
        """Encode passages, store them and count them."""
        # another encoder may read what the old one could not
        bare = about_of(target.fingerprint.chunker) == "off"
        encoded = embedder.encode(
            [replace(chunk, legible=True, about="" if bare else chunk.about) for chunk in chunks]
        )
        target.upsert(encoded.points)
        self.embedded += encoded.legible.count(True)
        self.illegible += encoded.legible.count(False)
        self.usage += encoded.usage
        return encoded

    def report(self) -> IngestReport:
        return IngestReport(
            documents=tuple(self.results),
            embedded=self.embedded,
            illegible=self.illegible,
            usage=self.usage,
        )


@dataclass(slots=True)
class _CopiedDocument:
    """One of a document's passages, the place and id of each, and how many exceed the encoder's length."""

    first: Chunk
    places: list[tuple[int, str]] = field(default_factory=list)
    cut: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(id_ for _, id_ in sorted(self.places))


def unlisted_row(first: Chunk, ids: Sequence[str]) -> DocumentRow:
    """Return a row for a stored document that no manifest of ours has: ingested elsewhere, or lost.

    `first` is one of its passages. Its file, if it is seen again, replaces it.
    """
    return DocumentRow(
        id=first.document_id,
        source=first.source,
        content_hash="",
        title=first.title,
        mime="",
        status=_INGESTED,
        chunk_ids=tuple(ids),
    )


class CopyForward:
    """Copies what the files no longer give. `known` are the old manifest's rows, by id."""

    def __init__(
        self,
        target: CollectionStore,
        manifest: Manifest,
        embedder: Embedder,
        known: Mapping[str, DocumentRow],
        sources: Sources,
        *,
        prune: bool,
    ) -> None:
        self._target = target
        self._manifest = manifest
        self._embedder = embedder
        self._known = known
        self._sources = sources
        self._prune = prune
        self._copied: dict[str, _CopiedDocument] = {}
        self._wanted: dict[str, bool] = {}
        self._unreadable = Reason("winnow.upkeep.passages-unreadable")
        self._done = CopiedForward()

    def run(self, passages: Iterable[Chunk]) -> CopiedForward:
        """Copy from the passages of the collection in use; none where it cannot be opened."""
        self._drop_departed()
        waiting: list[Chunk] = []
        for chunk in self._readable(passages):
            if self._is_wanted(chunk):
                waiting.append(chunk)
            if len(waiting) >= _TOGETHER:
                self._copy(waiting)
                waiting = []
        self._copy(waiting)
        self._write_rows()
        return self._done

    def _drop_departed(self) -> None:
        """Remove documents of an earlier attempt whose files have gone since."""
        for row in self._manifest.rows():
            if not self._sources.reads(row.source):
                self._target.delete_document(row.id)
                self._manifest.remove(row.id)

    def _readable(self, passages: Iterable[Chunk]) -> Iterator[Chunk]:
        try:
            yield from passages
        except StoreError as error:
            self._unreadable = Reason("winnow.upkeep.collection-unreadable", error=str(error))

    def _is_wanted(self, chunk: Chunk) -> bool:
        known = self._known.get(chunk.document_id)
        if chunk.document_id not in self._wanted:
            self._wanted[chunk.document_id] = self._has_no_file(known.source if known else chunk.source)
        # what an interrupted run left behind belongs to no document
        belongs = known is None or not known.chunk_ids or chunk.id in known.chunk_ids
        return belongs and self._wanted[chunk.document_id]

    def _has_no_file(self, source: str) -> bool:
        """True where no file gives the text of a document that is to be kept."""
        if self._sources.reads(source):
            return self._refused_unchanged(source)
        return not self._pruned(source)

    def _pruned(self, source: str) -> bool:
        return self._prune and self._sources.covers(source)

    def _refused_unchanged(self, source: str) -> bool:
        """True where a file, once read and not known to have changed, is refused now.

        A parser ran out of time, say, or a permission is gone. `source` may be a record of the file.
        """
        for document in map(document_id, owners(source)):
            old, new = self._known.get(document), self._manifest.get(document)
            if old is None or new is None or (old.status, new.status) != (_INGESTED, _REFUSED):
                continue
            if old.content_hash == new.content_hash or not is_readable(new.content_hash):
                return True
        return False

    def _copy(self, chunks: list[Chunk]) -> None:
        if not chunks:
            return
        encoded = self._done.copy(chunks, self._embedder, self._target)
        for place, chunk in enumerate(chunks):
            document = self._copied.setdefault(chunk.document_id, _CopiedDocument(chunk))
            document.places.append((chunk.ordinal, chunk.id))
            document.cut += place in encoded.cut

    def _write_rows(self) -> None:
        rows = [self._row(document, copied) for document, copied in self._copied.items()]
        rows += [row for row in self._known.values() if self._is_kept_container(row)]
        self._manifest.put_many(rows)
        here = {row.id for row in rows}
        for row in sorted(self._known.values(), key=lambda row: row.source):
            if row.id not in here and not self._sources.reads(row.source):
                self._account_for_missing(row)
        self._report(rows)

    def _row(self, document: str, copied: _CopiedDocument) -> DocumentRow:
        known = self._known.get(document)
        if known is not None and known.status == _INGESTED:
            return replace(known, chunk_ids=copied.ids)
        return unlisted_row(copied.first, copied.ids)

    def _is_kept_container(self, row: DocumentRow) -> bool:
        """True of a file of records that is gone, or refused now: its records hold the passages."""
        return row.status == _INGESTED and not row.chunk_ids and self._has_no_file(row.source)

    def _account_for_missing(self, row: DocumentRow) -> None:
        if row.status not in (_INGESTED, _DUPLICATE):
            return
        if self._pruned(row.source):
            result = DocumentResult(row.source, "removed", Reason("winnow.upkeep.file-gone"))
        elif row.status == _INGESTED:
            result = DocumentResult(row.source, _REFUSED, self._unreadable)
        elif self._original_is_here(row):
            self._manifest.put(row)
            return
        else:
            result = DocumentResult(row.source, _REFUSED, Reason("winnow.upkeep.original-gone"))
        self._done.results.append(result)

    def _original_is_here(self, row: DocumentRow) -> bool:
        original = self._manifest.get(row.duplicate_of) if row.duplicate_of else None
        return (
            original is not None
            and original.status == _INGESTED
            and original.content_hash == row.content_hash
        )

    def _report(self, rows: Sequence[DocumentRow]) -> None:
        """Add one result a file: records are counted under the file that they came from."""
        containers = {row.source for row in rows if not row.chunk_ids}
        chunks, lost, cut = Counter[str](), Counter[str](), Counter[str]()
        for row in rows:
            owner = next((owner for owner in owners(row.source) if owner in containers), row.source)
            known, copied = self._known.get(row.id), self._copied.get(row.id)
            chunks[owner] += len(row.chunk_ids)
            lost[owner] += max(0, len(known.chunk_ids) - len(row.chunk_ids)) if known else 0
            cut[owner] += copied.cut if copied else 0
        for source, count in chunks.items():
            refused = self._sources.reads(source)
            warnings = [
                Reason("winnow.upkeep.copied-of-refused-file")
                if refused
                else Reason("winnow.upkeep.copied-of-gone-file")
            ]
            if lost[source]:
                warnings.append(Reason("winnow.upkeep.passages-lost", lost=lost[source]))
            if cut[source]:
                warnings.append(Reason("winnow.upkeep.passages-too-long", cut=cut[source]))
            self._done.results.append(DocumentResult(source, _INGESTED, "", count, tuple(warnings)))


class LateWrites:
    """Replays writes made to the old collection during a rebuild into the new one, after the swap.

    `known` are the rows of the old manifest when its documents were last read. An embedded collection is
    locked meanwhile; a server is not (`storage.qdrant.server.writes`).
    """

    def __init__(self, old: CollectionStore, manifest: Manifest, known: Mapping[str, DocumentRow]) -> None:
        self._old = old
        self._manifest = manifest
        self._known = known
        self._seen: dict[str, str] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Yield all passages, and remember their ids."""
        for chunk in self._old.chunks():
            self._seen[chunk.id] = chunk.document_id
            yield chunk

    def replay(self, target: CollectionStore, manifest: Manifest, embedder: Embedder) -> CopiedForward:
        """Make each document that has changed since what it is in the old collection.

        The next ingest reads the file behind it again, whatever the manifest held of it.
        """
        done = CopiedForward()
        for document, chunks in self._changed().items():
            ids = [chunk.id for chunk in chunks]
            for start in range(0, len(chunks), _TOGETHER):
                done.copy(chunks[start : start + _TOGETHER], embedder, target)
            target.delete_document(document, keep=set(ids))
            if not chunks:
                manifest.remove(document)
                continue
            manifest.put(unlisted_row(chunks[0], ids))
            warning = Reason("winnow.upkeep.written-during-swap")
            done.results.append(DocumentResult(chunks[0].source, "ingested", "", len(ids), (warning,)))
        return done

    def _changed(self) -> dict[str, list[Chunk]]:
        """Return the current passages of each changed document, in order."""
        now = {chunk.id: chunk.document_id for chunk in self._old.chunks()}
        rows = {row.id: row for row in self._manifest.rows()}
        listed = {id_ for id_ in rows.keys() | self._known.keys() if rows.get(id_) != self._known.get(id_)}
        documents = {document for _, document in self._seen.items() ^ now.items()} | listed
        found: dict[str, list[Chunk]] = {document: [] for document in documents}
        if documents:
            for chunk in self._old.chunks():
                if chunk.document_id in documents:
                    found[chunk.document_id].append(chunk)
        return {document: sorted(chunks, key=lambda one: one.ordinal) for document, chunks in found.items()}
