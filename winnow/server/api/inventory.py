"""Reads collections and documents for the routes, as far as the client may see them. Blocking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ingest.report import IngestReport
from storage.errors import WinnowError
from storage.manifest.manifest import DocumentFilter
from winnow.app.encoders import way_on
from winnow.app.json_model.passages import DocumentJson, PassageJson
from winnow.server.api.schemas import DocumentWithPassages

if TYPE_CHECKING:
    from winnow.server.visible import Visible


def collections(seen: Visible) -> list[dict[str, Any]]:
    """List every collection with the settings that it was built with."""
    return [_collection(seen, name) for name in seen.names()]


def _collection(seen: Visible, name: str) -> dict[str, Any]:
    try:
        built = seen.wiring.stores.fingerprint(name)
    except WinnowError:  # a damaged collection must not hide the others
        built = None
    return {
        "name": name,
        "default": name == seen.default,
        "built_with": built and built.to_dict(),
        "note": way_on(seen.pipeline.settings, name, built),
    }


def facts(seen: Visible, name: str) -> dict[str, Any]:
    """Describe one collection with its size. Raises NotFoundError, FingerprintMismatchError, StoreError."""
    name = seen.existing(name)
    last = seen.last_run(name)
    return {
        **_collection(seen, name),
        "passages": seen.passages(name).count(),
        "documents": dict(seen.counts(name).by_status),
        "last_run": None if last is None else IngestReport.from_dict(json.loads(last)).to_dict(),
    }


def documents(
    seen: Visible, name: str | None, where: DocumentFilter, offset: int, limit: int
) -> dict[str, Any]:
    """Return a page of a collection's documents that match, by path."""
    name = seen.existing(name)
    total, rows = seen.documents(name, where, offset=offset, limit=limit)
    return {
        "collection": name,
        "total": total,
        "offset": offset,
        "documents": [*map(DocumentJson.of, rows)],
    }


def document(seen: Visible, name: str | None, document_id: str) -> DocumentWithPassages:
    """Return a document with its passages, in its order."""
    name = seen.existing(name)
    row = seen.document(name, document_id)
    chunks = seen.passages(name).passages(row.chunk_ids)
    chunks.sort(key=lambda chunk: (chunk.ordinal, chunk.start))
    own = dict(DocumentJson.of(row))
    passages = [*map(PassageJson.of, chunks)]
    return DocumentWithPassages.model_construct(**own, collection=name, passages=passages)


def delete(seen: Visible, name: str | None, document_id: str) -> str:
    """Take a document out of the collection and return its path. Raises NotFoundError, NotAllowedError."""
    name = seen.existing(name)
    row = seen.document(name, document_id)
    seen.check_may_write(name)
    seen.wiring.collections.remove(name, row)
    return row.source
