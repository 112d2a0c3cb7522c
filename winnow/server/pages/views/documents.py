"""The documents of a collection: a page of the list, and one document with a page of its passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.errors import NotFoundError, WinnowError
from storage.manifest.manifest import DocumentFilter, DocumentRow
from storage.records import Chunk, Meta
from winnow.app.encoders import Encoders
from winnow.server.pages.pdf_page import picture
from winnow.server.pages.views.formats import segment
from winnow.server.pages.views.markdown import ShownBlock
from winnow.server.pages.views.paging import Paging
from winnow.server.pages.views.passages import marked
from winnow.server.shared_state import Served
from winnow.server.visible import Visible

PER_PAGE = 25
PASSAGES_PER_PAGE = 20
# Shown before and after a passage that a link names.
NEIGHBOURS = 2


@dataclass(frozen=True, slots=True)
class DocumentList:
    """A page of documents, each with the metadata of its file."""

    lines: Sequence[tuple[DocumentRow, Mapping[str, Meta]]]
    paging: Paging


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage; `tokens` counts what the encoder reads of it, `terms` the distinct terms it is found by.

    `blocks` is its text, with the wanted span marked; `wanted` where it is the passage that a link names.
    """

    chunk: Chunk
    number: int
    tokens: int
    terms: int
    blocks: Sequence[ShownBlock]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The passage that a link names, by its id, and the span of the document to mark in it."""

    passage: str = ""
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentView:
    """One document with a page of its passages; `problem` says why they cannot be read.

    `original` is the document that it duplicates, `uploaded` tells whether deleting it deletes its file. With
    a `wanted` passage that and its neighbours alone are there; `lost` where the document no longer has it.
    `picture` is the address of the wanted passage's page as a picture, for PDFs.
    """

    row: DocumentRow
    original: DocumentRow | None
    metadata: Mapping[str, Meta]
    passages: Sequence[PassageView]
    paging: Paging
    uploaded: bool
    problem: str
    wanted: bool = False
    lost: bool = False
    picture: str = ""


def listed(seen: Visible, name: str, where: DocumentFilter, page: int) -> DocumentList:
    """Return a page of the matching documents of a collection."""
    total, rows = seen.documents(name, where, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    paging = Paging(total, PER_PAGE, page)
    if paging.offset != (page - 1) * PER_PAGE:  # a page after the last one
        _, rows = seen.documents(name, where, offset=paging.offset, limit=PER_PAGE)
    metadata = _metadata(seen, name, rows)
    return DocumentList([(row, metadata.get(row.id, {})) for row in rows], paging)


def read(
    served: Served,
    seen: Visible,
    name: str,
    document_id: str,
    page: int = 1,
    wanted: Wanted = Wanted(),
) -> DocumentView:
    """Return one document. Raises NotFoundError."""
    name = seen.existing(name)
    row = seen.document(name, document_id)
    paging = Paging(len(row.chunk_ids), PASSAGES_PER_PAGE, page)
    passages, problem = list[PassageView](), ""
    there = wanted.passage in row.chunk_ids
    first, count = paging.offset, PASSAGES_PER_PAGE
    if there:
        place = row.chunk_ids.index(wanted.passage)
        first, count = max(0, place - NEIGHBOURS), min(place, NEIGHBOURS) + 1 + NEIGHBOURS
    try:
        ids = row.chunk_ids[first : first + count]
        store = seen.passages(name)
        found = sorted(store.passages(ids), key=lambda chunk: ids.index(chunk.id))
        encoders = seen.wiring.encoders_of(name, store.fingerprint)
        passages = [_passage(encoders, chunk, n, wanted) for n, chunk in enumerate(found, start=first + 1)]
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
        wanted=there,
        lost=bool(wanted.passage) and not there,
        picture=_picture(seen, name, row, passages, wanted),
    )


def _picture(
    seen: Visible, name: str, row: DocumentRow, passages: Sequence[PassageView], wanted: Wanted
) -> str:
    """Return the address of the wanted passage's page; empty for other formats, and what is seen in part."""
    one = next((one for one in passages if one.wanted), None)
    pdf = row.mime == "application/pdf" and Path(row.source).is_file()
    if one is None or one.chunk.page is None or not pdf or not seen.whole(name, row):
        return ""
    page = f"/collections/{segment(name)}/documents/{segment(row.id)}/page.png"
    span = f"&from={wanted.span[0]}&to={wanted.span[1]}" if wanted.span else ""
    return f"{page}?passage={segment(one.chunk.id)}{span}"


def picture_of(seen: Visible, name: str, document_id: str, wanted: Wanted) -> bytes:
    """Draw the page of a passage as PNG. Raises NotFoundError."""
    name = seen.existing(name)
    row = seen.document(name, document_id)
    [chunk] = seen.passages(name).passages([wanted.passage]) if wanted.passage in row.chunk_ids else [None]
    if chunk is None or not _picture(seen, name, row, [PassageView(chunk, 0, 0, 0, (), wanted=True)], wanted):
        raise NotFoundError("there is no picture of this page", way_out="Only PDFs have pages to show.")
    start, end = wanted.span or (0, 0)
    quote = chunk.text[max(0, start - chunk.start) : max(0, end - chunk.start)]
    return picture(Path(row.source), chunk.page or 1, quote)


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


def _passage(encoders: Encoders, chunk: Chunk, number: int, wanted: Wanted) -> PassageView:
    text = chunk.encoded_text
    tokens = len(encoders.dense.token_spans(text)) if chunk.legible else 0
    terms = len(encoders.lexical.encode_passage(text).indices)
    blocks = marked(chunk, [wanted.span] if wanted.span else [])
    return PassageView(chunk, number, tokens, terms, blocks, chunk.id == wanted.passage)
