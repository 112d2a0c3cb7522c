"""How a passage rests in a Qdrant payload: one layout for the embedded engine and the server.

What winnow knows about every passage stands at the top level, and what a document's own metadata says
under `metadata`, so that a document can never overwrite a field of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import StoreCorruptError
from storage.records import Chunk

DOCUMENT_ID = "document_id"
METADATA = "metadata"

# The fields of ours that a payload holds; anything else lives under METADATA.
FIELDS = ("document_id", "source", "title", "text", "start", "end", "ordinal", "headings", "page", "legible")


def to_payload(chunk: Chunk) -> dict[str, Any]:
    """The payload of a passage: plain JSON values; the id is the point's own."""
    return {
        "document_id": chunk.document_id,
        "source": chunk.source,
        "title": chunk.title,
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "ordinal": chunk.ordinal,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "legible": chunk.legible,
        METADATA: dict(chunk.metadata),
    }


def from_payload(id: str, payload: Mapping[str, Any] | None) -> Chunk:  # noqa: A002 - the field's own name
    """The passage that `to_payload` wrote. Raises StoreCorruptError where a field is missing."""
    try:
        return _chunk(id, payload or {})
    except KeyError as error:
        raise StoreCorruptError(
            f"the payload of point {id} has no {error.args[0]!r}",
            way_out="the collection was not written by winnow: ingest into a new one",
        ) from error


def _chunk(id: str, payload: Mapping[str, Any]) -> Chunk:  # noqa: A002
    return Chunk(
        id=id,
        document_id=payload["document_id"],
        source=payload["source"],
        title=payload["title"],
        text=payload["text"],
        start=payload["start"],
        end=payload["end"],
        ordinal=payload["ordinal"],
        headings=tuple(payload["headings"]),
        page=payload["page"],
        legible=payload["legible"],
        metadata=dict(payload[METADATA]),
    )
