"""Puts parsed documents together into batches, and knows what the manifest will say of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Protocol

from ingest.batches import Batch, Closing, Encoded, pending
from ingest.engines.local import Encodes
from ingest.engines.tasks import Done, Parsed, Refused
from ingest.loaders.record_files import note, passages_in
from ingest.plan import Decision, Planner, had_passages, is_readable
from ingest.report import ILLEGIBLE, DocumentResult, cut_warning
from storage.manifest.manifest import DocumentRow, Manifest
from storage.records import Chunk, Usage


class Takes(Protocol):
    def put(self, batch: Batch) -> None: ...

    def wait(self) -> None: ...


@dataclass(slots=True)
class OpenFile:
    """A file on its way: what was decided, and what has come of it so far."""

    decision: Decision
    document: OpenDocument | None = None
    records: set[str] = field(default_factory=set)
    chunks: int = 0
    illegible: int = 0
    cut: int = 0


@dataclass(slots=True)
class OpenDocument:
    """A document whose passages are on their way."""

    row: DocumentRow
    had_passages: bool
    file: OpenFile
    illegible: int = 0

    def closing(self) -> Closing:
        return Closing(self.row.id, self.row, self.had_passages)


@dataclass(frozen=True, slots=True)
class _Ending:
    """What is written once all passages before it are: a document's row, and perhaps a file's result."""

    document: OpenDocument | None = None
    closing: Closing | None = None
    file: OpenFile | None = None
    warnings: tuple[str, ...] = ()


class Assembly:
    """Collects passages across documents; a full batch is encoded here and written behind."""

    def __init__(
        self, encodes: Encodes, sink: Takes, manifest: Manifest, planner: Planner, batch: int
    ) -> None:
        self._encodes = encodes
        self._sink = sink
        self._manifest = manifest
        self._planner = planner
        self._size = batch
        self._waiting: list[tuple[Chunk, OpenDocument]] = []
        self._openings: list[DocumentRow] = []
        self._endings: list[_Ending] = []
        self.results: list[DocumentResult] = []
        self.embedded = 0
        self.illegible = 0
        self.usage = Usage()
        # Documents that were in the collection and are no longer, or not with that content.
        self.gone: set[str] = set()

    def add(self, file: OpenFile, parsed: Parsed) -> None:
        """A document of a file; encodes when a batch is full."""
        whole = parsed.source == file.decision.file.source
        old = file.decision.old
        if not whole:
            file.records.add(parsed.id)
            old = self._manifest.get(parsed.id) if old is not None else None
        file.chunks += len(parsed.chunks)
        row = self._row(file, parsed)
        if not whole and self._planner.is_unchanged(old, row):
            return
        document = OpenDocument(row, had_passages(old), file)
        if whole:
            file.document = document
        if old is None:
            self._openings.append(pending(row.id, row.source))
        for chunk in parsed.chunks:
            self._waiting.append((chunk, document))
            if len(self._waiting) >= self._size:
                self.emit()
        if not whole:
            self._endings.append(_Ending(document))

    def finish(self, file: OpenFile, done: Done) -> None:
        """Everything of a file was added."""
        if file.document is None:
            self._forget_records(file, but=file.records)
            self._endings.append(_Ending(self._container(file, done), file=file, warnings=done.warnings))
        else:
            self._endings.append(_Ending(file.document, file=file, warnings=file.document.row.warnings))
        if file.decision.old is not None:
            self.gone.add(file.decision.old.id)

    def refuse(self, file: OpenFile, refused: Refused) -> None:
        """Nothing more comes of a file; what it had in the collection goes if it is known to have changed."""
        decision, old = file.decision, file.decision.old
        reason = f"{refused.reason}: {refused.message}"
        before = 0 if old is None else len(old.chunk_ids) or passages_in(old.reason)
        readable = is_readable(decision.content_hash)
        unchanged = old is not None and (not readable or old.content_hash == decision.content_hash)
        if old is not None and old.status == "ingested" and unchanged:
            known = "it has not changed" if readable else "nobody can say whether it has changed"
            stays = f"{known}: its {before} passages of before stay"
            self.results.append(DocumentResult(old.source, "refused", reason, before, (stays,)))
            return
        row = DocumentRow(
            id=self._planner.id_of(decision),
            source=decision.file.source,
            content_hash=decision.content_hash,
            title="",
            mime="",
            status="refused",
            reason=reason,
            parser=self._planner.parser_of(decision.file.source),
        )
        warnings: tuple[str, ...] = ()
        if old is not None and old.status == "ingested":
            warnings = (f"its {before} passages of before were removed",)
            self.gone.add(old.id)
        self._forget_records(file, but=())
        for record in file.records:  # read before what the file is refused for
            self._endings.append(_Ending(closing=Closing(record, None, had_passages=True)))
        self._endings.append(
            _Ending(closing=Closing(row.id, row, had_passages(old) or file.document is not None))
        )
        self.results.append(DocumentResult(decision.file.source, "refused", reason, 0, warnings))

    def duplicate(self, decision: Decision, row: DocumentRow, result: DocumentResult) -> None:
        """A file whose content is in the collection under another name."""
        if decision.old != row:
            self._endings.append(_Ending(closing=Closing(row.id, row, had_passages(decision.old))))
        self.results.append(result)

    def remove(self, row: DocumentRow) -> None:
        """A document that is to leave the collection."""
        self._endings.append(_Ending(closing=Closing(row.id, None, had_passages(row))))
        self.gone.add(row.id)

    def emit(self) -> None:
        """Encode what waits and hand it on to be written."""
        waiting, self._waiting = self._waiting, []
        encoded = self._encodes.encode([chunk for chunk, _ in waiting]) if waiting else Encoded([], [])
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
        self._sink.put(Batch(encoded.points, openings, [self._closing(ending) for ending in endings]))

    def settle(self) -> None:
        """Until everything that was added is written."""
        self.emit()
        self._sink.wait()

    def _closing(self, ending: _Ending) -> Closing:
        if ending.closing is not None:
            return ending.closing
        document = ending.document
        assert document is not None  # an ending has one of the two
        if ending.file is None:
            return document.closing()
        warnings = (
            *ending.warnings,
            *_illegible(ending.file),
            *cut_warning(ending.file.cut, ending.file.chunks),
        )
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
            parser=self._planner.parser_of(file.decision.file.source),
        )

    def _container(self, file: OpenFile, done: Done) -> OpenDocument:
        """The row of a file of records: it holds the file's hash, its records hold the passages."""
        source = file.decision.file.source
        row = DocumentRow(
            id=self._planner.id_of(file.decision),
            source=source,
            content_hash=done.content_hash,
            title="",
            mime="",
            status="ingested",
            reason=note(len(file.records), file.chunks),
            parser=self._planner.parser_of(source),
        )
        return OpenDocument(row, False, file)

    def _forget_records(self, file: OpenFile, *, but: Collection[str]) -> None:
        """Remove what earlier runs made of the file's lines, but for records of these ids."""
        if file.decision.old is None:
            return
        prefix = f"{file.decision.file.source}#"
        for row in self._manifest.rows():
            if row.source.startswith(prefix) and row.id not in but:
                self.remove(row)


def _illegible(file: OpenFile) -> tuple[str, ...]:
    if not file.illegible:
        return ()
    return (
        f"{file.illegible} of {file.chunks} passages {ILLEGIBLE}: lexical search only; "
        "the profile `multilingual` reads them",
    )
