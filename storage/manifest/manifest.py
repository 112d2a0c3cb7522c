"""The manifest of a collection: the outcome of each source, so that a second ingest embeds nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, Select, case, delete, func, insert, or_, select

from storage.database import Database
from storage.log.rows import RecordColumns, clean, iso, to_json
from storage.manifest.tables import ChunkEntry, DocumentEntry, RunRow

# The status of a document that a run is writing, or was writing when it was killed: no document yet.
PENDING = "pending"
# Documents named in one query: databases bound the number of parameters.
_BATCH = 1000
# No warnings, as JSON.
_NONE = to_json(())


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """The outcome of one source. `status` is `ingested`, `refused` (see `reason`) or `duplicate`.

    `chunk_ids` are its passages in order; `duplicate_of` is the id of the document that has its content.
    """

    id: str
    source: str
    content_hash: str
    title: str = ""
    mime: str = ""
    status: str
    reason: str = ""
    warnings: tuple[str, ...] = ()
    chunk_ids: tuple[str, ...] = ()
    duplicate_of: str | None = None
    parser: str = ""


_DOCUMENT = RecordColumns(DocumentRow, without=("chunk_ids",))


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Selects documents: each word of `text` is in path or title, in any case; `warned`: with warnings."""

    text: str = ""
    status: str | None = None
    warned: bool = False


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    """The numbers of documents of each status, of documents with warnings, and of all passages."""

    by_status: Mapping[str, int]
    warned: int
    passages: int


