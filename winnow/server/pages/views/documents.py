"""The documents of a collection: a page of the list, and one document with a page of its passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.errors import NotFoundError, WinnowError
from storage.manifest.manifest import DocumentFilter, DocumentRow
from storage.records import Chunk, Meta
from winnow.app.encoders import Encoders
from winnow.server.pages.views.paging import Paging
from winnow.server.shared_state import Served
from winnow.server.visible import Visible

PER_PAGE = 25
PASSAGES_PER_PAGE = 20


@dataclass(frozen=True, slots=True)
class DocumentList:
    """A page of documents, each with the metadata of its file."""

    lines: Sequence[tuple[DocumentRow, Mapping[str, Meta]]]
    paging: Paging


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage; `tokens` counts what the encoder reads of it, `terms` the distinct terms it is found by."""

    chunk: Chunk
    number: int
    tokens: int
    terms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentView:
    """One document with a page of its passages; `problem` says why they cannot be read.

    `original` is the document that it duplicates, `uploaded` tells whether deleting it deletes its file.
    """

    row: DocumentRow
    original: DocumentRow | None
    metadata: Mapping[str, Meta]
    passages: Sequence[PassageView]
    paging: Paging
    uploaded: bool
    problem: str


def listed(seen: Visible, name: str, where: DocumentFilter, page: int) -> DocumentList:
    """Return a page of the matching documents of a collection."""
    total, rows = seen.documents(name, where, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    paging = Paging(total, PER_PAGE, page)
    if paging.offset != (page - 1) * PER_PAGE:  # a page after the last one
        _, rows = seen.documents(name, where, offset=paging.offset, limit=PER_PAGE)
    metadata = _metadata(seen, name, rows)
    return DocumentList([(row, metadata.get(row.id, {})) for row in rows], paging)


def read(served: Served, seen: Visible, name: str, document_id: str, page: int = 1) -> DocumentView:
    """Return one document. Raises NotFoundError."""
    name = seen.existing(name)
    row = seen.document(name, document_id)
    paging = Paging(len(row.chunk_ids), PASSAGES_PER_PAGE, page)
    passages, problem = list[PassageView](), ""
    try:
        ids = row.chunk_ids[paging.offset : paging.offset + PASSAGES_PER_PAGE]
        store = seen.passages(name)
        found = sorted(store.passages(ids), key=lambda chunk: ids.index(chunk.id))
        encoders = seen.wiring.encoders_of(name, store.fingerprint)
        passages = [_passage(encoders, chunk, n) for n, chunk in enumerate(found, start=paging.offset + 1)]
    except WinnowError as error:
        problem = served.problems.sentence(error)
    return DocumentView(
        row=row,
        original=_original(seen, name, row),
        metadata=passages[0].chunk.metadata if passages else {},
        passages=passages,
        paging=paging,
        uploaded=served.area.holds(row.source),
        problem=problem,
    )


def _original(seen: Visible, name: str, row: DocumentRow) -> DocumentRow | None:
    try:
        return seen.document(name, row.duplicate_of) if row.duplicate_of else None
    except NotFoundError:
        return None


def _metadata(seen: Visible, name: str, rows: Sequence[DocumentRow]) -> dict[str, Mapping[str, Meta]]:
    """Return each document's metadata, which its first passage has."""
    ids = [row.chunk_ids[0] for row in rows if row.chunk_ids]
    try:
        return {chunk.document_id: chunk.metadata for chunk in seen.passages(name).passages(ids)}
    except WinnowError:  # the list does without; the page says above it why the collection cannot be read
        return {}


def _passage(encoders: Encoders, chunk: Chunk, number: int) -> PassageView:
    text = chunk.encoded_text
    tokens = len(encoders.dense.token_spans(text)) if chunk.legible else 0
    return PassageView(chunk, number, tokens, len(encoders.lexical.encode_passage(text).indices))
