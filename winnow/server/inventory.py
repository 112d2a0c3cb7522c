"""What is in the collections, read from store and manifest for the routes. Blocking."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from storage.errors import NotFoundError, WinnowError
from winnow import jsonable

if TYPE_CHECKING:
    from storage.manifest import DocumentRow
    from winnow.wiring import Wiring

# A run's own note of what it is writing, or was when it was killed.
_UNFINISHED = "pending"


def existing(wiring: Wiring, name: str | None) -> str:
    """The collection's name (without one: the settings'). Raises NotFoundError.

    No path is made of a name that is not among those that are there.
    """
    name = name or wiring.settings.collection
    if name not in wiring.stores.names():
        raise NotFoundError(
            f"there is no collection {name!r}", way_out="See /v1/collections, or ingest into it."
        )
    return name


def collections(wiring: Wiring) -> list[dict[str, Any]]:
    """Every collection with what it was built with."""
    return [_collection(wiring, name) for name in wiring.stores.names()]


def _collection(wiring: Wiring, name: str) -> dict[str, Any]:
    try:
        built = wiring.stores.fingerprint(name)
    except WinnowError:  # a damaged one must not hide the others
        built = None
    return {
        "name": name,
        "default": name == wiring.settings.collection,
        "built_with": built and built.to_dict(),
    }


def facts(wiring: Wiring, name: str) -> dict[str, Any]:
    """One collection with its size. Raises NotFoundError, FingerprintMismatchError, StoreError."""
    name = existing(wiring, name)
    last = wiring.manifest(name).last_run()
    return {
        **_collection(wiring, name),
        "passages": wiring.collection(name).count(),
        "documents": dict(Counter(row.status for row in _rows(wiring, name))),
        "last_run": None if last is None else json.loads(last),
    }


def documents(wiring: Wiring, name: str | None, offset: int, limit: int) -> dict[str, Any]:
    """A page of a collection's documents, by path."""
    name = existing(wiring, name)
    rows = sorted(_rows(wiring, name), key=lambda row: row.source)
    page = rows[offset : offset + limit]
    return {
        "collection": name,
        "total": len(rows),
        "offset": offset,
        "documents": [jsonable.document(row) for row in page],
    }


def document(wiring: Wiring, name: str | None, document_id: str) -> dict[str, Any]:
    """A document with its passages, in its order."""
    name = existing(wiring, name)
    row = _row(wiring, name, document_id)
    chunks = [point.chunk for point in wiring.collection(name).points(row.chunk_ids)]
    chunks.sort(key=lambda chunk: (chunk.ordinal, chunk.start))
    return {
        **jsonable.document(row),
        "collection": name,
        "passages": [jsonable.passage(chunk) for chunk in chunks],
    }


def delete(wiring: Wiring, name: str | None, document_id: str) -> str:
    """Take a document out of the collection; its path. Its file stays where it is."""
    name = existing(wiring, name)
    row = _row(wiring, name, document_id)
    wiring.ingestor(name).remove(row.id)
    return row.source


def _row(wiring: Wiring, name: str, document_id: str) -> DocumentRow:
    row = wiring.manifest(name).get(document_id)
    if row is None or row.status == _UNFINISHED:
        raise NotFoundError(f"there is no document {document_id!r} in {name!r}", way_out="See /v1/documents.")
    return row


def _rows(wiring: Wiring, name: str) -> list[DocumentRow]:
    return [row for row in wiring.manifest(name).rows() if row.status != _UNFINISHED]
