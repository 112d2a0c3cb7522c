"""Collects parsed documents into batches, and makes their rows for the manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ingest.batches import Batch, Closing, Encoded, Sink, Situates, pending
from ingest.dry_run import DryRun
from ingest.engines.tasks import Done, Encodes, Parsed, Refused
from ingest.loaders.registry import has_attachments
from ingest.plan import Decision, Planner, had_passages, is_readable, passages_of
from ingest.report import DocumentResult, cut_warning
from storage.manifest.manifest import DocumentRow, Manifest
from storage.qdrant.contract import document_id
from storage.reasons import Reason
from storage.records import Chunk, Usage


@dataclass(slots=True)
class OpenFile:
    """A file that is being ingested: the decision on it, and its passages so far."""

    decision: Decision
    document: OpenDocument | None = None
    records: set[str] = field(default_factory=set)
    chunks: int = 0
    illegible: int = 0
    cut: int = 0


@dataclass(slots=True)
class OpenDocument:
    """A document whose passages are being encoded and written; `lines` are those about its `chunks`, once
    they were asked for."""

    row: DocumentRow
    had_passages: bool
    file: OpenFile
    chunks: tuple[Chunk, ...] = ()
    lines: Mapping[str, str] | None = None
    illegible: int = 0


@dataclass(frozen=True, slots=True)
class _Ending:
    """A document's row, and perhaps a file's result, written after all passages before it."""

    document: OpenDocument | None = None
    closing: Closing | None = None
    file: OpenFile | None = None
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Assembly:
    """Collects passages across documents; encodes each full batch and hands it on to be written."""

    encodes: Encodes
    sink: Sink | DryRun
    manifest: Manifest
    planner: Planner
    batch: int
    situates: Situates | None = None
    results: list[DocumentResult] = field(default_factory=list, init=False)
    embedded: int = field(default=0, init=False)
    illegible: int = field(default=0, init=False)
    usage: Usage = field(default_factory=Usage, init=False)
    # documents that left the collection or changed
    gone: set[str] = field(default_factory=set, init=False)
    _waiting: list[tuple[Chunk, OpenDocument]] = field(default_factory=list, init=False)
    _openings: list[DocumentRow] = field(default_factory=list, init=False)
    _endings: list[_Ending] = field(default_factory=list, init=False)

    def add(self, file: OpenFile, parsed: Parsed) -> None:
        """Add a document of a file; encodes when a batch is full."""
        whole = parsed.source == file.decision.file.source
        old = file.decision.old
        if not whole:
            file.records.add(parsed.id)
            old = self.manifest.get(parsed.id) if old is not None else None
        file.chunks += len(parsed.chunks)
        row = self._row(file, parsed)
        if not whole and self.planner.is_unchanged(old, row):
            return
        document = OpenDocument(row, had_passages(old), file, parsed.chunks)
        if whole:
            file.document = document
        if old is None:
            self._openings.append(pending(row.id, row.source))
        for chunk in parsed.chunks:
            self._waiting.append((chunk, document))
            if len(self._waiting) >= self.batch:
                self.emit()
        if not whole:
            self._endings.append(_Ending(document))

    def finish(self, file: OpenFile, done: Done) -> None:
        """Close a file of which everything was added."""
        if file.document is None:
            self._forget_records(file, but=file.records)
            self._endings.append(_Ending(self._container(file, done), file=file, warnings=done.warnings))
        else:
            if has_attachments(file.decision.file.source):
                self._forget_records(file, but=file.records)
            self._endings.append(_Ending(file.document, file=file, warnings=file.document.row.warnings))
        if file.decision.old is not None:
            self.gone.add(file.decision.old.id)
        if (before := file.decision.instead_of) is not None:
            self._forget(before)
            self.remove(before)
            moved = Reason("ingest.moved", to=file.decision.file.source)
            self.results.append(DocumentResult(before.source, "removed", moved))

    def refuse(self, file: OpenFile, refused: Refused) -> None:
        """Close a file that was refused; if it is known to have changed, its old passages are removed."""
        decision, old = file.decision, file.decision.old
        reason = refused.reason
        before = 0 if old is None else passages_of(old)
        readable = is_readable(decision.content_hash)
        unchanged = old is not None and (not readable or old.content_hash == decision.content_hash)
        if old is not None and old.status == "ingested" and unchanged:
            warning = (
                Reason("ingest.unchanged-passages-stay", n=before)
                if readable
                else Reason("ingest.unknown-passages-stay", n=before)
            )
            self.results.append(DocumentResult(old.source, "refused", reason, before, (warning,)))
            return
        row = DocumentRow(
            id=document_id(decision.file.source),
            source=decision.file.source,
            content_hash=decision.content_hash,
            status="refused",
            reason=reason,
            parser=self.planner.parser_of(decision.file.source),
        )
        warnings: tuple[Reason, ...] = ()
        if old is not None and old.status == "ingested":
            warnings = (Reason("ingest.passages-removed", n=before),)
            self.gone.add(old.id)
        self._forget_records(file, but=())
        for record in file.records:  # read before the fault was met
            self._endings.append(_Ending(closing=Closing(record, None, had_passages=True)))
        self._endings.append(
            _Ending(closing=Closing(row.id, row, had_passages(old) or file.document is not None))
        )
        self.results.append(DocumentResult(decision.file.source, "refused", reason, 0, warnings))

    def duplicate(self, decision: Decision, row: DocumentRow, result: DocumentResult) -> None:
        """Add a file whose content is in the collection under another name."""
        if decision.old != row:
            self._endings.append(_Ending(closing=Closing(row.id, row, had_passages(decision.old))))
        self.results.append(result)

    def remove(self, row: DocumentRow) -> None:
        """Remove a document from the collection."""
        self._endings.append(_Ending(closing=Closing(row.id, None, had_passages(row))))
        self.gone.add(row.id)

    def emit(self) -> None:
        """Encode the waiting passages and hand them on to be written."""
        waiting, self._waiting = self._situated(self._waiting), []
        encoded = self.encodes.encode([chunk for chunk, _ in waiting]) if waiting else Encoded([], [])
        for (_, document), legible in zip(waiting, encoded.legible, strict=True):
            document.illegible += not legible
            document.file.illegible += not legible
        for place in encoded.cut:
            waiting[place][1].file.cut += 1
        self.usage += encoded.usage
        self.illegible += encoded.legible.count(False)
        self.embedded += encoded.legible.count(True)
        openings, self._openings = self._openings, []
        endings, self._endings = self._endings, []
        self.sink.put(Batch(encoded.points, openings, [self._closing(ending) for ending in endings]))

    def _situated(self, waiting: list[tuple[Chunk, OpenDocument]]) -> list[tuple[Chunk, OpenDocument]]:
        """The passages with the lines about them, where somebody writes such lines."""
        if self.situates is None or not waiting:
            return waiting
        new = {document.row.id: document for _, document in waiting if document.lines is None}
        lines = self.situates.lines([document.chunks for document in new.values()])
        for document in new.values():
            document.lines = {chunk.id: lines.get(chunk.id, "") for chunk in document.chunks}
        return [
            (replace(chunk, about=(document.lines or {})[chunk.id]), document) for chunk, document in waiting
        ]

    def settle(self) -> None:
        """Wait until everything that was added is written."""
        self.emit()
        self.sink.wait()

    def _closing(self, ending: _Ending) -> Closing:
        if ending.closing is not None:
            return ending.closing
        document = ending.document
        assert document is not None  # an ending has one of the two
        if ending.file is None:
            return Closing(document.row.id, document.row, document.had_passages)
        warnings = (*ending.warnings, *_encoder_warnings(ending.file))
        row = replace(document.row, warnings=warnings)
        old = ending.file.decision.old
        replaced = old is not None and old.status == "ingested"
        self.results.append(
            DocumentResult(
                row.source, "replaced" if replaced else "ingested", "", ending.file.chunks, warnings
            )
        )
        return Closing(row.id, row, document.had_passages)

    def _row(self, file: OpenFile, parsed: Parsed) -> DocumentRow:
        return DocumentRow(
            id=parsed.id,
            source=parsed.source,
            content_hash=parsed.content_hash,
            title=parsed.title,
            mime=parsed.mime,
            status="ingested",
            warnings=parsed.warnings,
            chunk_ids=tuple(chunk.id for chunk in parsed.chunks),
            parser=self.planner.parser_of(file.decision.file.source),
        )

    def _container(self, file: OpenFile, done: Done) -> OpenDocument:
        """The row of a file of records: it has the file's hash, its records have the passages."""
        source = file.decision.file.source
        row = DocumentRow(
            id=document_id(source),
            source=source,
            content_hash=done.content_hash,
            status="ingested",
            reason=Reason("ingest.record-file", records=len(file.records), passages=file.chunks),
            parser=self.planner.parser_of(source),
        )
        return OpenDocument(row, False, file)

    def _forget_records(self, file: OpenFile, *, but: Collection[str]) -> None:
        """Remove the records that earlier runs made of the file, except those of the ids `but`."""
        if file.decision.old is not None:
            self._forget(file.decision.old, but=but)

    def _forget(self, owner: DocumentRow, *, but: Collection[str] = ()) -> None:
        """Remove the records of a file."""
        for row in self.manifest.rows():
            if row.source.startswith(f"{owner.source}#") and row.id not in but:
                self.remove(row)


def _encoder_warnings(file: OpenFile) -> Iterator[Reason]:
    if file.illegible:
        yield Reason("ingest.unencoded-passages", n=file.illegible, of=file.chunks)
    yield from cut_warning(file.cut, file.chunks)
