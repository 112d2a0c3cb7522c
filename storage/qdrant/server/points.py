"""Points, queries and filters in the classes of qdrant-client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from storage.qdrant.filter_translation import FilterClasses
from storage.qdrant.points import to_payload, vectors_of
from storage.vectors import Floats, Point, SparseVector, payload_bytes

# A float is up to 20 bytes of JSON and a server takes 32 MB a request by default: 4 MiB of floats fit.
BATCH_BYTES = 4 * 1024 * 1024


def batches(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield points in the given order, in batches of at most BATCH_BYTES (one point may be larger)."""
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
    return models.PointStruct(
        id=point.chunk.id, vector=vectors_of(point, _sparse), payload=to_payload(point.chunk)
    )


def to_query(query: Floats | SparseVector) -> Any:
    return _sparse(query) if isinstance(query, SparseVector) else query.tolist()


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


server_filter = FilterClasses(
    combined=models.Filter,
    value=lambda key, value: models.FieldCondition(key=key, match=models.MatchValue(value=value)),
    substring=lambda key, piece: models.FieldCondition(key=key, match=models.MatchSubstring(substring=piece)),
    numbers=lambda key, bounds: models.FieldCondition(key=key, range=models.Range(**bounds)),
    dates=lambda key, bounds: models.FieldCondition(key=key, range=models.DatetimeRange(**bounds)),
    empty=lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key)),
).translate
