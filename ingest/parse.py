"""One file → its documents, cut into passages. Runs in a worker process, or wherever a plan runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ingest.chunking.chunker import Chunker
from ingest.engines.tasks import Done, Parsed, Refused, Reply, Setup, Task
from ingest.loaders import Loaded, Source, format_of, load
from ingest.loaders.base import Format
from ingest.loaders.registry import too_large
from storage.errors import DocumentRefusedError
from storage.qdrant.contract import document_id
from storage.records import Document


class Parser:
    """Reads and cuts files for one encoder."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._chunker = Chunker(setup.tokenizer_json, setup.max_tokens, setup.sizes)

    def parse(self, task: Task) -> Iterator[Reply]:
        """The documents of a file, then Done; or Refused."""
        try:
            if self._setup.columns is not None and is_record_file(task.source):
                from ingest.loaders.record_files import records

                yield from records(task, self._setup, self._chunker)
            else:
                yield from self._whole(task)
        except DocumentRefusedError as error:
            yield Refused(error.reason, str(error))
        except OSError as error:
            yield Refused("damaged", f"{Path(task.path).name}: it cannot be read: {error.strerror}")

    def _whole(self, task: Task) -> Iterator[Reply]:
        path, limits = Path(task.path), self._setup.limits
        if (size := path.stat().st_size) > limits.file_bytes:
            raise too_large(path.name, size, limits.file_bytes)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        loaded = load(Source(task.source, data, limits))
        del data
        yield parsed(document(task.source, loaded, digest), loaded, self._chunker)
        yield Done(digest)


def is_record_file(source: str) -> bool:
    """Whether a file of this name holds records, each of which may be a document of its own."""
    found = format_of(source)
    return found is not None and found.name in ("csv", "tsv", "jsonl")


def document(source: str, loaded: Loaded, digest: str) -> Document:
    """What a loader found, as a Document of the collection."""
    kind: Format | None = format_of(source)
    return Document(
        id=document_id(source),
        source=source,
        title=loaded.title,
        text=loaded.text,
        mime=kind.mime if kind else "text/plain",
        content_hash=digest,
        structured=loaded.structured,
        headings=loaded.headings,
        pages=loaded.pages,
        metadata={"mime": kind.mime if kind else "text/plain", **loaded.metadata},
        warnings=loaded.warnings,
    )


def parsed(whole: Document, loaded: Loaded, chunker: Chunker) -> Parsed:
    """A document's passages; the text itself stays here."""
    return Parsed(
        id=whole.id,
        source=whole.source,
        title=whole.title,
        mime=whole.mime,
        content_hash=whole.content_hash,
        chunks=tuple(chunker.chunks(whole, loaded.rows)),
        warnings=whole.warnings,
    )
