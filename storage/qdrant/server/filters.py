"""A filter in the words of qdrant-client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qdrant_client import models

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


def server_filter(condition: Condition) -> models.Filter:
    """The same condition for a server."""
    match condition:
        case All(conditions):
            return models.Filter(must=[server_filter(part) for part in conditions])
        case AnyOf(conditions):
            return models.Filter(should=[server_filter(part) for part in conditions])
        case Not(part):
            return models.Filter(must_not=[server_filter(part)])
        case Among(field, values):
            return models.Filter(should=[_equals(field, value) for value in values])
        case _:
            return models.Filter(must=[_field(condition)])


def _field(condition: Equals | Ordered | Contains | Absent) -> Any:
    key = payload_key(condition.field)
    match condition:
        case Equals(field, value):
            return _equals(field, value)
        case Ordered(_, order, bound):
            return models.FieldCondition(key=key, range=_range(order, bound))
        case Contains(_, piece):
            return models.FieldCondition(key=key, match=models.MatchSubstring(substring=piece))
        case Absent():
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _range(order: Order, bound: float | datetime) -> models.RangeInterface:
    if isinstance(bound, datetime):
        return models.DatetimeRange(**{_BOUNDS[order]: bound})
    return models.Range(**{_BOUNDS[order]: float(bound)})


def _equals(field: str, value: Value) -> models.FieldCondition:
    if isinstance(value, str | bool):
        return models.FieldCondition(key=payload_key(field), match=models.MatchValue(value=value))
    # as a range 2020 equals 2020.0, which a match of integers would not
    return models.FieldCondition(
        key=payload_key(field), range=models.Range(gte=float(value), lte=float(value))
    )
