"""Decides what to do for a file before it is parsed: often nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from ingest.discover import FoundFile, owners
from ingest.loaders import format_of
from ingest.options import IngestOptions
from ingest.parse import is_record_file
from ingest.report import DocumentResult
from storage.manifest.manifest import PENDING, DocumentRow, Manifest
from storage.qdrant.contract import document_id
from storage.reasons import Reason

_LOOKED_UP_TOGETHER = 256
_UNREADABLE = "unreadable: "
# The reason of a file of records in rows that were written before reasons were data.
_OLD_NOTE = re.compile(r"^\d+ records, (\d+) passages$")


class FileState(Enum):
    """`SETTLED`: nothing to do. `WAIT`: another file of the same content is, or may soon be, ingested."""

    PARSE = auto()
    SETTLED = auto()
    WAIT = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a file; a settled one has a `result`.

    `instead_of`: the document of the same content whose file is gone, and whose place this one takes.
    """

    state: FileState
    file: FoundFile
    old: DocumentRow | None
    content_hash: str
    result: DocumentResult | None = None
    instead_of: DocumentRow | None = None


class Planner:
    """Compares files with the manifest. `reindex` leaves nothing unchanged."""

    def __init__(self, manifest: Manifest, options: IngestOptions, chunker: str, *, reindex: bool) -> None:
        self._manifest = manifest
        self._options = options
        self._chunker = chunker
        self._reindex = reindex
        # content hash and parser → the file of this round that has them
        self._begun: dict[tuple[str, str], str] = {}

    def parser_of(self, source: str) -> str:
        """The fingerprint of everything that decides how this file becomes passages."""
        found = format_of(source)
        kind = found.fingerprint if found else "text/1"
        columns = self._options.columns if is_record_file(source) else None
        if self._options.ocr and found is not None and found.name == "pdf":
            kind += "+ocr"
        return f"{kind}{columns or ''}; {self._chunker}"

    def decisions(self, files: Sequence[FoundFile]) -> Iterator[Decision]:
        """A decision on each file, made lazily."""
        for start in range(0, len(files), _LOOKED_UP_TOGETHER):
            window = files[start : start + _LOOKED_UP_TOGETHER]
            known = self._manifest.get_many([document_id(file.source) for file in window])
            for file in window:
                yield self._decide(file, known.get(document_id(file.source)))

    def _decide(self, file: FoundFile, old: DocumentRow | None) -> Decision:
        """Compare a file's bytes with its row in the manifest."""
        digest = _digest(file, self._options.limits.file_bytes)
        decision = Decision(FileState.PARSE, file, old, digest)
        if old is not None and old.content_hash == digest and not self._reindex:
            if old.status == "duplicate":
                return replace(decision, state=FileState.WAIT)
            if result := self._known(file, old):
                return replace(decision, state=FileState.SETTLED, result=result)
        if self._twin(digest, file.source):
            return replace(decision, state=FileState.WAIT)
        return decision

    def settle(self, waiting: Sequence[Decision]) -> list[Decision]:
        """Decide on files that waited, now that everything before them is written.

        Of several new twins the first is parsed; the others wait once more.
        """
        self._begun.clear()
        return [self._settled(decision) for decision in waiting]

    def _settled(self, waiting: Decision) -> Decision:
        source = waiting.file.source
        original = self._manifest.by_hash(waiting.content_hash)
        gone = original if original is not None and self._has_left(original, source) else None
        if original is not None and gone is None and self._same_content(original, source):
            result = DocumentResult(source, "duplicate", Reason("ingest.duplicate", source=original.source))
            return replace(waiting, state=FileState.SETTLED, result=result)
        if self._begun_elsewhere(waiting.content_hash, source):
            return waiting
        return replace(waiting, state=FileState.PARSE, instead_of=gone)

    def is_unchanged(self, old: DocumentRow | None, new: DocumentRow) -> bool:
        """True if a record of a file is in the collection exactly as it would be now."""
        return (
            not self._reindex
            and old is not None
            and old.status == "ingested"
            and old.content_hash == new.content_hash
            and old.parser == new.parser
        )

    def duplicate_row(self, decision: Decision) -> DocumentRow:
        """The manifest's row of a settled duplicate."""
        original = self._manifest.by_hash(decision.content_hash)
        return DocumentRow(
            id=document_id(decision.file.source),
            source=decision.file.source,
            content_hash=decision.content_hash,
            title=original.title if original else "",
            mime=original.mime if original else "",
            status="duplicate",
            reason=decision.result.reason if decision.result else "",
            duplicate_of=original.id if original else None,
            parser=self.parser_of(decision.file.source),
        )

    def _known(self, file: FoundFile, old: DocumentRow) -> DocumentResult | None:
        parser = self.parser_of(file.source)
        if old.status == "ingested":
            warnings: tuple[Reason, ...] = ()
            if old.parser != parser:
                warnings = (Reason("ingest.other-parser", old=old.parser, new=parser),)
            return DocumentResult(file.source, "unchanged", "", passages_of(old), warnings)
        if old.status == "refused" and old.parser == parser:
            return DocumentResult(file.source, "refused", old.reason)
        return None

    def _twin(self, digest: str, source: str) -> bool:
        other = self._manifest.by_hash(digest)
        known = other is not None and (self._same_content(other, source) or self._has_left(other, source))
        return known or self._begun_elsewhere(digest, source)

    def _begun_elsewhere(self, digest: str, source: str) -> bool:
        """True if another file of that content is being read; if none is, this one is from now on."""
        return self._begun.setdefault((digest, self.parser_of(source)), source) != source

    def _has_left(self, other: DocumentRow, source: str) -> bool:
        """True for another document whose file is gone, however it was read."""
        return other.source != source and not any(Path(owner).exists() for owner in owners(other.source))

    def _same_content(self, other: DocumentRow, source: str) -> bool:
        return other.source != source and other.parser == self.parser_of(source)


def is_readable(content_hash: str) -> bool:
    """True for the hash of a content, False for the mark of a file that could not be read."""
    return not content_hash.startswith(_UNREADABLE)


def had_passages(old: DocumentRow | None) -> bool:
    """True if passages of a document may be in the store."""
    return old is not None and old.status in ("ingested", PENDING)


def passages_of(row: DocumentRow) -> int:
    """The number of passages of a document, or of all records of a file of records."""
    reason = Reason.of(row.reason)
    if reason.code == "ingest.record-file":
        return int(reason.values["passages"])
    old_note = _OLD_NOTE.match(reason)
    return int(old_note[1]) if old_note else len(row.chunk_ids)


def _digest(file: FoundFile, limit: int) -> str:
    if file.size > limit and not is_record_file(file.source):
        return f"{file.size} bytes"
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"{_UNREADABLE}{error.strerror}"
