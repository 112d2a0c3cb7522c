"""Parses one file into documents and cuts them into passages. Runs in a worker process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ingest.chunking.chunker import Chunker
from ingest.engines.tasks import Done, Parsed, Refused, Reply, Setup, Task
from ingest.loaders import Loaded, Source, format_of, load
from ingest.loaders.registry import check_size, mime_of
from storage.errors import DocumentRefusedError
from storage.qdrant.contract import document_id
from storage.reasons import Reason
from storage.records import Document


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
        loaded = load(Source(task.source, data, limits))
        del data
        whole = document(task.source, loaded, digest)
        yield Parsed.of(whole, self._chunker.chunks(whole, loaded.rows))
        yield Done(digest)


def is_record_file(source: str) -> bool:
    """True if a file of this name holds records, each of which may be a document."""
    found = format_of(source)
    return found is not None and found.name in ("csv", "tsv", "jsonl")


def document(source: str, loaded: Loaded, digest: str) -> Document:
    """A loaded file as a Document of the collection."""
    mime = mime_of(source)
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
        metadata={"mime": mime, **loaded.metadata},
        warnings=loaded.warnings,
    )
