"""Passages and their vectors as Qdrant holds them: one layout for the embedded engine and the server.

The payload has winnow's own fields at the top level and a document's metadata under `metadata`, so that a
document can never overwrite a field of ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from storage.errors import StoreCorruptError
from storage.qdrant.conditions import FIELDS, METADATA
from storage.qdrant.contract import DENSE, LEXICAL, TOKENS
from storage.records import Chunk, with_tuples
from storage.vectors import Floats, Point, SparseVector


def to_payload(chunk: Chunk) -> dict[str, Any]:
    """Return the payload of a passage, plain JSON values; the id is the point's own."""
    own = {name: getattr(chunk, name) for name in FIELDS}
    metadata = {
        key: list(value) if isinstance(value, tuple) else value for key, value in chunk.metadata.items()
    }
    about = {"about": chunk.about} if chunk.about else {}
    return {**own, **about, "headings": list(chunk.headings), METADATA: metadata}


def from_payload(id: str, payload: Mapping[str, Any] | None) -> Chunk:  # noqa: A002 - the field's own name
    """Return the passage that `to_payload` described. Raises StoreCorruptError where a field is missing."""
    payload = payload or {}
    try:
        return Chunk(  # named one by one: a search reads a hundred of them
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
            about=payload.get("about", ""),
            legible=payload["legible"],
            metadata=with_tuples(payload[METADATA]),
        )
    except KeyError as error:
        raise StoreCorruptError(
            f"the payload of point {id} has no {error.args[0]!r}",
            way_out="the collection was not written by winnow: ingest into a new one",
        ) from error


def chunk_of(record: Any) -> Chunk:
    """Return the passage of a record, or of a scored point, that came with its payload."""
    return from_payload(str(record.id), record.payload)


def point_of(record: Any) -> Point:
    """Return the passage of a record that came with its payload and all vectors."""
    lexical = vector_of(record, LEXICAL)
    terms = (tuple(lexical.indices), tuple(lexical.values)) if lexical else ((), ())
    return Point(
        chunk=chunk_of(record),
        lexical=SparseVector(*terms),
        dense=floats(vector_of(record, DENSE)),
        tokens=floats(vector_of(record, TOKENS)),
    )


def vectors_of(point: Point, sparse: Callable[[SparseVector], Any]) -> dict[str, Any]:
    """Return a point's vectors by name; `sparse` makes the package's own sparse vector."""
    vectors: dict[str, Any] = {LEXICAL: sparse(point.lexical)}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    if point.tokens is not None:
        vectors[TOKENS] = point.tokens.tolist()
    return vectors


def vector_of(record: Any, name: str) -> Any:
    """Return one of a record's vectors; None where it has none of that name."""
    vectors = record.vector  # read once: every access converts all of its numbers
    return vectors.get(name) if isinstance(vectors, dict) else None


def floats(vector: Any) -> Floats | None:
    """Return a vector, or the rows of a multivector, as an array; None where there is none."""
    if not vector:
        return None
    if not isinstance(vector[0], list):
        return np.asarray(vector, dtype=np.float32)
    # an answer reads some 300,000 numbers: this takes a third of the time of np.asarray over nested lists
    packed = struct.Struct(f"={len(vector[0])}f").pack
    rows = bytearray().join(packed(*row) for row in vector)
    return np.frombuffer(rows, dtype=np.float32).reshape(len(vector), -1)
