"""Translates a condition into a store's own filter: one walk over the tree, two sets of constructors.

The packages `qdrant_edge` and `qdrant_client` speak the same filter language, in classes of different names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.qdrant.conditions import (
    Absent,
    All,
    Among,
    AnyOf,
    Condition,
    Contains,
    Equals,
    Not,
    Ordered,
    Value,
    payload_key,
)

_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True, slots=True)
class FilterClasses:
    """The constructors of one package. Each takes a payload key first, but `combined`.

    `combined` takes lists of filters and conditions as `must`, `should` or `must_not`. `numbers` and `dates`
    take bounds by their names: `lt`, `lte`, `gt`, `gte`.
    """

    combined: Callable[..., Any]
    value: Callable[[str, str | bool], Any]
    substring: Callable[[str, str], Any]
    numbers: Callable[[str, Mapping[str, float]], Any]
    dates: Callable[[str, Mapping[str, datetime]], Any]
    empty: Callable[[str], Any]

    def translate(self, condition: Condition) -> Any:
        """Return the filter of the package that means the condition."""
        match condition:
            case All(conditions):
                return self.combined(must=[self.translate(part) for part in conditions])
            case AnyOf(conditions):
                return self.combined(should=[self.translate(part) for part in conditions])
            case Not(part):
                return self.combined(must_not=[self.translate(part)])
            case Among(field, values):
                return self.combined(should=[self._equals(field, value) for value in values])
            case _:
                return self.combined(must=[self._field(condition)])

    def _field(self, condition: Equals | Ordered | Contains | Absent) -> Any:
        key = payload_key(condition.field)
        match condition:
            case Equals(field, value):
                return self._equals(field, value)
            case Ordered(_, order, bound):
                if isinstance(bound, datetime):
                    return self.dates(key, {_BOUNDS[order]: bound})
                return self.numbers(key, {_BOUNDS[order]: float(bound)})
            case Contains(_, piece):
                return self.substring(key, piece)
            case Absent():
                return self.empty(key)

    def _equals(self, field: str, value: Value) -> Any:
        key = payload_key(field)
        if isinstance(value, str | bool):
            return self.value(key, value)
        # as a range 2020 equals 2020.0, which a match of integers would not
        return self.numbers(key, {"gte": float(value), "lte": float(value)})