class Manifest:
    """The documents of one collection. Every method raises LogError where the database fails.

    Each `generation` of a collection (`CollectionStores.generation`) has documents of its own, so that store
    and manifest swap in the same moment. Runs belong to all of them.
    """

    def __init__(self, database: Database, collection: str, generation: str = "") -> None:
        self._database = database
        self._name = collection
        self._collection = key_of(collection, generation)

    def get(self, document_id: str) -> DocumentRow | None:
        return self._first(DocumentEntry.id == document_id)

    def get_many(self, document_ids: Sequence[str]) -> dict[str, DocumentRow]:
        """Return those of the documents that are known, by id: one query for many files."""
        with self._database.reading() as connection:
            return self._by_id(connection, document_ids)

    def by_hash(self, content_hash: str) -> DocumentRow | None:
        """Return an ingested document of that content."""
        return self._first(DocumentEntry.content_hash == content_hash, DocumentEntry.status == "ingested")

    def rows(self) -> Iterator[DocumentRow]:
        """Yield all documents, by id. Rows may be written or removed meanwhile: no transaction stays open."""
        last = ""
        while page := self._page(DocumentEntry.id > last):
            yield from page
            last = page[-1].id

    def listed(
        self, where: DocumentFilter, *, limit: int | None = None, offset: int = 0
    ) -> list[DocumentRow]:
        """Return the selected documents, by path, or a page of them; without those a run is just writing."""
        # sorted by ids and paths alone: whole rows would be sorted in temporary files
        page = (
            select(DocumentEntry.id)
            .where(self._mine, *_conditions(where))
            .order_by(DocumentEntry.source, DocumentEntry.id)
            .limit(limit)
            .offset(offset)
        )
        with self._database.reading() as connection:
            ids = connection.execute(page).scalars().all()
            found = self._by_id(connection, ids)
        return [found[one] for one in ids]

    def ids(self, where: DocumentFilter) -> list[str]:
        """Return the ids of the selected documents, by path."""
        meant = select(DocumentEntry.id).where(self._mine, *_conditions(where))
        with self._database.reading() as connection:
            in_order = meant.order_by(DocumentEntry.source, DocumentEntry.id)
            return list(connection.execute(in_order).scalars())

    def count(self, where: DocumentFilter) -> int:
        meant = select(func.count()).select_from(DocumentEntry).where(self._mine, *_conditions(where))
        with self._database.reading() as connection:
            return connection.execute(meant).scalar_one()

    def counts(self) -> DocumentCounts:
        warned = func.sum(case((DocumentEntry.warnings != _NONE, 1), else_=0))
        documents = (
            select(DocumentEntry.status, func.count(), warned)
            .where(self._mine, DocumentEntry.status != PENDING)
            .group_by(DocumentEntry.status)
        )
        passages = select(func.count()).where(ChunkEntry.collection == self._collection)
        with self._database.reading() as connection:
            found = connection.execute(documents).all()
            return DocumentCounts(
                {status: number for status, number, _ in found},
                sum(number for _, _, number in found),
                connection.execute(passages).scalar_one(),
            )

    def put(self, row: DocumentRow) -> None:
        """Write a document, replacing what was known about it."""
        self.put_many([row])

    def put_many(self, rows: Sequence[DocumentRow]) -> None:
        """Write documents in one transaction; where an id occurs twice, its last row holds."""
        latest = list({row.id: row for row in rows}.values())
        with self._database.writing() as connection:
            for start in range(0, len(latest), _BATCH):
                self._put(connection, latest[start : start + _BATCH])
            connection.commit()

    def remove(self, document_id: str) -> None:
        """Forget a document and its passages; nothing happens where it is not known."""
        self._delete(delete(DocumentEntry).where(self._mine, DocumentEntry.id == document_id))

    def clear(self) -> None:
        """Forget the whole collection: documents, passages and runs, of every generation."""
        documents = delete(DocumentEntry).where(self._any_generation)
        self._delete(documents, delete(RunRow).where(RunRow.collection == self._name))

    def forget_others(self) -> None:
        """Forget the documents of every other generation."""
        self._delete(delete(DocumentEntry).where(self._any_generation, ~self._mine))

    def generations(self) -> list[str]:
        """Return the generations of this collection that have documents, sorted."""
        with self._database.reading() as connection:
            keys = connection.execute(select(DocumentEntry.collection).where(self._any_generation).distinct())
            return sorted(key.partition("@")[2] for key in keys.scalars())

    def save_run(self, report_json: str) -> int:
        """Keep the report of an ingest run; return its number."""
        row = clean({"collection": self._name, "created_at": iso(datetime.now(UTC)), "report": report_json})
        with self._database.writing() as connection:
            number = connection.execute(insert(RunRow).returning(RunRow.number), row).scalar_one()
            connection.commit()
        return number

    def last_run(self) -> str | None:
        """Return the report of the latest run; None before the first."""
        runs = select(RunRow.report).where(RunRow.collection == self._name)
        with self._database.reading() as connection:
            return connection.execute(runs.order_by(RunRow.number.desc()).limit(1)).scalar()

    def last_run_at(self) -> datetime | None:
        """Return the time at which the latest run ended."""
        latest = select(func.max(RunRow.created_at)).where(RunRow.collection == self._name)
        with self._database.reading() as connection:
            found = connection.execute(latest).scalar()
        return None if found is None else datetime.fromisoformat(found)

    def _delete(self, *statements: Delete) -> None:
        with self._database.writing() as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    @property
    def _mine(self) -> ColumnElement[bool]:
        return DocumentEntry.collection == self._collection

    @property
    def _any_generation(self) -> ColumnElement[bool]:
        return keys_of(self._name)

    def _first(self, *where: ColumnElement[bool]) -> DocumentRow | None:
        return next(iter(self._page(*where, limit=1)), None)

    def _page(self, *where: ColumnElement[bool], limit: int = _BATCH) -> list[DocumentRow]:
        documents = select(DocumentEntry).where(self._mine, *where).order_by(DocumentEntry.id).limit(limit)
        with self._database.reading() as connection:
            return self._with_chunks(connection, documents)

    def _by_id(self, connection: Connection, ids: Sequence[str]) -> dict[str, DocumentRow]:
        found: dict[str, DocumentRow] = {}
        for start in range(0, len(ids), _BATCH):
            wanted = DocumentEntry.id.in_(ids[start : start + _BATCH])
            rows = self._with_chunks(connection, select(DocumentEntry).where(self._mine, wanted))
            found |= {row.id: row for row in rows}
        return found

    def _with_chunks(self, connection: Connection, documents: Select[Any]) -> list[DocumentRow]:
        found = connection.execute(documents).all()
        if not found:  # most files of a first run are new
            return []
        chunks = _chunk_ids(connection, self._collection, [row.id for row in found])
        return [DocumentRow(**_DOCUMENT.fields(row), chunk_ids=tuple(chunks[row.id])) for row in found]

    def _put(self, connection: Connection, rows: Sequence[DocumentRow]) -> None:
        # What was known goes first, and its passages with it.
        connection.execute(
            delete(DocumentEntry).where(self._mine, DocumentEntry.id.in_([row.id for row in rows]))
        )
        documents = [{"collection": self._collection, **_DOCUMENT.row(row)} for row in rows]
        connection.execute(insert(DocumentEntry), documents)
        chunks = [
            {"collection": self._collection, "document_id": row.id, "position": position, "chunk_id": chunk}
            for row in rows
            for position, chunk in enumerate(row.chunk_ids)
        ]
        if chunks:
            connection.execute(insert(ChunkEntry), chunks)


def key_of(collection: str, generation: str) -> str:
    """Return what the rows of a generation have in `collection`: no collection's name has an @."""
    return f"{collection}@{generation}" if generation else collection


def keys_of(collection: str) -> ColumnElement[bool]:
    """Return the condition for documents of a collection, of any generation."""
    # not LIKE, for which SQLite's `docs` and `Docs` are one
    key, others = DocumentEntry.collection, f"{collection}@"
    return or_(key == collection, func.substr(key, 1, len(others)) == others)


def _conditions(where: DocumentFilter) -> list[ColumnElement[bool]]:
    row = DocumentEntry
    found = [row.status != PENDING if where.status is None else row.status == where.status]
    if where.warned:
        found.append(row.warnings != _NONE)
    found.extend(
        or_(row.source.icontains(word, autoescape=True), row.title.icontains(word, autoescape=True))
        for word in where.text.split()
    )
    return found


def _chunk_ids(connection: Connection, collection: str, documents: Sequence[str]) -> dict[str, list[str]]:
    """Return the passages of each document, in order."""
    query = (
        select(ChunkEntry.document_id, ChunkEntry.chunk_id)
        .where(ChunkEntry.collection == collection, ChunkEntry.document_id.in_(documents))
        .order_by(ChunkEntry.document_id, ChunkEntry.position)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for document, chunk in connection.execute(query):
        found[document].append(chunk)
    return found
