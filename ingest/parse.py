"""Parses one file into documents and cuts them into passages. Runs in a worker process."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ingest.chunking.chunker import Chunker
from ingest.chunking.code import grammar, is_code
from ingest.engines.tasks import Done, Parsed, Refused, Reply, Setup, Task
from ingest.languages import language_of
from ingest.loaders import Loaded, Source, format_of, load
from ingest.loaders.registry import check_size, format_in, mime_of, supported
from ingest.sources.mirror import metadata
from storage.errors import DocumentRefusedError
from storage.qdrant.contract import document_id
from storage.reasons import Reason
from storage.records import Document, Meta

# A mail within a mail within a mail: no person reads deeper.
_DEEPEST = 5


class Parser:
    """Reads and cuts files for one encoder."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._chunker = Chunker(setup.counter, setup.max_tokens, setup.sizes)

    def parse(self, task: Task) -> Iterator[Reply]:
        """The documents of a file, then Done; or Refused."""
        try:
            if self._setup.columns is not None and is_record_file(task.source):
                from ingest.loaders.record_files import records

                yield from records(task, self._setup, self._chunker)
            else:
                yield from self._whole(task)
        except DocumentRefusedError as error:
            yield Refused(Reason(error.kind, file=Path(task.path).name, why=error.why))
        except OSError as error:
            why = Reason("ingest.unreadable", error=error.strerror or type(error).__name__)
            yield Refused(Reason("ingest.damaged", file=Path(task.path).name, why=why))

    def _whole(self, task: Task) -> Iterator[Reply]:
        path, limits = Path(task.path), self._setup.limits
        check_size(path.stat().st_size, limits)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        loaded = load(Source(task.source, data, limits, self._setup.ocr))
        del data
        modified = path.stat().st_mtime
        warnings = yield from self._attachments(task.source, loaded, modified, depth=1)
        loaded = replace(loaded, metadata={**loaded.metadata, **metadata(path)})
        whole = document(task.source, loaded, digest, modified=modified)
        if is_code(whole.mime) and grammar(whole.mime) is None:
            warnings.append(Reason("ingest.code-as-text"))
        whole = replace(whole, warnings=(*whole.warnings, *warnings))
        yield Parsed.of(whole, self._chunker.chunks(whole, loaded.rows))
        yield Done(digest)

    def _attachments(
        self, source: str, loaded: Loaded, modified: float, depth: int
    ) -> Generator[Reply, None, list[Reason]]:
        """The attachments of a file as documents, and theirs; returns a warning for each that is left out."""
        warnings: list[Reason] = []
        seen: Counter[str] = Counter()
        for one in loaded.attachments:
            seen[one.name] += 1
            name = one.name if seen[one.name] == 1 else f"{one.name} ({seen[one.name]})"
            inner = f"{source}#{name}"
            try:
                if not (supported(one.name) or format_in(one.data)):
                    raise DocumentRefusedError("ingest.unsupported", Reason("ingest.unknown-format"))
                part = load(Source(inner, one.data, self._setup.limits, self._setup.ocr))
            except DocumentRefusedError as error:
                warnings.append(Reason("ingest.attachment-refused", name=name, why=error.why))
                continue
            if depth < _DEEPEST:
                warnings += yield from self._attachments(inner, part, modified, depth + 1)
            digest = hashlib.sha256(one.data).hexdigest()
            whole = document(inner, part, digest, modified=modified)
            yield Parsed.of(whole, self._chunker.chunks(whole, part.rows))
        return warnings


def is_record_file(source: str) -> bool:
    """True if a file of this name holds records, each of which may be a document."""
    found = format_of(source)
    return found is not None and found.name in ("csv", "tsv", "jsonl")


def document(source: str, loaded: Loaded, digest: str, *, modified: float | None = None) -> Document:
    """A loaded file as a Document of the collection; `modified` in seconds since 1970."""
    mime = loaded.mime or mime_of(source)
    facts: dict[str, Meta] = {"mime": mime, **place_of(source, modified)}
    facts |= loaded.metadata
    if "lang" not in facts and (language := language_of(loaded.text)):
        facts["lang"] = language
    return Document(
        id=document_id(source),
        source=source,
        title=loaded.title,
        text=loaded.text,
        mime=mime,
        content_hash=digest,
        structured=loaded.structured,
        headings=loaded.headings,
        pages=loaded.pages,
        metadata=facts,
        warnings=loaded.warnings,
    )


def place_of(source: str, modified: float | None) -> dict[str, Meta]:
    """The name of a file, its folders, innermost first, and the time of its last change (UTC)."""
    path = PurePosixPath(source)
    folders = tuple(part for part in reversed(path.parent.parts) if part != "/")
    facts: dict[str, Meta] = {"file": path.name, "folders": folders}
    if modified is not None:
        moment = datetime.fromtimestamp(int(modified), UTC)
        facts["modified"] = moment.isoformat()
    return facts
