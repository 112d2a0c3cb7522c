"""Documents whose files are gone, from the collection in use into the one that is built beside it.

Their text is still in the stored passages, cut as they were; it is encoded again. Nothing that a collection
has is lost by building it anew, unless nobody can read it any more: then it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ingest.batches import Embedder
from ingest.discover import owners
from ingest.plan import is_readable
from ingest.report import DocumentResult, IngestReport
from storage.errors import StoreError
from storage.manifest.manifest import DocumentRow, Manifest
from storage.qdrant.contract import CollectionStore, document_id
from storage.records import Chunk, Usage
from winnow.upkeep.sources import Sources

_TOGETHER = 128
_REFUSED: Final = "refused"
_INGESTED: Final = "ingested"
_DUPLICATE: Final = "duplicate"


@dataclass(slots=True)
class CopiedForward:
    """What became of the documents that no file was read for; `embedded` and `illegible` count passages."""

    results: list[DocumentResult] = field(default_factory=list)
    embedded: int = 0
    illegible: int = 0
    usage: Usage = field(default_factory=Usage)

    def report(self) -> IngestReport:
        return IngestReport(
            documents=tuple(self.results),
            embedded=self.embedded,
            illegible=self.illegible,
            usage=self.usage,
        )


@dataclass(slots=True)
class _CopiedDocument:
    """A document's passages as they come: its first one, and place and id of each."""

    first: Chunk
    places: list[tuple[int, str]] = field(default_factory=list)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(id_ for _, id_ in sorted(self.places))


