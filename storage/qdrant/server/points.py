"""Points on their way to a Qdrant server and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from storage.qdrant.contract import DENSE, LEXICAL, TOKENS
from storage.qdrant.payload import from_payload, to_payload
from storage.vectors import Floats, Point, SparseVector, payload_bytes

# A float is up to 20 bytes of JSON and a server takes 32 MB a request by default: 4 MiB of floats fit.
BATCH_BYTES = 4 * 1024 * 1024


def batches(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Points in the given order, each batch at most BATCH_BYTES (one point may be larger)."""
    batch: list[Point] = []
    size = 0
    for point in points:
        more = payload_bytes([point])
        if batch and size + more > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += more
    if batch:
        yield batch


def to_struct(point: Point) -> models.PointStruct:
    vectors: dict[str, models.Vector] = {LEXICAL: _sparse(point.lexical)}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    if point.tokens is not None:
        vectors[TOKENS] = point.tokens.tolist()
    return models.PointStruct(id=point.chunk.id, vector=vectors, payload=to_payload(point.chunk))


def from_record(record: models.Record) -> Point:
    vectors = named(record.vector)
    lexical = vectors.get(LEXICAL)
    return Point(
        chunk=from_payload(str(record.id), record.payload),
        lexical=SparseVector(tuple(lexical.indices), tuple(lexical.values))
        if lexical
        else SparseVector((), ()),
        dense=floats(vectors.get(DENSE)),
        tokens=floats(vectors.get(TOKENS)),
    )


def floats(vector: Any) -> Floats | None:
    return np.asarray(vector, dtype=np.float32) if vector else None


def named(vectors: Any) -> Mapping[str, Any]:
    return vectors if isinstance(vectors, dict) else {}


def to_query(query: Floats | SparseVector) -> Any:
    return _sparse(query) if isinstance(query, SparseVector) else query.tolist()


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
