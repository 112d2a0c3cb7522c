"""The documents of a collection as their pages show them: the list, and one with its passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.errors import WinnowError
from storage.manifest.manifest import DocumentFilter, DocumentRow
from storage.records import Chunk, Scalar
from winnow.app.wiring import Wiring
from winnow.server.api import inventory
from winnow.server.served import Served

PER_PAGE = 25
PASSAGES_PER_PAGE = 20
# Said at the top of a document's page already, or of no interest to its reader.
_SAID_ELSEWHERE = ("mime", "date", "pages")


@dataclass(frozen=True, slots=True)
class _Named:
    """What is shown of a document, by the name and the format that people know it by."""

    row: DocumentRow

    @property
    def name(self) -> str:
        return name_of(self.row)

    @property
    def kind(self) -> str:
        return kind_of(self.row)


@dataclass(frozen=True, slots=True)
class Line(_Named):
    """A document in the list; `date` and `pages` as its file gave them."""

    date: Scalar
    pages: Scalar


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A page of those that are meant."""

    lines: Sequence[Line]
    where: DocumentFilter
    total: int
    page: int

    @property
    def pages(self) -> int:
        return _pages(self.total, PER_PAGE)


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage. `tokens`: what the encoder reads of it, `terms`: what it can be found by, word by word."""

    chunk: Chunk
    number: int
    tokens: int
    terms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentView(_Named):
    """One document with a page of its passages. `problem`: why they cannot be read."""

    original: DocumentRow | None
    metadata: Sequence[tuple[str, Scalar]]
    date: Scalar
    sheets: Scalar
    passages: Sequence[PassageView]
    page: int
    uploaded: bool
    problem: str

    @property
    def pages(self) -> int:
        return _pages(len(self.row.chunk_ids), PASSAGES_PER_PAGE)


def listed(served: Served, name: str, where: DocumentFilter, page: int) -> DocumentPage:
    """The page, or the last one where there are not so many."""
    wiring = served.pipeline.wiring
    manifest = wiring.manifest(name)
    total = manifest.count(where)
    page = min(page, _pages(total, PER_PAGE))
    rows = manifest.listed(where, limit=PER_PAGE, offset=(page - 1) * PER_PAGE)
    first = _first_passages(wiring, name, rows)
    lines = [_line(row, first.get(row.id)) for row in rows]
    return DocumentPage(lines, where, total, page)


def read(served: Served, name: str, document_id: str, page: int) -> DocumentView:
    """One document. Raises NotFoundError."""
    wiring = served.pipeline.wiring
    name = inventory.existing(wiring, name)
    row = inventory.row_of(wiring, name, document_id)
    page = min(page, _pages(len(row.chunk_ids), PASSAGES_PER_PAGE))
    start, chunks, problem = (page - 1) * PASSAGES_PER_PAGE, list[Chunk](), ""
    try:
        chunks = _in_order(wiring, name, row.chunk_ids[start : start + PASSAGES_PER_PAGE])
    except WinnowError as error:
        problem = served.problems.sentence(error)
    known = chunks[0].metadata if chunks else {}
    return DocumentView(
        row=row,
        original=wiring.manifest(name).get(row.duplicate_of) if row.duplicate_of else None,
        metadata=[(key, value) for key, value in known.items() if key not in _SAID_ELSEWHERE],
        date=known.get("date"),
        sheets=known.get("pages"),
        passages=[_passage(wiring, chunk, start + n) for n, chunk in enumerate(chunks, start=1)],
        page=page,
        uploaded=served.area.holds(row.source),
        problem=problem,
    )


def name_of(row: DocumentRow) -> str:
    """Its title, or the name of its file."""
    return " ".join(row.title.split()) or file_name(row.source)


def file_name(source: str) -> str:
    return source.replace("\\", "/").rpartition("/")[2] or source


def kind_of(row: DocumentRow) -> str:
    """What people call its format: the suffix."""
    return Path(row.source).suffix.removeprefix(".").upper()


def _pages(total: int, per_page: int) -> int:
    return max(1, -(-total // per_page))


def _line(row: DocumentRow, first: Chunk | None) -> Line:
    known = first.metadata if first else {}
    return Line(row, known.get("date"), known.get("pages"))


def _first_passages(wiring: Wiring, name: str, rows: Sequence[DocumentRow]) -> dict[str, Chunk]:
    """Each document's first passage, which has the document's metadata."""
    ids = [row.chunk_ids[0] for row in rows if row.chunk_ids]
    try:
        return {chunk.document_id: chunk for chunk in wiring.collection(name).passages(ids)}
    except WinnowError:  # the list does without; why it cannot be read stands above it
        return {}


def _in_order(wiring: Wiring, name: str, ids: Sequence[str]) -> list[Chunk]:
    place = {one: at for at, one in enumerate(ids)}
    return sorted(wiring.collection(name).passages(ids), key=lambda chunk: place[chunk.id])


def _passage(wiring: Wiring, chunk: Chunk, number: int) -> PassageView:
    text = chunk.encoded_text
    tokens = len(wiring.encoder.token_spans(text)) if chunk.legible else 0
    return PassageView(chunk, number, tokens, len(wiring.lexical.encode_passage(text).indices))
