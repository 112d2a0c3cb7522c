"""Reads collections and documents from store and manifest for the routes. Blocking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ingest.report import IngestReport
from storage.errors import NotFoundError, WinnowError
from storage.manifest.manifest import PENDING, DocumentFilter
from winnow.app.encoders import way_on
from winnow.app.json_model.passages import DocumentJson, PassageJson
from winnow.server.api.schemas import DocumentWithPassages

if TYPE_CHECKING:
    from storage.manifest.manifest import DocumentRow
    from winnow.app.wiring import Wiring


def existing(wiring: Wiring, name: str | None) -> str:
    """Return the collection's name (default: the settings'). Raises NotFoundError.

    Only names of existing collections ever become paths.
    """
    name = name or wiring.settings.collection
    if not wiring.stores.exists(name):
        raise NotFoundError(
            f"there is no collection {name!r}", way_out="See /v1/collections, or ingest into it."
        )
    return name


def collections(wiring: Wiring) -> list[dict[str, Any]]:
    """List every collection with the settings that it was built with."""
    return [_collection(wiring, name) for name in wiring.stores.names()]


def _collection(wiring: Wiring, name: str) -> dict[str, Any]:
    try:
        built = wiring.stores.fingerprint(name)
    except WinnowError:  # a damaged collection must not hide the others
        built = None
    return {
        "name": name,
        "default": name == wiring.settings.collection,
        "built_with": built and built.to_dict(),
        "note": way_on(wiring.settings, name, built),
    }


def facts(wiring: Wiring, name: str) -> dict[str, Any]:
    """Describe one collection with its size. Raises NotFoundError, FingerprintMismatchError, StoreError."""
    name = existing(wiring, name)
    manifest = wiring.manifest(name)
    last = manifest.last_run()
    return {
        **_collection(wiring, name),
        "passages": wiring.collection(name).count(),
        "documents": dict(manifest.counts().by_status),
        "last_run": None if last is None else IngestReport.from_dict(json.loads(last)).to_dict(),
    }


def documents(
    wiring: Wiring, name: str | None, where: DocumentFilter, offset: int, limit: int
) -> dict[str, Any]:
    """Return a page of a collection's documents that match, by path."""
    name = existing(wiring, name)
    manifest = wiring.manifest(name)
    return {
        "collection": name,
        "total": manifest.count(where),
        "offset": offset,
        "documents": [*map(DocumentJson.of, manifest.listed(where, limit=limit, offset=offset))],
    }


def document(wiring: Wiring, name: str | None, document_id: str) -> DocumentWithPassages:
    """Return a document with its passages, in its order."""
    name = existing(wiring, name)
    row = row_of(wiring, name, document_id)
    chunks = wiring.collection(name).passages(row.chunk_ids)
    chunks.sort(key=lambda chunk: (chunk.ordinal, chunk.start))
    own = dict(DocumentJson.of(row))
    passages = [*map(PassageJson.of, chunks)]
    return DocumentWithPassages.model_construct(**own, collection=name, passages=passages)


def delete(wiring: Wiring, name: str | None, document_id: str) -> str:
    """Take a document out of the collection and return its path."""
    name = existing(wiring, name)
    row = row_of(wiring, name, document_id)
    wiring.collections.remove(name, row)
    return row.source


def row_of(wiring: Wiring, name: str, document_id: str) -> DocumentRow:
    """Return the manifest's row of a document. Raises NotFoundError."""
    row = wiring.manifest(name).get(document_id)
    if row is None or row.status == PENDING:
        raise NotFoundError(f"there is no document {document_id!r} in {name!r}", way_out="See /v1/documents.")
    return row
