"""A filter in the words of Qdrant Edge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import qdrant_edge as qdrant

from storage.qdrant.conditions import (
    Absent,
    All,
    Among,
    AnyOf,
    Condition,
    Contains,
    Equals,
    Not,
    Order,
    Ordered,
    Value,
    payload_key,
)

_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def edge_filter(condition: Condition) -> qdrant.Filter:
    """The same condition for the embedded engine."""
    match condition:
        case All(conditions):
            return qdrant.Filter(must=[edge_filter(part) for part in conditions])
        case AnyOf(conditions):
            return qdrant.Filter(should=[edge_filter(part) for part in conditions])
        case Not(part):
            return qdrant.Filter(must_not=[edge_filter(part)])
        case Among(field, values):
            return qdrant.Filter(should=[_equals(field, value) for value in values])
        case _:
            return qdrant.Filter(must=[_field(condition)])


def _field(condition: Equals | Ordered | Contains | Absent) -> Any:
    key = payload_key(condition.field)
    match condition:
        case Equals(field, value):
            return _equals(field, value)
        case Ordered(_, order, bound):
            return qdrant.FieldCondition(key, range=_range(order, bound))
        case Contains(_, piece):
            return qdrant.FieldCondition(key, match=qdrant.MatchSubstring(piece))
        case Absent():
            return qdrant.IsEmptyCondition(key)


def _range(order: Order, bound: float | datetime) -> Any:
    if isinstance(bound, datetime):
        moment = bound.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return qdrant.RangeDateTime(**{_BOUNDS[order]: moment})
    return qdrant.RangeFloat(**{_BOUNDS[order]: float(bound)})


def _equals(field: str, value: Value) -> qdrant.FieldCondition:
    if isinstance(value, bool):
        # Edge 0.9 takes Python's own bool for an integer, numpy's for what it is
        flag = qdrant.MatchValue(np.bool_(value))  # type: ignore[arg-type]
        return qdrant.FieldCondition(payload_key(field), match=flag)
    if isinstance(value, str):
        return qdrant.FieldCondition(payload_key(field), match=qdrant.MatchValue(value))
    # as a range 2020 equals 2020.0, which a match of integers would not
    return qdrant.FieldCondition(
        payload_key(field), range=qdrant.RangeFloat(gte=float(value), lte=float(value))
    )