def unlisted_row(first: Chunk, ids: Sequence[str]) -> DocumentRow:
    """The row of a document that is stored and in no manifest of ours: ingested elsewhere, or that was lost.

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
    """Copies forward what the files no longer give. `known` are the old manifest's rows, by id."""

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
        self._found: dict[str, _CopiedDocument] = {}
        self._wanted: dict[str, bool] = {}
        self._broken = ""
        self._cut: dict[str, int] = {}
        self._done = CopiedForward()

    def run(self, passages: Iterable[Chunk]) -> CopiedForward:
        """Copy what belongs forward of the passages of the collection in use."""
        self._drop_departed()
        waiting: list[Chunk] = []
        for chunk in self._readable(passages):
            if self._is_wanted(chunk):
                waiting.append(chunk)
            if len(waiting) >= _TOGETHER:
                self._store(waiting)
                waiting = []
        self._store(waiting)
        self._write_rows()
        return self._done

    def _drop_departed(self) -> None:
        """Documents of an earlier attempt whose files have left since."""
        for row in self._manifest.rows():
            if not self._sources.reads(row.source):
                self._target.delete_document(row.id)
                self._manifest.remove(row.id)

    def _readable(self, passages: Iterable[Chunk]) -> Iterator[Chunk]:
        try:
            yield from passages
        except StoreError as error:
            self._broken = str(error)

    def _is_wanted(self, chunk: Chunk) -> bool:
        document = chunk.document_id
        if document not in self._wanted:
            source = self._known[document].source if document in self._known else chunk.source
            self._wanted[document] = self._leaves_nothing(source)
        if self._wanted[document]:
            row = self._known.get(document)
            # what a run that was cut off left behind belongs to no document
            return row is None or not row.chunk_ids or chunk.id in row.chunk_ids
        return False

    def _leaves_nothing(self, source: str) -> bool:
        """Whether the files say nothing of a document that is to be kept."""
        if not self._sources.reads(source):
            return not self._pruned(source)
        return self._refused_unchanged(source)

    def _pruned(self, source: str) -> bool:
        return self._prune and self._sources.covers(source)

    def _refused_unchanged(self, source: str) -> bool:
        """A file that was read once, is not known to have changed, and is refused now.

        A parser was out of time, say, or a permission is gone.

        `source` may be a record of it.
        """
        for document in map(document_id, owners(source)):
            old, new = self._known.get(document), self._manifest.get(document)
            if old is None or new is None or (old.status, new.status) != (_INGESTED, _REFUSED):
                continue
            if old.content_hash == new.content_hash or not is_readable(new.content_hash):
                return True
        return False

    def _store(self, chunks: list[Chunk]) -> None:
        if not chunks:
            return
        encoded = self._embedder.encode([replace(chunk, legible=True) for chunk in chunks])
        self._target.upsert(encoded.points)
        self._done.embedded += encoded.legible.count(True)
        self._done.illegible += encoded.legible.count(False)
        self._done.usage += encoded.usage
        for place in encoded.cut:
            document = chunks[place].document_id
            self._cut[document] = self._cut.get(document, 0) + 1
        for chunk in chunks:
            found = self._found.setdefault(chunk.document_id, _CopiedDocument(chunk))
            found.places.append((chunk.ordinal, chunk.id))

    def _write_rows(self) -> None:
        rows = [self._row(document, found) for document, found in self._found.items()]
        rows += [row for row in self._known.values() if self._is_kept_container(row)]
        self._manifest.put_many(rows)
        here = {row.id for row in rows}
        for row in sorted(self._known.values(), key=lambda row: row.source):
            if row.id not in here and not self._sources.reads(row.source):
                self._account_for_missing(row)
        self._report(rows)

    def _row(self, document: str, found: _CopiedDocument) -> DocumentRow:
        known = self._known.get(document)
        if known is not None and known.status == _INGESTED:
            return replace(known, chunk_ids=found.ids)
        return unlisted_row(found.first, found.ids)

    def _is_kept_container(self, row: DocumentRow) -> bool:
        """The row of a file of records that is gone, or refused now: its records hold the passages."""
        return row.status == _INGESTED and not row.chunk_ids and self._leaves_nothing(row.source)

    def _account_for_missing(self, row: DocumentRow) -> None:
        if row.status == _DUPLICATE and not self._pruned(row.source) and self._original_is_here(row):
            self._manifest.put(row)
        elif self._pruned(row.source) and row.status in (_INGESTED, _DUPLICATE):
            self._done.results.append(DocumentResult(row.source, "removed", "its file is gone"))
        elif row.status in (_INGESTED, _DUPLICATE):
            self._done.results.append(DocumentResult(row.source, "refused", self._why_lost(row)))

    def _original_is_here(self, row: DocumentRow) -> bool:
        original = self._manifest.get(row.duplicate_of) if row.duplicate_of else None
        return (
            original is not None
            and original.status == _INGESTED
            and original.content_hash == row.content_hash
        )

    def _why_lost(self, row: DocumentRow) -> str:
        if row.status == _DUPLICATE:
            return "lost: its file is gone, and what it was a copy of is not there any more"
        because = f" ({self._broken})" if self._broken else ""
        return f"lost: its file is gone and its passages cannot be read{because}"

    def _report(self, rows: list[DocumentRow]) -> None:
        """One line a file: records are counted under the file that they came from."""
        containers = {row.source for row in rows if not row.chunk_ids}
        chunks: dict[str, int] = {}
        missing: dict[str, int] = {}
        cut: dict[str, int] = {}
        for row in rows:
            owner = next((owner for owner in owners(row.source) if owner in containers), row.source)
            chunks[owner] = chunks.get(owner, 0) + len(row.chunk_ids)
            known = self._known.get(row.id)
            lost = len(known.chunk_ids) - len(row.chunk_ids) if known is not None else 0
            missing[owner] = missing.get(owner, 0) + max(0, lost)
            cut[owner] = cut.get(owner, 0) + self._cut.get(row.id, 0)
        for source, count in chunks.items():
            why = "is refused now" if self._sources.reads(source) else "is gone"
            warnings = [f"its file {why}: its stored passages were encoded again, cut as they were"]
            if missing[source]:
                warnings.append(f"{missing[source]} of its passages could not be read and are lost")
            if cut[source]:
                warnings.append(f"{cut[source]} of them are longer than the encoder reads")
            self._done.results.append(DocumentResult(source, _INGESTED, "", count, tuple(warnings)))
