"""Points, queries and filters in the classes of Qdrant Edge."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import numpy as np
import qdrant_edge as qdrant

from storage.qdrant.filter_translation import FilterClasses
from storage.qdrant.points import to_payload, vectors_of
from storage.vectors import Floats, Point, SparseVector


def to_struct(point: Point) -> qdrant.Point:
    return qdrant.Point(point.chunk.id, vectors_of(point, _sparse), to_payload(point.chunk))


def nearest(query: Floats | SparseVector, using: str) -> Any:
    """Return the query of one leg."""
    vector = _sparse(query) if isinstance(query, SparseVector) else query.tolist()
    return qdrant.Query.Nearest(vector, using=using)


def _sparse(vector: SparseVector) -> qdrant.SparseVector:
    return qdrant.SparseVector(list(vector.indices), list(vector.values))


def _value(key: str, value: str | bool) -> qdrant.FieldCondition:
    # Edge 0.9 takes Python's own bool for an integer, numpy's for what it is
    plain: Any = np.bool_(value) if isinstance(value, bool) else value
    return qdrant.FieldCondition(key, match=qdrant.MatchValue(plain))


def _dates(key: str, bounds: Any) -> qdrant.FieldCondition:
    moments = {
        name: moment.astimezone(UTC).isoformat().replace("+00:00", "Z") for name, moment in bounds.items()
    }
    return qdrant.FieldCondition(key, range=qdrant.RangeDateTime(**moments))


edge_filter = FilterClasses(
    combined=qdrant.Filter,
    value=_value,
    substring=lambda key, piece: qdrant.FieldCondition(key, match=qdrant.MatchSubstring(piece)),
    numbers=lambda key, bounds: qdrant.FieldCondition(key, range=qdrant.RangeFloat(**bounds)),
    dates=_dates,
    empty=qdrant.IsEmptyCondition,
).translate
