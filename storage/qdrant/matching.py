"""Applies a filter to a passage in memory as the stores apply it to theirs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from storage.qdrant.conditions import (
    FIELDS,
    METADATA,
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
)
from storage.qdrant.payload_indexes import DATE, NUMBER
from storage.records import Chunk

_ORDERS: Mapping[Order, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(condition: Condition, chunk: Chunk) -> bool:
    """True where the passage meets the condition."""
    match condition:
        case All(parts):
            return all(matches(part, chunk) for part in parts)
        case AnyOf(parts):
            return any(matches(part, chunk) for part in parts)
        case Not(part):
            return not matches(part, chunk)
        case Among(field, values):
            return any(matches(Equals(field, value), chunk) for value in values)
        case Equals(field, value):
            return any(_equal(one, value) for one in _values(chunk, field))
        case Contains(field, piece):
            return any(isinstance(one, str) and piece in one for one in _values(chunk, field))
        case Absent(field):
            return not _values(chunk, field)
        case Ordered(field, order, bound):
            return any(_ordered(one, order, bound) for one in _values(chunk, field))


def moment(value: object) -> datetime | None:
    """A date, with a time or without, as filters read it (UTC without a zone); None for anything else."""
    if not isinstance(value, str) or not DATE.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ordered(value: object, order: Order, bound: int | float | datetime) -> bool:
    if isinstance(bound, datetime):
        found = moment(value)
        return found is not None and _ORDERS[order](found, bound)
    return _kind(value) is float and _ORDERS[order](value, bound)


def _equal(one: object, wanted: object) -> bool:
    if isinstance(wanted, str) and _kind(one) is float and NUMBER.fullmatch(wanted):
        return one == float(wanted)  # a number in quotes finds the number, too
    return one == wanted and _kind(one) == _kind(wanted)


def _kind(value: object) -> type:
    """The kind that values are compared within: 2020 equals 2020.0, and true equals no number."""
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _values(chunk: Chunk, field: str) -> tuple[object, ...]:
    """The values of a field, none where it is missing."""
    if field in FIELDS:
        value: object = getattr(chunk, field)
    else:
        value = chunk.metadata.get(field.removeprefix(f"{METADATA}."))
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)
